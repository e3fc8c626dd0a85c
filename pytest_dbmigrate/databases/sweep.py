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

from pytest_dbmigrate.databases import names
from pytest_dbmigrate.databases.control import connect, drop
from pytest_dbmigrate.dsn import Dsn
from pytest_dbmigrate.errors import DatabaseError

_ADDRESS = "address.json"


def main(folder: str) -> None:
    """Drop the databases of the run that has this folder."""
    path = Path(folder)
    record: dict[str, Any] = json.loads((path / _ADDRESS).read_text(encoding="utf-8"))
    sweep(Dsn.from_record(record["dsn"]), path.name)


def sweep(dsn: Dsn, run_id: str) -> None:
    """Drop the databases of a run, its control database last."""
    control = names.control(run_id)
    registered: list[tuple[Any, ...]] = []
    with contextlib.suppress(psycopg.Error, DatabaseError), connect(dsn.at(control)) as connection:
        registered = connection.execute(
            "select name from database where role <> 'control' order by registered_at desc"
        ).fetchall()
    with connect(dsn) as connection:
        for (name,) in registered:
            connection.execute(drop(name))
        connection.execute(drop(control))
