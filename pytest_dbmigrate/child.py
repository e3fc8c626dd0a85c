"""The conductor inside the migration child: joins Alembic's run, the history and the check.

The scripts run in a process of their own, because env.py imports the application:
in the tests' process that would bind the application's engine to the wrong database,
let `fileConfig` switch loggers off, and leak whatever a migration patches.
"""

from __future__ import annotations

import gc
import json
import os
import sys
import threading
import time
from typing import IO, Any

import psycopg

from pytest_dbmigrate.databases.connection import connect
from pytest_dbmigrate.dsn import Dsn, redact
from pytest_dbmigrate.errors import DbmigrateError, MigrationError, as_record
from pytest_dbmigrate.migrations import alembic, failure, versions
from pytest_dbmigrate.migrations.events import EventLog
from pytest_dbmigrate.migrations.messages import Job, Message, send
from pytest_dbmigrate.migrations.sources import Sources
from pytest_dbmigrate.schema import expected

_ORPHANED = 3  # exit status


def main(results: int) -> None:
    """Wait for the job, do it, and tell the parent on the file descriptor `results`.

    Ends with exit status 0 whenever the parent was told how it went.
    """
    line = sys.stdin.readline()
    if not line:
        return  # there was nothing to do after all
    job: Any = json.loads(line)
    os.environ.update(job.get("environ", {}))
    threading.Thread(target=_end_with_parent, args=(_taken_stdin(),), daemon=True).start()
    _keep_from_children(results)
    with open(results, "w", encoding="utf-8") as stream:
        try:
            message = _look(job) if "look" in job else _work(job, stream)
        except DbmigrateError as error:
            message = {"type": "error", "error": as_record(error)}
        sys.stdout.flush()
        sys.stderr.flush()
        send(stream, message)
    gc.disable()  # the end of the process frees all at once; collecting first took 0.2 s
    gc.freeze()


def _look(job: dict[str, Any]) -> Message:
    """Return the revisions that the scripts know, without running env.py."""
    source = job["source"]
    nowhere = Dsn("127.0.0.1", 1, "", "", "")
    config = alembic.configuration(source["ini"], source["toml"], nowhere, job["target"])
    try:
        return {"type": "scripts", "scripts": alembic.listing(config)}
    except DbmigrateError:
        raise
    except BaseException as error:
        raise failure.of_environment(error, None) from error


def _work(job: Job, stream: IO[str]) -> Message:
    dsn = Dsn.from_record(job["dsn"])
    upgrade: alembic.Upgrade | None = None
    result: Message = {"type": "result", "heads": [], "differences": [], "unchecked": ""}

    def notify(kind: Any, **facts: Any) -> None:
        send(stream, {"type": kind, **facts})  # type: ignore[typeddict-item]

    def check(*context: Any) -> None:
        off = "" if job["check"] else "dbmigrate_check is off"
        result["unchecked"] = off or expected.why_not(*context[1:])
        if not result["unchecked"]:
            began = time.monotonic()
            try:
                found = expected.differences(*context)
            except Exception as error:
                raise failure.of_comparison(error) from error
            result["differences"] = [item.as_record() for item in found]
            result["seconds"] = time.monotonic() - began

    with connect(Dsn.from_record(job["events"])) as history:
        try:
            source = job["source"]
            config = alembic.configuration(source["ini"], source["toml"], dsn, job["target"])
            events = EventLog(history, job["run"], job["build"])
            events.own()
            sources = Sources(job["root"]) if job["root"] else None
            upgrade = alembic.Upgrade(
                config, dsn, job["target"], events, notify, check, sources, job["configured"]
            )
            upgrade.run()
        except DbmigrateError:
            raise
        except BaseException as error:  # env.py may raise SystemExit, too
            raise _explained(error, dsn, upgrade) from error
    result["heads"] = list(_heads(dsn, upgrade))
    _need_heads(upgrade, result["heads"])
    if sources:
        result["manifest"] = _manifest(sources, upgrade, job)
    return result


def _manifest(sources: Sources, upgrade: alembic.Upgrade, job: Job) -> dict[str, Any]:
    given = [job["source"]["ini"], job["source"]["toml"], upgrade.script.env_py_location]
    others = [os.path.realpath(path) for path in given if path]
    return sources.manifest(alembic.scripts_of(upgrade.script), others)


def _explained(error: BaseException, dsn: Dsn, upgrade: alembic.Upgrade | None) -> DbmigrateError:
    if upgrade is None or upgrade.current is None:
        return failure.of_environment(error, upgrade)
    try:
        explained = failure.of_revision(error, upgrade, _heads(dsn, upgrade))
        upgrade.fail(redact(explained.message, dsn.password))
    except psycopg.OperationalError:  # nobody is there to write it down
        return failure.of_lost_server(error, upgrade)
    return explained


def _heads(dsn: Dsn, upgrade: alembic.Upgrade) -> tuple[str, ...]:
    """Return what the version table of our database says, whatever env.py did."""
    table, schema = upgrade.version_table
    with psycopg.connect(dsn.conninfo(), autocommit=True) as connection:
        return versions.heads(connection, table, schema or upgrade.schema)


def _need_heads(upgrade: alembic.Upgrade, heads: list[str]) -> None:
    if upgrade.done and not heads:
        table, schema = upgrade.version_table
        raise MigrationError(
            f"the migrations ran, but version table {f'{schema}.' if schema else ''}{table} "
            "in the database prepared for them is empty",
            tried=(f"running env.py once, which applied {', '.join(upgrade.done[-3:])}",),
            todo=("let env.py commit what it runs, on the connection it gives Alembic",),
        )


def _taken_stdin() -> int:
    """Return standard input under another number: a script that reads it finds its end."""
    pipe = os.dup(0)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    return pipe


def _keep_from_children(results: int) -> None:
    """Let no process that a script starts hold the pipe open after our death."""
    os.set_inheritable(results, False)
    os.register_at_fork(after_in_child=lambda: os.close(results))


def _end_with_parent(pipe: int) -> None:
    """End this process when the parent closes its end of standard input, however it ends."""
    # not sys.stdin.read(): the interpreter could not end while a thread waits in there
    while os.read(pipe, 1):
        pass
    os._exit(_ORPHANED)
