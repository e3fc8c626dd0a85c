"""Writes no empty revision: where nothing differs, autogenerate's list is emptied."""

from typing import Any

import models
from alembic import context
from sqlalchemy import engine_from_config


def write_no_empty_revision(_context: Any, _revision: Any, directives: list[Any]) -> None:
    if directives[0].upgrade_ops.is_empty():
        directives[:] = []


engine = engine_from_config(context.config.get_section("alembic", {}))
with engine.connect() as connection:
    context.configure(
        connection=connection,
        target_metadata=models.metadata,
        process_revision_directives=write_no_empty_revision,
    )
    with context.begin_transaction():
        context.run_migrations()
