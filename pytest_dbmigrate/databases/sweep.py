"""Drop what a run has created on a server that is not ours.

Run by the guardian in a process of its own. Only registered databases are dropped, and
the control database, whose name has the run's id in it.
"""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import Any

import psycopg

from pytest_dbmigrate import clock
from pytest_dbmigrate.databases import names
from pytest_dbmigrate.databases.control import Connection, connect, drop
from pytest_dbmigrate.dsn import Dsn
from pytest_dbmigrate.errors import DatabaseError

_ADDRESS = "address.json"
_ATTEMPTS, _PAUSE = 20, 0.5  # seconds between two attempts


def main(folder: str) -> None:
    """Drop the databases of the run that has this folder; exit status 1 if one is left."""
    path = Path(folder)
    record: dict[str, Any] = json.loads((path / _ADDRESS).read_text(encoding="utf-8"))
    raise SystemExit(not sweep(Dsn.from_record(record["dsn"]), path.name))


def sweep(dsn: Dsn, run_id: str) -> bool:
    """Drop the databases of a run, its control database last; return whether none is left.

    One that cannot be dropped now is tried again for a while, and keeps none of the
    others. The control database stays as long as there is something to know.
    """
    control = names.control(run_id)
    with connect(dsn) as connection:
        waiting = _databases(dsn, connection, run_id)
        for _ in range(_ATTEMPTS):
            waiting = [name for name in waiting if not _drop(connection, name)]
            if not waiting:
                return _drop(connection, control)
            clock.sleep(_PAUSE)
    return False


def _databases(dsn: Dsn, connection: Connection, run_id: str) -> list[str]:
    """Return what is registered, and what bears our comment under another name by now."""
    control = names.control(run_id)
    registered: list[tuple[Any, ...]] = []
    with contextlib.suppress(psycopg.Error, DatabaseError), connect(dsn.at(control)) as its:
        registered = its.execute(
            "select name from database where role <> 'control' order by registered_at desc"
        ).fetchall()
    commented = connection.execute(
        "select datname from pg_database where datname <> %s "
        "and shobj_description(oid, 'pg_database') = %s",
        (control, names.comment(run_id)),
    ).fetchall()
    return list(dict.fromkeys(name for (name,) in [*registered, *commented]))


def _drop(connection: Connection, name: str) -> bool:
    for force in (False, True):
        with contextlib.suppress(psycopg.Error):
            connection.execute(drop(name, force=force))
            return True
    return False
