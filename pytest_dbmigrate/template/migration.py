"""How the environments of a project are applied: a child for each, one after another."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from pytest_dbmigrate.addresses import files
from pytest_dbmigrate.addresses.dsn import Dsn
from pytest_dbmigrate.errors import MigrationError
from pytest_dbmigrate.migrations import environments
from pytest_dbmigrate.migrations.messages import (
    AlembicOptions,
    Done,
    Job,
    Planned,
    Prepared,
    ProgressMessage,
    Result,
    Started,
    Tables,
)
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

    def migrate(self, build: str, dsn: Dsn, base: Candidate | None) -> dict[str, Result]:
        """Return what each environment's child says, in order; compared when all are applied.

        Raises `DbmigrateError`.
        """
        self._run.journal.write(MigrationsBegun())
        self.applied = 0
        names = environments.names(self._sources)
        results: dict[str, Result] = {}
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
                if results[name].output:
                    self._run.journal.write(MigrationsPrinted(results[name].output))
            for name in names[:-1]:
                others = _tables_of(it for key, it in results.items() if key != name)
                with _naming(name):
                    comparison = started[name].compare(others)
                results[name] = replace(results[name], comparison=comparison)
        return results

    def _job(
        self,
        build: str,
        dsn: Dsn,
        base: Candidate | None,
        name: str,
        one: Environment,
        before: dict[str, Result],
        lent: dict[str, str],
    ) -> Job:
        number, settings = len(before), self._settings
        is_last = number == len(self._sources) - 1
        return Job(
            environment=one,
            name=name,
            dsn=dsn,
            history=self._events,
            run=self._run.id,
            build=build,
            target=settings.target[number % len(settings.target)],
            options=AlembicOptions(
                root=str(settings.root),
                x=settings.x,
                attributes=tuple((it.name, it.value) for it in settings.attributes),
                driver=settings.driver,
            ),
            check=settings.check != "off",
            environ=settings.environ_for(dsn) | lent,
            is_kept=settings.resume,
            is_checked_later=not is_last,
            configured=base.configured.get(name) if base else None,
            before=settings.before if base is None and number == 0 else (),
            helpers=settings.before,
            within=settings.within,
            others=_tables_of(before.values()) if len(self._sources) > 1 else None,
            address_files=(*lent.values(), *(it.target for it in settings.env_file if it.target)),
        )

    def _follow(self, environment: str, message: ProgressMessage) -> None:
        self.applied += isinstance(message, Done)
        self._run.journal.write(_note(message, environment))


def _note(message: ProgressMessage, environment: str) -> Note:
    """Return what the journal says of a message from an environment's child."""
    match message:
        case Planned():
            return UpgradePlanned(environment, message.total)
        case Prepared():
            return StepPrepared(message.revision, message.seconds)
        case Started():
            return RevisionStarted(message.revision)
        case Done():
            return RevisionDone(message.revision, message.seconds)
    raise TypeError(message)


def _tables_of(results: Iterable[Result]) -> tuple[Tables, ...]:
    """Return the tables that several environments have to do with."""
    return tuple(it.tables for it in results if it.tables is not None)


def compared(results: dict[str, Result]) -> dict[str, Any]:
    """Return what the comparisons of all environments come to: each difference once."""
    found = [it for result in results.values() for it in result.comparison.differences]
    unchecked = {
        name: it.comparison.unchecked for name, it in results.items() if it.comparison.unchecked
    }
    reasons = [f"{name}: {it}" if name else it for name, it in unchecked.items()]
    is_none = len(unchecked) == len(results)  # else the others' comparison counts
    is_same = is_none and len(set(unchecked.values())) == 1
    why = next(iter(unchecked.values())) if is_same else "; ".join(reasons)
    return {
        "heads": [head for result in results.values() for head in result.heads],
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


def _import_sqlalchemy() -> None:
    """Spend the time that the child works on what this process needs next."""
    import sqlalchemy.engine  # noqa: F401
