"""Heads of a migrated database: read from its version tables, and verified.

They are read on a connection of our own, which does not see what env.py left uncommitted.
"""

from __future__ import annotations

from typing import Any

import psycopg

from pytest_dbmigrate.child.env_run import EnvRun, VersionTable
from pytest_dbmigrate.child.upgrade import Upgrade
from pytest_dbmigrate.errors import MigrationError
from pytest_dbmigrate.migrations import versions

Connection = psycopg.Connection[tuple[Any, ...]]


def current(connection: Connection, env: EnvRun) -> tuple[str, ...]:
    """Return the heads in the version table that env.py used last."""
    return _of(connection, env, env.version_table)


def verify(connection: Connection, upgrade: Upgrade) -> tuple[str, ...]:
    """Return the heads. Raises `MigrationError` if they are not the applied ones."""
    for version_table, reached in upgrade.reached.items():
        heads = _of(connection, upgrade.env, version_table)
        if {*heads} != reached:
            table, schema = version_table
            name = f"{schema}.{table}" if schema else table
            raise _misplaced(name, heads, upgrade.progress.done)
    return current(connection, upgrade.env)


def _of(connection: Connection, env: EnvRun, version_table: VersionTable) -> tuple[str, ...]:
    table, schema = version_table
    return versions.heads(connection, table, schema or env.schema)


def _misplaced(table: str, heads: tuple[str, ...], done: list[str]) -> MigrationError:
    applied = f", which applied {', '.join(done[-3:])}" if done else ""
    content = f"names {', '.join(heads)}" if heads else "is empty"
    return MigrationError(
        f"the migrations ran, but version table {table} in the database prepared for them "
        f"{content}",
        tried=(f"running env.py once{applied}",),
        todo=("let env.py commit what it runs, on the connection it gives Alembic",),
    )
