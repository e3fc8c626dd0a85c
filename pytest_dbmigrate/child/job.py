"""What the migration child does with its job: one environment is applied, and compared.

Joins Alembic's run, the history and the check. Lives in the migration child only.
"""

from __future__ import annotations

import contextlib
import os
import re
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import psycopg
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory

from pytest_dbmigrate.addresses.dsn import Dsn, redact
from pytest_dbmigrate.child import before, comparison, failure, tables, within
from pytest_dbmigrate.child.configuration import Wishes, configuration
from pytest_dbmigrate.child.recorder import FileRecorder
from pytest_dbmigrate.child.upgrade import Check, Record, Upgrade, listing, scripts_of
from pytest_dbmigrate.databases.connection import connect
from pytest_dbmigrate.errors import DbmigrateError, MigrationError
from pytest_dbmigrate.migrations import versions
from pytest_dbmigrate.migrations.environments import Environment
from pytest_dbmigrate.migrations.events import EventLog
from pytest_dbmigrate.migrations.messages import Job, Message, Tables
from pytest_dbmigrate.migrations.steps import BEFORE


def look(source: dict[str, Any], root: str, within_reference: str) -> Message:
    """Return the revisions that the scripts know, without running env.py."""
    _find_modules_in(root)
    nowhere = Dsn("127.0.0.1", 1, "", "", "")

    def work() -> Message:
        wishes = Wishes(root=root)
        with configuration(Environment.from_record(source), nowhere, ("head",), wishes) as config:
            return {"type": "scripts", "scripts": listing(config)}

    try:
        return within.run(within_reference, work)
    except DbmigrateError:
        raise
    except BaseException as error:
        raise failure.of_environment(error, None) from error


class JobRunner:
    """One environment's part of a build."""

    def __init__(self, job: Job, notify: Callable[..., None]) -> None:
        self._job = job
        self._notify = notify
        self._dsn = Dsn.from_record(job["dsn"])
        self._upgrade: Upgrade | None = None
        self._sources = FileRecorder(job["root"], job["handed"]) if job["is_kept"] else None
        self._missed: list[str] = []  # what env.py looked for in config.attributes
        _find_modules_in(job["root"])

    def upgrade(self) -> Message:
        """Return the `result`: the environment applied, and compared if it is its turn."""
        result: Message = {"type": "result", "differences": [], "unchecked": ""}
        with connect(Dsn.from_record(self._job["events"])) as history:
            events = self._log(history, self._job["environment"])
            events.own()
            with self._explaining():
                self._prepare(self._log(history, BEFORE))
                check: Check = partial(self._check, self._job["others"] or [], result)
                made = self._made()
                upgrade = self._run(events, made, _nothing if self._is_checked_later else check)
            result["heads"] = list(self._verified(upgrade))
            if made:
                result["tables"] = self._tables(upgrade, events, made)
        if self._sources:
            result["manifest"] = self._manifest(self._sources, upgrade)
        return result

    def compare(self, others: list[Tables]) -> Message:
        """Return what differs from the models, once all environments are applied."""
        result: Message = {"type": "compared", "differences": [], "unchecked": ""}
        self._sources = None  # all that counts has been read
        with connect(Dsn.from_record(self._job["events"])) as history, self._explaining():
            events = self._log(history, self._job["environment"])
            self._run(events, None, partial(self._check, others, result))
        return result

    @property
    def _is_checked_later(self) -> bool:
        return self._job["is_checked_later"]

    def _connected(self) -> psycopg.Connection[tuple[Any, ...]]:
        """Return a connection to the database that is neither env.py's nor the project's."""
        return psycopg.connect(self._dsn.conninfo(), autocommit=True)

    def _log(self, history: Any, environment: str) -> EventLog:
        return EventLog(history, self._job["run"], self._job["build"], environment)

    def _prepare(self, events: EventLog) -> None:
        """Do what comes before the first revision."""
        job = self._job
        if job["before"]:
            steps = partial(before.run, job["before"], self._dsn, events, self._notify)
            within.run(job["within"], steps)

    def _run(self, events: EventLog, made: tables.Made | None, check: Check) -> Upgrade:
        job = self._job
        wishes = Wishes(job["root"], job["x"], job["attributes"], job["driver"])
        target = tuple(job["target"])
        others = job["others"] or []

        def work() -> Upgrade:
            source = Environment.from_record(job["source"])
            with configuration(source, self._dsn, target, wishes) as config:
                self._missed = config.attributes.missed  # type: ignore[attr-defined]
                self._upgrade = Upgrade(
                    config, self._dsn, target, events, self._notify, check, self._record(made),
                    taken={name: it["scripts"] for it in others for name in it["versions"]},
                )  # fmt: skip
                self._upgrade.run()
            return self._upgrade

        return within.run(job["within"], work)

    def _record(self, made: tables.Made | None) -> Record | None:
        if self._sources is None:
            return None
        steps = self._job["helpers"]
        helpers = [*before.modules(steps), *before.files(steps)]
        known = made.begun() if made else None
        return Record(self._sources, self._job["configured"], helpers, known)

    def _check(
        self,
        others: Sequence[Tables],
        result: Message,
        config: Config,
        script: ScriptDirectory,
        context: MigrationContext,
    ) -> None:
        off = "" if self._job["check"] else "dbmigrate_check is off"
        result["unchecked"] = off or comparison.why_not(script, context)
        if result["unchecked"]:
            return
        assert self._upgrade is not None
        began = time.monotonic()
        theirs = {name for it in others for name in (*it["models"], *it["made"], *it["versions"])}
        leave = comparison.Others(theirs - {*self._upgrade.models()}, self._upgrade.schema)
        try:
            found = comparison.differences(config, script, context, leave)
        except Exception as error:
            raise failure.of_comparison(error) from error
        result["differences"] = [item.as_record() for item in found]
        result["seconds"] = time.monotonic() - began

    @contextlib.contextmanager
    def _explaining(self) -> Iterator[None]:
        """Explain what goes wrong."""
        try:
            yield
        except DbmigrateError:
            raise
        except BaseException as error:  # env.py may raise SystemExit, too
            raise self._explained(error) from error

    def _explained(self, error: BaseException) -> DbmigrateError:
        upgrade = self._upgrade
        if upgrade is None or upgrade.is_reading:
            return failure.of_environment(error, None)
        if upgrade.current is None:
            return self._advised(failure.of_environment(error, upgrade), upgrade)
        error = upgrade.raised or error  # env.py may have made another one of it
        try:
            explained = failure.of_revision(error, upgrade, self._heads(upgrade))
            upgrade.fail(redact(explained.message, self._dsn.password))
        except psycopg.OperationalError:  # nobody is there to write it down
            return failure.of_lost_server(error, upgrade)
        return explained

    def _advised(self, error: MigrationError, upgrade: Upgrade) -> MigrationError:
        """Name what env.py looked for and did not find, where it did not come to connect."""
        if upgrade.is_verified or not self._missed:
            return error
        likely = [name for name in self._missed if re.search("conn|engine|bind", name)]
        name = (likely or self._missed)[0]
        wanted = "{engine}" if "engine" in name else "{connection}"
        advice = (
            f"env.py looked for {name!r} in config.attributes: it can be given a connection,",
            f"or an engine, with dbmigrate_attributes = {name} = {wanted}",
        )
        return replace(error, todo=(*error.todo, *advice))

    def _heads(self, upgrade: Upgrade) -> tuple[str, ...]:
        """Return what the version table of our database says, whatever env.py did."""
        with self._connected() as connection:
            return _heads(connection, upgrade, *upgrade.version_table)

    def _verified(self, upgrade: Upgrade) -> tuple[str, ...]:
        """Return the heads; raises `MigrationError` if they are not where they should be."""
        with self._connected() as connection:
            for (table, schema), reached in upgrade.reached.items():
                found = _heads(connection, upgrade, table, schema)
                if {*found} != reached:
                    raise _misplaced(upgrade, f"{f'{schema}.' if schema else ''}{table}", found)
            return _heads(connection, upgrade, *upgrade.version_table)

    def _made(self) -> tables.Made | None:
        """Return what will tell which tables are of this environment, if there are several."""
        if self._job["others"] is None:
            return None
        facts = (self._job["configured"] or {}).get("tables", {})
        with self._connected() as connection:
            return tables.Made(facts, tables.every(connection))

    def _tables(self, upgrade: Upgrade, events: EventLog, made: tables.Made) -> Tables:
        with self._connected() as connection:
            facts = made.ended(tables.every(connection))
        if self._sources:
            events.tables(facts)
        return {
            "models": upgrade.models(),
            "made": facts["made"],
            "versions": [
                f"{schema or upgrade.schema}.{table}" for table, schema in upgrade.reached
            ],
            "scripts": upgrade.scripts,
        }

    def _manifest(self, sources: FileRecorder, upgrade: Upgrade) -> dict[str, Any]:
        given = [
            *Environment.from_record(self._job["source"]).files,
            upgrade.script.env_py_location,
        ]
        others = [os.path.realpath(path) for path in given] + before.files(self._job["helpers"])
        return sources.manifest(scripts_of(upgrade.script), others)


def _heads(
    connection: psycopg.Connection[tuple[Any, ...]],
    upgrade: Upgrade,
    table: str,
    schema: str | None,
) -> tuple[str, ...]:
    return versions.heads(connection, table, schema or upgrade.schema)


def _misplaced(upgrade: Upgrade, table: str, found: tuple[str, ...]) -> MigrationError:
    applied = f", which applied {', '.join(upgrade.done[-3:])}" if upgrade.done else ""
    said = f"names {', '.join(found)}" if found else "is empty"
    return MigrationError(
        f"the migrations ran, but version table {table} in the database prepared for them {said}",
        tried=(f"running env.py once{applied}",),
        todo=("let env.py commit what it runs, on the connection it gives Alembic",),
    )


def _find_modules_in(root: str) -> None:
    """Let what settings name as `module:function` be found in the project's folder, too."""
    if root not in sys.path:
        sys.path.append(root)


def _nothing(*_: Any) -> None:
    """Compare nothing yet."""
