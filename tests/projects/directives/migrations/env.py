"""Takes out of what autogenerate has found what the project does not want to hear of."""

from typing import Any

import models
from alembic import context
from alembic.operations import ops
from sqlalchemy import engine_from_config


def leave_partitions_alone(_context: Any, _revision: Any, directives: list[Any]) -> None:
    found = directives[0].upgrade_ops
    found.ops = [it for it in found.ops if not is_about_a_partition(it)]


def is_about_a_partition(operation: ops.MigrateOperation) -> bool:
    return isinstance(operation, ops.DropTableOp) and operation.table_name.startswith("reading_")


engine = engine_from_config(context.config.get_section("alembic", {}))
with engine.connect() as connection:
    context.configure(
        connection=connection,
        target_metadata=models.metadata,
        process_revision_directives=leave_partitions_alone,
    )
    with context.begin_transaction():
        context.run_migrations()
