"""Which tables a database has, and which of them an environment has made."""

from __future__ import annotations

from typing import Any

import psycopg

_QUERY = """
select n.nspname || '.' || c.relname from pg_class c join pg_namespace n on n.oid = c.relnamespace
where c.relkind in ('r', 'p', 'f') and n.nspname !~ '^(pg_|information_schema$)' order by 1
"""


def every(connection: psycopg.Connection[tuple[Any, ...]]) -> list[str]:
    """Return `schema.table` for each table of a database."""
    return [name for (name,) in connection.execute(_QUERY).fetchall()]


class Made:
    """What an environment has made, of which earlier runs may have known a part.

    `facts` is what the last of them wrote down: what was `made` by then and, if it was cut
    short, what there was `before` it.
    """

    def __init__(self, facts: dict[str, list[str]], now: list[str]) -> None:
        self._earlier = facts.get("made", [])
        self._before = facts.get("before", now)

    def begun(self) -> dict[str, list[str]]:
        """Return what to write down before the first revision."""
        return {"made": self._earlier, "before": self._before}

    def ended(self, now: list[str]) -> dict[str, list[str]]:
        """Return what to write down after the last revision."""
        return {"made": sorted({*self._earlier} | ({*now} - {*self._before}))}
