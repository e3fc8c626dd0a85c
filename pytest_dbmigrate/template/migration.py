"""Migration of a database: every environment of the project applied, by a child for each."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from functools import partial

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
from pytest_dbmigrate.schema.difference import Difference
from pytest_dbmigrate.template.candidates import Candidate
from pytest_dbmigrate.template.context import BuildContext
from pytest_dbmigrate.template.facts import ComparisonFacts


class Migration:
    """One run of all environments. `applied` counts the revisions that it has applied so far."""

    def __init__(self, context: BuildContext, build: str, dsn: Dsn, base: Candidate | None) -> None:
        """`dsn` is the database of the build, `base` what it resumes."""
        self._context = context
        self._build = build
        self._dsn = dsn
        self._base = base
        self._names = environments.names(context.environments)
        self.applied = 0

    def run(self) -> dict[str, Result]:
        """Return each environment's result by its name, in order, all of them compared.

        All children are started at once and import meanwhile. They get their jobs one after
        another. What an environment's models are compared with is complete only when the last
        one is applied, so the others stay until then. Raises `DbmigrateError`.
        """
        settings, journal = self._context.settings, self._context.run.journal
        journal.write(MigrationsBegun())
        results: dict[str, Result] = {}
        place = self._context.run.folder / files.FOLDER / self._dsn.dbname
        with contextlib.ExitStack() as stack:
            lent = stack.enter_context(files.for_migrations(settings.env_file, self._dsn, place))
            children = [
                stack.enter_context(contextlib.closing(self._context.start_child(it)))
                for it in self._context.environments
            ]
            for name, child in zip(self._names, children, strict=True):
                job = self._job(results, lent)
                with _naming(name):
                    results[name] = child.migrate(
                        job, partial(self._follow, name), _import_sqlalchemy
                    )
                if results[name].output:
                    journal.write(MigrationsPrinted(results[name].output))
            for name, child in zip(self._names[:-1], children[:-1], strict=True):
                others = _tables_of(it for other, it in results.items() if other != name)
                with _naming(name):
                    comparison = child.compare(others)
                results[name] = replace(results[name], comparison=comparison)
        return results

    def _job(self, before: Mapping[str, Result], lent: dict[str, str]) -> Job:
        """Return the job of the next environment; `before` are the results of those before it."""
        number, settings, base = len(before), self._context.settings, self._base
        environment, name = self._context.environments[number], self._names[number]
        return Job(
            environment=environment,
            name=name,
            dsn=self._dsn,
            history=self._context.control.dsn,
            run=self._context.run.id,
            build=self._build,
            target=settings.target[number % len(settings.target)],
            options=AlembicOptions(
                root=str(settings.root),
                x=settings.x,
                attributes=tuple((it.name, it.value) for it in settings.attributes),
                driver=settings.driver,
            ),
            check=settings.check != "off",
            environ=settings.environ_for(self._dsn) | lent,
            is_kept=settings.resume,
            is_checked_later=number < len(self._names) - 1,
            configured=base.configured.get(name) if base else None,
            before=settings.before if base is None and number == 0 else (),
            helpers=settings.before,
            within=settings.within,
            others=_tables_of(before.values()) if len(self._names) > 1 else None,
            address_files=(*lent.values(), *(it.target for it in settings.env_file if it.target)),
        )

    def _follow(self, environment: str, message: ProgressMessage) -> None:
        self.applied += isinstance(message, Done)
        self._context.run.journal.write(_note(message, environment))


def _note(message: ProgressMessage, environment: str) -> Note:
    """Return the note for the journal of a message from an environment's child."""
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
    """Return the tables of several environments."""
    return tuple(it.tables for it in results if it.tables is not None)


def compared(results: Mapping[str, Result]) -> ComparisonFacts:
    """Return the combined comparison of all environments, with each difference once."""
    records = [it for result in results.values() for it in result.comparison.differences]
    differences = tuple(dict.fromkeys(map(Difference.from_record, records)))
    unchecked = {
        name: it.comparison.unchecked for name, it in results.items() if it.comparison.unchecked
    }
    reasons = [f"{name}: {reason}" if name else reason for name, reason in unchecked.items()]
    if len(unchecked) < len(results):  # the comparisons of the others count
        return ComparisonFacts(differences, partly="; ".join(reasons))
    is_same = len(set(unchecked.values())) == 1
    why = next(iter(unchecked.values())) if is_same else "; ".join(reasons)
    return ComparisonFacts(differences, unchecked=why)


@contextlib.contextmanager
def _naming(environment: str) -> Iterator[None]:
    """Add the environment's name to an error, if there are several."""
    try:
        yield
    except MigrationError as error:
        if not environment:
            raise
        raise replace(error, tried=(f"environment {environment}", *error.tried)) from error


def _import_sqlalchemy() -> None:
    """Import what this process needs next, while the child works."""
    import sqlalchemy.engine  # noqa: F401
