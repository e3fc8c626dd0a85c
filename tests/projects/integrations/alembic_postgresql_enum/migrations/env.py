import alembic_postgresql_enum  # noqa: F401  # its comparators are in place by its import
import models
from alembic import context
from sqlalchemy import engine_from_config

with engine_from_config(context.config.get_section("alembic", {})).connect() as connection:
    context.configure(connection=connection, target_metadata=models.Base.metadata)
    with context.begin_transaction():
        context.run_migrations()
