"""Version table of Alembic, read over a connection of our own."""

from __future__ import annotations

from typing import Any

import psycopg
from psycopg import sql


def heads(
    connection: psycopg.Connection[tuple[Any, ...]], table: str, schema: str | None
) -> tuple[str, ...]:
    """Return the heads that a version table names, sorted; none if there is no such table."""
    name = sql.Identifier(schema, table) if schema else sql.Identifier(table)
    query = sql.SQL("select version_num from {} order by 1").format(name)
    try:
        return tuple(row[0] for row in connection.execute(query).fetchall())
    except (psycopg.errors.UndefinedTable, psycopg.errors.InvalidSchemaName):
        return ()
