"""One of several processes that want the template: run by `runpy`, told by the global `told`."""

from __future__ import annotations

import os
import signal
from typing import Any, Literal

import psycopg

from pytest_dbmigrate.addresses.dsn import Dsn, DsnData
from pytest_dbmigrate.databases.control import Control
from pytest_dbmigrate.errors import DbmigrateError, MigrationError
from tests.conformance.templates import ensure


def main(
    dsn: DsnData,
    run_id: str,
    durable: bool,
    how: Literal["well", "badly", "forever"],
    barrier: Any,
    answers: Any,
) -> None:
    """Build the template when all are here; answer what came of it."""

    def build(scratch: Dsn) -> None:
        answers.send(f"building in {os.getpid()}")
        with psycopg.connect(scratch.conninfo()) as connection:
            connection.execute("create table made_by (process int)")
            connection.execute("insert into made_by values (%s)", (os.getpid(),))
        if how == "badly":
            raise MigrationError("it went wrong", tried=(f"process {os.getpid()}",), todo=("mend",))
        if how == "forever":
            answers.send("still building")
            signal.pause()

    control = Control(Dsn.from_record(dsn), run_id, durable=durable)
    barrier.wait()
    try:
        answers.send(ensure(control, run_id, build))
    except DbmigrateError as error:
        answers.send(str(error))
    control.close()


main(**globals()["told"])
