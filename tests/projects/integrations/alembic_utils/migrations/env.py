import models
from alembic import context
from alembic_utils.replaceable_entity import register_entities
from sqlalchemy import engine_from_config

register_entities(models.entities)

with engine_from_config(context.config.get_section("alembic", {})).connect() as connection:
    context.configure(connection=connection, target_metadata=models.Base.metadata)
    with context.begin_transaction():
        context.run_migrations()
