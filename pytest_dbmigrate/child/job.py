"""Job of the migration child: apply, verify and compare one environment.

Connects Alembic's run with the history and the schema check.
"""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

import psycopg
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory

from pytest_dbmigrate.addresses.dsn import Dsn
from pytest_dbmigrate.child import (
    before,
    comparison,
    explanation,
    failure,
    heads,
    plan,
    tables,
    within,
)
from pytest_dbmigrate.child.configuration import configuration
from pytest_dbmigrate.child.env_run import EnvRun
from pytest_dbmigrate.child.plan import Plan
from pytest_dbmigrate.child.progress import Notify, Progress
from pytest_dbmigrate.child.record import Record
from pytest_dbmigrate.child.recorder import FileRecorder
from pytest_dbmigrate.child.upgrade import Check, Upgrade
from pytest_dbmigrate.databases.connection import connect
from pytest_dbmigrate.errors import DbmigrateError
from pytest_dbmigrate.migrations.env_configuration import TablesMade
from pytest_dbmigrate.migrations.events import EventLog
from pytest_dbmigrate.migrations.fingerprint import Manifest
from pytest_dbmigrate.migrations.messages import (
    AlembicOptions,
    Comparison,
    Job,
    Result,
    Scripts,
    ScriptsRequest,
    Tables,
)
from pytest_dbmigrate.migrations.steps import BEFORE


def scripts(request: ScriptsRequest) -> Scripts:
    """Return the revisions in the scripts folder, without running env.py."""
    _add_to_search_path(request.root)
    nowhere = Dsn("127.0.0.1", 1, "", "", "")
    options = AlembicOptions(root=request.root)

    def read_scripts() -> Scripts:
        with configuration(request.environment, nowhere, ("head",), options) as config:
            return Scripts(plan.listing(config))

    try:
        return within.run(request.within, read_scripts)
    except DbmigrateError:
        raise
    except BaseException as error:
        raise failure.of_environment(error, None) from error


class JobRunner:
    """Runs one environment's part of a build: applies, verifies and compares it."""

    def __init__(self, job: Job, notify: Notify) -> None:
        self._job = job
        self._notify = notify
        self._upgrade: Upgrade | None = None
        self._recorder: FileRecorder | None = None
        if job.is_kept:
            self._recorder = FileRecorder(job.options.root, job.address_files)
        self._missing_names: list[str] = []  # that env.py looked up in config.attributes in vain
        self._comparison = Comparison()
        _add_to_search_path(job.options.root)

    def upgrade(self) -> Result:
        """Apply the environment, and compare it unless that has to wait for the others."""
        job = self._job
        facts = None
        with connect(job.history) as history:
            events = self._log(history, job.name)
            events.own()
            with self._explain_errors():
                self._prepare(self._log(history, BEFORE))
                check = partial(self._compare, job.others or ())
                made = self._tables_made()
                upgrade = self._run(events, made, _ignore if job.is_checked_later else check)
            with self._connect() as connection:
                current = heads.verify(connection, upgrade)
            if made:
                facts = self._tables(upgrade, events, made)
        manifest = self._manifest(self._recorder, upgrade) if self._recorder else None
        return Result(current, self._comparison, facts, manifest)

    def compare(self, others: Sequence[Tables]) -> Comparison:
        """Compare the schema with the models, once all environments are applied."""
        self._recorder = None  # the files that shape the schema are known already
        with connect(self._job.history) as history, self._explain_errors():
            events = self._log(history, self._job.name)
            self._run(events, None, partial(self._compare, others))
        return self._comparison

    def _connect(self) -> psycopg.Connection[tuple[Any, ...]]:
        """Return a connection to the database that is neither env.py's nor the project's."""
        return psycopg.connect(self._job.dsn.conninfo(), autocommit=True)

    def _log(self, history: Any, environment: str) -> EventLog:
        return EventLog(history, self._job.run, self._job.build, environment)

    def _prepare(self, events: EventLog) -> None:
        """Run the steps of `dbmigrate_before`."""
        job = self._job
        if job.before:
            steps = partial(before.run, job.before, job.dsn, events, self._notify)
            within.run(job.within, steps)

    def _run(self, events: EventLog, made: tables.Made | None, check: Check) -> Upgrade:
        """Run env.py once, in the surroundings that `dbmigrate_within` names."""
        job = self._job

        def run_env() -> Upgrade:
            with configuration(job.environment, job.dsn, job.target, job.options) as config:
                self._missing_names = config.attributes.missed  # type: ignore[attr-defined]  # ours
                upgrade = self._upgrade = Upgrade(
                    EnvRun(config, job.dsn),
                    Plan(job.target, is_resumed=bool(self._recorder and job.configured)),
                    Progress(events, self._notify, self._recorder),
                    check,
                    self._record(made),
                    taken={name: it.scripts for it in job.others or () for name in it.versions},
                )
                upgrade.run()
            return upgrade

        return within.run(job.within, run_env)

    def _record(self, made: tables.Made | None) -> Record | None:
        if self._recorder is None:
            return None
        steps = self._job.helpers
        helpers = [*before.modules(steps), *before.files(steps)]
        known = made.at_start() if made else TablesMade()
        return Record(self._recorder, self._job.configured, helpers, known)

    def _compare(
        self,
        others: Sequence[Tables],
        config: Config,
        script: ScriptDirectory,
        context: MigrationContext,
    ) -> None:
        """Compare the schema with the models, inside env.py's run."""
        off = "" if self._job.check else "dbmigrate_check is off"
        unchecked = off or comparison.why_not(script, context)
        if unchecked:
            self._comparison = Comparison(unchecked=unchecked)
            return
        assert self._upgrade is not None
        env = self._upgrade.env
        began = time.monotonic()
        theirs = {name for it in others for name in (*it.models, *it.made, *it.versions)}
        leave = comparison.OtherTables(theirs - {*env.models()}, env.schema)
        try:
            differences = comparison.differences(config, script, context, leave)
        except Exception as error:
            raise failure.of_comparison(error) from error
        records = [it.as_record() for it in differences]
        self._comparison = Comparison(records, seconds=time.monotonic() - began)

    @contextlib.contextmanager
    def _explain_errors(self) -> Iterator[None]:
        """Turn any exception into one of our errors."""
        try:
            yield
        except DbmigrateError:
            raise
        except BaseException as error:  # env.py may raise SystemExit, too
            dsn, missing = self._job.dsn, self._missing_names
            raise explanation.of(error, self._upgrade, missing, dsn) from error

    def _tables_made(self) -> tables.Made | None:
        """Return the watch on the tables that this environment makes, if there are several."""
        if self._job.others is None:
            return None
        configured = self._job.configured
        earlier = configured.tables if configured else TablesMade()
        with self._connect() as connection:
            return tables.Made(earlier, tables.every(connection))

    def _tables(self, upgrade: Upgrade, events: EventLog, made: tables.Made) -> Tables:
        with self._connect() as connection:
            known = made.at_end(tables.every(connection))
        if self._recorder:
            events.tables(known)
        env = upgrade.env
        version_tables = [f"{schema or env.schema}.{table}" for table, schema in upgrade.reached]
        return Tables(env.models(), known.made, version_tables, env.scripts)

    def _manifest(self, recorder: FileRecorder, upgrade: Upgrade) -> Manifest:
        paths = [*self._job.environment.files, upgrade.env.file]
        others = [os.path.realpath(path) for path in paths] + before.files(self._job.helpers)
        return recorder.manifest(plan.paths(upgrade.env.script), others)


def _add_to_search_path(root: str) -> None:
    """Make `module:function` settings importable from the project's folder, too."""
    if root not in sys.path:
        sys.path.append(root)


def _ignore(*_: Any) -> None:
    """Compare nothing: the comparison is a later request."""
