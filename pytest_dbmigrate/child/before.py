"""Steps of `dbmigrate_before`: SQL and functions that run ahead of the first revision.

They make what the revisions take for granted: extensions, schemas, roles.
"""

from __future__ import annotations

import hashlib
import inspect
import os
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import psycopg
from sqlalchemy import create_engine
from sqlalchemy.pool import NullPool

from pytest_dbmigrate.addresses.dsn import Dsn, default_driver
from pytest_dbmigrate.child import failure, references
from pytest_dbmigrate.errors import MigrationError
from pytest_dbmigrate.migrations.events import Event, EventLog
from pytest_dbmigrate.migrations.messages import Prepared
from pytest_dbmigrate.migrations.steps import is_file, label
from pytest_dbmigrate.settings import parsers


@dataclass(frozen=True)
class Step:
    """One line of `dbmigrate_before`: a `.sql` file, SQL, or `module:function`."""

    line: str

    @property
    def module(self) -> str:
        """The module of a function; nothing for SQL."""
        return self.line.partition(":")[0] if parsers.is_reference(self.line) else ""

    def run(self, dsn: Dsn) -> None:
        """Run the step and commit it. Whatever it raises comes through."""
        if self.module:
            self._call(dsn)
            return
        statement = (
            Path(self.line).read_text(encoding="utf-8-sig") if is_file(self.line) else self.line
        )
        with psycopg.connect(dsn.conninfo(), autocommit=True) as connection:
            try:
                connection.execute(statement.encode())
            except psycopg.Error as error:
                error.statement = statement  # type: ignore[attr-defined]  # as SQLAlchemy has it
                raise

    def _call(self, dsn: Dsn) -> None:
        function = references.load(self.line, "dbmigrate_before")
        if not callable(function) or inspect.iscoroutinefunction(function):
            raise MigrationError(
                f"dbmigrate_before names {self.line}, which is not a plain function",
                todo=("name a function that takes a Connection of SQLAlchemy",),
            )
        engine = create_engine(dsn.url(default_driver()), poolclass=NullPool)
        with engine.begin() as connection:
            function(connection)


def run(
    steps: Sequence[str], dsn: Dsn, events: EventLog, notify: Callable[[Prepared], None]
) -> None:
    """Run each step, with an event before and after it. Raises `MigrationError`."""
    for step in map(Step, steps):
        event = Event(label(step.line), "started", _sha(step.line))
        events.append(event)
        began = time.monotonic()
        try:
            step.run(dsn)
        except MigrationError:
            raise
        except BaseException as error:
            explained = failure.of_step(error, label(step.line), _file(step))
            seconds = time.monotonic() - began
            message = explained.message.replace("\0", "")
            events.append(replace(event, kind="failed", seconds=seconds, error=message))
            raise explained from error
        seconds = time.monotonic() - began
        events.append(replace(event, kind="done", seconds=seconds))
        notify(Prepared(label(step.line), seconds))


def modules(steps: Sequence[str]) -> list[str]:
    """Return the files of the modules that have functions among the steps, as far as imported."""
    names = [step.module for step in map(Step, steps) if step.module]
    files = [getattr(sys.modules.get(name), "__file__", None) for name in names]
    return [os.path.realpath(file) for file in files if file]


def files(steps: Sequence[str]) -> list[str]:
    """Return the SQL files among the steps."""
    return [os.path.realpath(step) for step in steps if is_file(step)]


def _file(step: Step) -> str:
    if is_file(step.line):
        return step.line
    return next(iter(modules([step.line])), "")


def _sha(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
