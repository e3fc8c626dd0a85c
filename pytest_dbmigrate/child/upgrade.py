"""Alembic's side of an upgrade: one env.py run, a transaction for each revision.

Lives in the migration child only. Alembic calls `Upgrade.steps` for the work to do
and runs each step it yields in a transaction of its own, so what surrounds a `yield`
surrounds a revision: the event before it, the event after its commit.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from alembic.config import Config
from alembic.runtime.environment import EnvironmentContext
from alembic.runtime.migration import MigrationContext, MigrationStep
from alembic.script import ScriptDirectory
from alembic.util import CommandError

from pytest_dbmigrate.addresses.dsn import Dsn
from pytest_dbmigrate.child.recorder import FileRecorder
from pytest_dbmigrate.child.watch import Watch
from pytest_dbmigrate.errors import MigrationError, StaleStateError, WrongDatabaseError
from pytest_dbmigrate.migrations.events import Event, EventKind, EventLog

Notify = Callable[..., None]
Check = Callable[[Config, ScriptDirectory, MigrationContext], None]

HAND_OVER = (
    "let env.py take its URL from config.get_main_option('sqlalchemy.url'),",
    "or name the environment variable it reads in dbmigrate_env",
)


def target_of(script: ScriptDirectory, target: tuple[str, ...]) -> str | tuple[str, ...]:
    """Return the target as Alembic takes it.

    Raises `MigrationError` for several heads, and for a gap in the chain of revisions.
    """
    try:
        heads = script.get_heads()
    except KeyError as gap:  # what Alembic's revision map raises
        raise MigrationError(
            f"no script has revision {gap.args[0]}, which another revision follows",
            tried=(f"reading the scripts in {script.dir}",),
            todo=(f"restore it, or mend the script that has down_revision = {gap.args[0]!r}",),
        ) from gap
    if target == ("head",) and len(heads) > 1:
        raise MigrationError(
            f"the migrations have {len(heads)} heads: {', '.join(sorted(heads))}",
            todo=(
                f'merge them: alembic merge -m "merge heads" {" ".join(sorted(heads))}',
                "or migrate to all of them: dbmigrate_target = heads",
            ),
        )
    return target[0] if len(target) == 1 else target


@dataclass(frozen=True)
class Record:
    """What makes an upgrade one that may be resumed: its `sources` are written down.

    `configured` is what env.py had told Alembic when the database was last migrated, if it
    was; `helpers` are modules of the project that have a part in it besides env.py; `tables`
    is what is known by now of the tables that the environment makes.
    """

    sources: FileRecorder
    configured: dict[str, Any] | None = None
    helpers: Sequence[str] = ()
    tables: dict[str, Any] | None = None


class Upgrade:
    """One upgrade of one database: its plan, where it stands, what env.py gave Alembic."""

    def __init__(
        self,
        config: Config,
        dsn: Dsn,
        target: tuple[str, ...],
        events: EventLog,
        notify: Notify,
        check: Check,
        record: Record | None = None,
        *,
        taken: Mapping[str, str] | None = None,
    ) -> None:
        """`taken` has other environments' version tables, each with the folder of its scripts."""
        self.script = ScriptDirectory.from_config(config)
        self.current: MigrationStep | None = None
        self.done: list[str] = []
        self.total = 0
        self.version_table: tuple[str, str | None] = ("alembic_version", None)
        self.schema: str | None = None  # where it is if env.py does not name one
        self.reached: dict[tuple[str, str | None], set[str]] = {}  # by version table
        self.is_verified = False
        self.is_reading = False  # the scripts
        self.raised: BaseException | None = None  # by a revision
        self._config = config
        self._dsn = dsn
        self._target = target
        self._events = events
        self._notify = notify
        self._check = check
        self._record = record
        self._taken = taken or {}
        self._sources = record.sources if record else None
        self._began = 0.0
        self._checksum = ""
        self._opened = 0
        self._is_transactional = True
        self._was_asked = False
        self._options: dict[str, Any] = {}

    def run(self) -> None:
        """Run env.py once. Whatever it or a revision raises comes through."""
        environment = EnvironmentContext(
            self._config,
            self.script,
            fn=self.steps,
            as_sql=False,
            starting_rev=None,
            destination_rev=self._target[0] if len(self._target) == 1 else "heads",
            tag=None,
        )
        self._environment = environment
        configure = environment.configure

        def configure_verified(connection: Any = None, **options: Any) -> None:
            self._verify(connection)
            self.version_table = (
                options.get("version_table") or "alembic_version",
                options.get("version_table_schema"),
            )
            options["transaction_per_migration"] = True
            self._options = options
            configure(connection=connection, **options)

        # the instance's attribute: the functions of alembic.context look it up there
        environment.configure = configure_verified  # type: ignore[method-assign, assignment]
        with contextlib.closing(Watch(self._leave_transaction)) as self._watch, environment:
            self.script.run_env()
        if self.raised is not None and self.current is not None:
            raise self.raised  # env.py has swallowed it
        if not self._was_asked:
            raise MigrationError(
                "env.py ended without running the migrations",
                tried=(str(self.script.env_py_location),),
                todo=("let it call context.configure(...) and context.run_migrations()",),
            )
        if self.current is not None:
            raise MigrationError(
                f"env.py ended in the middle of revision {revision_of(self.current)}",
                tried=(str(self.script.env_py_location),),
                todo=("let it raise what context.run_migrations() raises",),
            )

    def steps(self, heads: Any, context: MigrationContext) -> Iterator[MigrationStep]:
        """Yield Alembic's own steps, an event before and after each; then check."""
        self._was_asked = True
        self.schema = _answer(context.connection, "select current_schema()")
        self.script = self._environment.script  # env.py may have given it another
        self._refuse_taken()
        plan = self._plan(heads)
        if self._record:
            self._compare(self._facts(self._record), self._record)
        self.total += len(plan)
        self._notify("plan", total=len(plan))
        finished: list[Event] = []
        for step in plan:
            self._start(step, finished)
            self._wrap(step)
            yield step
            finished = [self._finish(step)]
        self._events.append(*finished)
        self.current = None
        self.reached[self.version_table] = set(context.get_current_heads())
        self._check(self._config, self.script, context)

    @property
    def scripts(self) -> str:
        """The folder of the scripts."""
        return os.path.realpath(self.script.dir)

    def _refuse_taken(self) -> None:
        """Refuse the version table of other scripts: Alembic would take its revisions for ours."""
        table = f"{self.version_table[1] or self.schema}.{self.version_table[0]}"
        if self._taken.get(table, self.scripts) != self.scripts:
            raise MigrationError(
                f"two environments have one version table, {table}",
                tried=(f"the scripts of the other: {self._taken[table]}",),
                todo=("give one of them its own: version_table in context.configure()",),
            )

    def _plan(self, heads: Any) -> list[Any]:
        self.is_reading = True
        target = target_of(self.script, self._target)
        self.is_reading = False
        try:
            return self.script._upgrade_revs(target, heads)  # type: ignore[arg-type]  # noqa: SLF001  # as alembic.command does
        except CommandError as error:
            if self._record and self._record.configured:
                raise StaleStateError(str(error)) from error
            raise MigrationError(
                f"the migrations cannot be run to {' '.join(self._target)}: {error}",
                todo=("see `alembic history`; dbmigrate_target names another revision",),
            ) from error

    def models(self) -> list[str]:
        """Return `schema.table` for each table of the models that env.py gave Alembic."""
        return sorted(
            f"{table.schema or self.schema}.{table.name}"
            for metadata in self._metadata()
            for table in metadata.tables.values()
        )

    def fail(self, error: str) -> None:
        """Write the event of the current revision's failure."""
        if self.current is not None:
            text = error.replace("\0", "\ufffd").encode("utf-8", "replace").decode()
            self._events.append(self._event("failed", time.monotonic() - self._began, text))

    def _start(self, step: MigrationStep, finished: list[Event]) -> None:
        self.current = step
        self.raised = None
        self._checksum = _checksum(step)
        self._is_transactional = True
        if self._sources:
            self._opened = self._sources.mark()
        self._events.append(*finished, self._event("started"))
        self._notify("started", revision=revision_of(step), doc=step.doc or "")
        self._began = time.monotonic()

    def _wrap(self, step: Any) -> None:
        """Watch the step's script, and not what Alembic does around it."""
        run, watch = step.migration_fn, self._watch

        @functools.wraps(run)  # Alembic logs its name
        def watched(**keywords: Any) -> None:
            try:
                with watch.script():
                    run(**keywords)
            except BaseException as error:
                self.raised = error
                raise
            if self._sources and self._sources.mark() > self._opened:
                # what it has read is written down before its commit, after which we may be killed
                self._events.append(self._event("started", read=True))

        step.migration_fn = watched

    def _leave_transaction(self) -> None:
        """Write down, before it happens, that the revision commits something on its own."""
        if self.current is not None and self._is_transactional:
            self._is_transactional = False
            self._events.append(self._event("started"))

    def _finish(self, step: MigrationStep) -> Event:
        seconds = time.monotonic() - self._began
        revision = revision_of(step)
        self.done.append(revision)
        self._notify("done", revision=revision, seconds=seconds)
        return self._event("done", seconds)

    def _event(
        self,
        kind: EventKind,
        seconds: float | None = None,
        error: str | None = None,
        *,
        read: bool = False,
    ) -> Event:
        assert self.current is not None
        since = self._opened if read or kind != "started" else None
        file = os.path.realpath(file_of(self.current))
        return Event(
            revision_of(self.current),
            kind,
            self._checksum,
            seconds,
            error,
            self._is_transactional,
            self._sources.of(file, since) if self._sources else {},
        )

    def _facts(self, record: Record) -> dict[str, Any]:
        """Return what env.py tells Alembic that shapes what the revisions make."""
        conventions = [
            sorted((str(key), str(text)) for key, text in it.naming_convention.items())
            for it in self._metadata()
        ]
        env = os.path.realpath(self.script.env_py_location)
        earlier = (record.configured or {}).get("common", {})  # what was run before, say
        return {
            "version_table": self.version_table[0],
            "version_table_schema": self.version_table[1] or self.schema,
            "naming_convention": [[list(pair) for pair in it] for it in conventions],
            "common": {
                **earlier,
                **record.sources.common(env, record.helpers, files_of(self._config)),
            },
        }

    def _metadata(self) -> list[Any]:
        """Return the collections of models that env.py gave Alembic."""
        given = self._options.get("target_metadata")
        several = list(given) if isinstance(given, list | tuple) else [given]
        return [it for it in several if hasattr(it, "naming_convention")]

    def _compare(self, facts: dict[str, Any], record: Record) -> None:
        """Refuse to go on where env.py has changed what the applied revisions rested on."""
        for name, was in (record.configured or {}).items():
            if name in facts and name != "common" and facts[name] != was:
                raise StaleStateError(f"env.py configures another {name}")
        self._events.configured(facts, record.tables)

    def _verify(self, connection: Any) -> None:
        """Refuse any database but ours; its name has the run's random id in it."""
        if connection is None:
            raise MigrationError(
                "env.py configures Alembic without a connection",
                todo=("let it pass connection=... to context.configure()",),
            )
        found = _answer(connection, "select current_database()")
        if found != self._dsn.dbname:
            url = connection.engine.url
            where = f"{url.host or 'a socket'}:{url.port or 5432}"
            raise WrongDatabaseError(
                f"env.py connects to database {found} at {where}, "
                f"not to the one prepared for it ({self._dsn.dbname})",
                tried=("asking its connection for current_database(); nothing was run there",),
                todo=HAND_OVER,
            )
        self.is_verified = True


def scripts_of(script: ScriptDirectory) -> list[str]:
    """Return the paths of all revisions' files."""
    return [os.path.realpath(it.path) for it in script.walk_revisions()]


def files_of(config: Config) -> list[str]:
    """Return the paths of the files that a configuration was read from."""
    known = (config.config_file_name, getattr(config, "toml_file_name", None))
    return [os.path.realpath(path) for path in known if path]


def listing(config: Config) -> list[dict[str, str]]:
    """Return the revision and the doc of each script, the first ones first."""
    found = list(ScriptDirectory.from_config(config).walk_revisions())
    return [{"revision": it.revision, "doc": it.doc or ""} for it in reversed(found)]


def _answer(connection: Any, question: str) -> Any:
    """Return what the database answers on env.py's connection, which is left as it was."""
    was_in_transaction = connection.in_transaction()
    answer = connection.exec_driver_sql(question).scalar()
    if not was_in_transaction and (begun := connection.get_transaction()) is not None:
        begun.rollback()  # else Alembic takes the transaction for env.py's own
    return answer


def revision_of(step: MigrationStep) -> str:
    """Return the id of the revision a step applies."""
    return str(step.to_revisions[0])  # type: ignore[attr-defined]  # both kinds of step have it


def file_of(step: MigrationStep) -> str:
    """Return the path of the revision's file."""
    return str(step.revision.path)  # type: ignore[attr-defined]  # upgrade steps have one


def _checksum(step: MigrationStep) -> str:
    return hashlib.sha256(Path(file_of(step)).read_bytes()).hexdigest()
