"""Tables of a database, and which of them one of several environments has made."""

from __future__ import annotations

from typing import Any

import psycopg

from pytest_dbmigrate.migrations.env_configuration import TablesMade

_QUERY = """
select n.nspname || '.' || c.relname from pg_class c join pg_namespace n on n.oid = c.relnamespace
where c.relkind in ('r', 'p', 'f') and n.nspname !~ '^(pg_|information_schema$)' order by 1
"""


def every(connection: psycopg.Connection[tuple[Any, ...]]) -> list[str]:
    """Return `schema.table` for each table of a database."""
    return [name for (name,) in connection.execute(_QUERY).fetchall()]


class Made:
    """What an environment has made, of which earlier runs may have known a part.

    `earlier` is what the last of them wrote down; `now` are the tables there are.
    """

    def __init__(self, earlier: TablesMade, now: list[str]) -> None:
        self._earlier = earlier.made
        self._before = now if earlier.before is None else earlier.before

    def at_start(self) -> TablesMade:
        """Return what to record before the first revision."""
        return TablesMade(self._earlier, self._before)

    def at_end(self, now: list[str]) -> TablesMade:
        """Return what to record after the last revision."""
        return TablesMade(sorted({*self._earlier} | ({*now} - {*self._before})))
