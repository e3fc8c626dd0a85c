"""How the environments of a project are applied: a child for each, one after another."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from pytest_dbmigrate.addresses import files
from pytest_dbmigrate.addresses.dsn import Dsn
from pytest_dbmigrate.errors import MigrationError
from pytest_dbmigrate.migrations import environments
from pytest_dbmigrate.runs.notes import (
    MigrationsBegun,
    MigrationsPrinted,
    Note,
    RevisionDone,
    RevisionStarted,
    StepPrepared,
    UpgradePlanned,
)
from pytest_dbmigrate.runs.run import Run
from pytest_dbmigrate.settings.values import Settings
from pytest_dbmigrate.template.candidates import Candidate

if TYPE_CHECKING:
    from pytest_dbmigrate.migrations.environments import Environment
    from pytest_dbmigrate.migrations.messages import Job, Message
    from pytest_dbmigrate.migrations.process import ChildProcess


class Children:
    """The migration children of a run. `applied` is the number of revisions they have applied."""

    def __init__(
        self,
        settings: Settings,
        run: Run,
        events: Dsn,
        sources: Sequence[Environment],
        start: Callable[[Environment], ChildProcess],
    ) -> None:
        """`events` is where the control database is; `start` starts the child of a source."""
        self._settings = settings
        self._run = run
        self._events = events
        self._sources = sources
        self._start = start
        self.applied = 0

    def migrate(self, build: str, dsn: Dsn, base: Candidate | None) -> dict[str, Message]:
        """Return what each environment's child says, in order; compared when all are applied.

        Raises `DbmigrateError`.
        """
        self._run.journal.write(MigrationsBegun())
        self.applied = 0
        names = environments.names(self._sources)
        results: dict[str, Message] = {}
        place = self._run.folder / files.FOLDER / dsn.dbname
        with contextlib.ExitStack() as running:
            lent = running.enter_context(files.lent(self._settings.env_file, dsn, place))
            started = {
                name: running.enter_context(contextlib.closing(self._start(one)))
                for name, one in zip(names, self._sources, strict=True)
            }
            for name, one in zip(names, self._sources, strict=True):
                job = self._job(build, dsn, base, name, one, results, lent)
                with _naming(name):
                    follow = partial(self._follow, name)
                    results[name] = started[name].migrate(job, follow, _import_sqlalchemy)
                if results[name]["output"]:
                    self._run.journal.write(MigrationsPrinted(results[name]["output"]))
            for name in names[:-1]:
                others = [results[it]["tables"] for it in names if it != name]
                with _naming(name):
                    results[name] |= _of_comparison(started[name].compare(others, _ignore))
        return results

    def _job(
        self,
        build: str,
        dsn: Dsn,
        base: Candidate | None,
        name: str,
        one: Environment,
        before: dict[str, Message],
        lent: dict[str, str],
    ) -> Job:
        number, settings = len(before), self._settings
        is_last = number == len(self._sources) - 1
        others = [it["tables"] for it in before.values()] if len(self._sources) > 1 else None
        return {
            "environ": settings.environ_for(dsn) | lent,
            "dsn": dsn.as_record(),
            "events": self._events.as_record(),
            "run": self._run.id,
            "build": build,
            "environment": name,
            "root": str(settings.root),
            "is_kept": settings.resume,
            "configured": base.configured.get(name) if base else None,
            "source": one.as_record(),
            "target": settings.target[number % len(settings.target)],
            "x": settings.x,
            "attributes": [(it.name, it.value) for it in settings.attributes],
            "driver": settings.driver,
            "before": settings.before if base is None and number == 0 else (),
            "helpers": settings.before,
            "within": settings.within,
            "others": others,
            "check": settings.check != "off",
            "is_checked_later": not is_last,
            "handed": [*lent.values(), *(it.target for it in settings.env_file if it.target)],
        }

    def _follow(self, environment: str, message: Message) -> None:
        self.applied += message["type"] == "done"
        self._run.journal.write(_note(message, environment))


def _note(message: Message, environment: str) -> Note:
    """Return what the journal says of a message from an environment's child."""
    match message["type"]:
        case "plan":
            return UpgradePlanned(environment, message["total"])
        case "prepared":
            return StepPrepared(message["revision"], message["seconds"])
        case "started":
            return RevisionStarted(message["revision"])
        case "done":
            return RevisionDone(message["revision"], message["seconds"])
    raise ValueError(message["type"])  # the others are answers, and end what is followed


def compared(results: dict[str, Message]) -> dict[str, Any]:
    """Return what the comparisons of all environments come to: each difference once."""
    found = [it for result in results.values() for it in result["differences"]]
    unchecked = {name: it["unchecked"] for name, it in results.items() if it["unchecked"]}
    reasons = [f"{name}: {it}" if name else it for name, it in unchecked.items()]
    is_none = len(unchecked) == len(results)  # else the others' comparison counts
    is_same = is_none and len(set(unchecked.values())) == 1
    why = next(iter(unchecked.values())) if is_same else "; ".join(reasons)
    return {
        "heads": [head for result in results.values() for head in result["heads"]],
        "differences": [it for number, it in enumerate(found) if it not in found[:number]],
        "unchecked": why if is_none else "",
        "partly": "" if is_none else why,
    }


@contextlib.contextmanager
def _naming(environment: str) -> Iterator[None]:
    """Let an error say which of several environments it is about."""
    try:
        yield
    except MigrationError as error:
        if not environment:
            raise
        raise replace(error, tried=(f"environment {environment}", *error.tried)) from error


def _ignore(_message: Message) -> None:
    """Tell nothing: a comparison applies no revision."""


def _of_comparison(message: Message) -> Message:
    return {"differences": message["differences"], "unchecked": message["unchecked"]}


def _import_sqlalchemy() -> None:
    """Spend the time that the child works on what this process needs next."""
    import sqlalchemy.engine  # noqa: F401
