"""The turn to build: one process at a time finds, resumes or builds a home's template.

It is an advisory lock. A process that is killed loses it with its connection, and the next
one has its turn; the table `holder` only tells those who wait for whom they wait. The first
process of a run to have the turn records the outcome, which the others share.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime

from psycopg.types.json import Json

from pytest_dbmigrate import locks
from pytest_dbmigrate.databases.control_connection import ControlConnection
from pytest_dbmigrate.errors import BusyError, DbmigrateError, as_record, from_record


@dataclass(frozen=True)
class Holder:
    """Who has the turn: a process of a run, and since when by the server's clock."""

    run: str
    host: str
    process: int
    since: datetime

    def __str__(self) -> str:
        when = self.since.astimezone().strftime("%H:%M:%S")
        return f"run {self.run} (process {self.process} on {self.host}), since {when}"


@dataclass(frozen=True)
class Outcome:
    """How a run's attempt to get a template ended: with a build's id, or with an error."""

    build: str = ""
    error: DbmigrateError | None = None


@contextlib.contextmanager
def building(
    control: ControlConnection,
    patience: float = 600.0,
    waiting: Callable[[Holder], None] = lambda _: None,
) -> Iterator[None]:
    """Let one process at a time into the block.

    `waiting` is called with the holder if that is another run. Raises `BusyError` after
    `patience` seconds of waiting for another run.
    """
    _wait(control, patience, waiting)
    with control.unlocking(locks.TURN):
        control.execute("delete from holder")
        control.execute(
            "insert into holder values (%s, %s, %s)",
            (control.run, socket.gethostname(), os.getpid()),
        )
        yield


def holder(control: ControlConnection) -> Holder | None:
    """Return who had the turn last; None if nobody ever had."""
    row = control.execute("select run, host, process, since from holder").fetchone()
    return Holder(*row) if row else None


def outcome(control: ControlConnection) -> Outcome | None:
    """Return the outcome of this run; None if no process of it has had the turn."""
    record = control.one("select outcome from outcome where run = %s", (control.run,))
    if record is None:
        return None
    return Outcome(record["build"], record["error"] and from_record(record["error"]))


def record(control: ControlConnection, outcome: Outcome) -> None:
    """Record the outcome of this run, for its other processes."""
    error = outcome.error and as_record(outcome.error)
    values = Json({"build": outcome.build, "error": error}, dumps=json.dumps)
    control.execute("insert into outcome values (%s, %s)", (control.run, values))


def _wait(control: ControlConnection, patience: float, waiting: Callable[[Holder], None]) -> None:
    if control.try_lock(locks.TURN):
        return
    other = holder(control)
    if other and other.run != control.run:
        waiting(other)
    while not control.lock(locks.TURN, patience):
        other = holder(control)
        if other and other.run == control.run:
            continue  # another worker: it has all the time that the migrations take
        raise BusyError(
            f"another run of this project has been applying migrations for {patience:g} s",
            tried=(f"waiting for {other or 'whoever holds the lock'}",),
            todo=("end that run, or wait longer with --db-wait",),
        )
