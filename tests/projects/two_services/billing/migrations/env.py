"""Of its own service: its models, and its version table."""

import models
from alembic import context
from sqlalchemy import engine_from_config

with engine_from_config(context.config.get_section("alembic", {})).connect() as connection:
    context.configure(
        connection=connection,
        target_metadata=models.metadata,
        version_table=models.VERSION_TABLE,
    )
    with context.begin_transaction():
        context.run_migrations()
