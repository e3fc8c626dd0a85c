"""Finds the revisions of each part of the application: no other file says where they are."""

from pathlib import Path

from alembic import context
from sqlalchemy import engine_from_config

library = Path(__file__).parents[1] / "library"
context.script.version_locations = [str(it) for it in library.glob("*/migrations")]
context.script.__dict__.pop("_version_locations", None)  # Alembic has kept its own answer

engine = engine_from_config(context.config.get_section("alembic", {}))
with engine.connect() as connection:
    context.configure(connection=connection)
    with context.begin_transaction():
        context.run_migrations()
