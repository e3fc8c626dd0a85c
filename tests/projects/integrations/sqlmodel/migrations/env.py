import shop  # noqa: F401  # its tables are in the metadata now
from alembic import context
from sqlalchemy import engine_from_config
from sqlmodel import SQLModel

with engine_from_config(context.config.get_section("alembic", {})).connect() as connection:
    context.configure(connection=connection, target_metadata=SQLModel.metadata)
    with context.begin_transaction():
        context.run_migrations()
