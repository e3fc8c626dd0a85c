"""Alembic's side of an upgrade: one env.py run, a transaction for each revision.

Lives in the migration child only. Alembic calls `Upgrade.steps` for the work to do
and runs each step it yields in a transaction of its own, so what surrounds a `yield`
surrounds a revision: the event before it, the event after its commit.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import inspect
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config
from alembic.runtime.environment import EnvironmentContext
from alembic.runtime.migration import MigrationContext, MigrationStep
from alembic.script import ScriptDirectory
from alembic.util import CommandError

from pytest_dbmigrate.dsn import Dsn
from pytest_dbmigrate.errors import MigrationError, StaleStateError, WrongDatabaseError
from pytest_dbmigrate.migrations.events import Event, EventKind, EventLog
from pytest_dbmigrate.migrations.sources import Sources
from pytest_dbmigrate.migrations.transactions import Watch

Notify = Callable[..., None]
Check = Callable[[Config, ScriptDirectory, MigrationContext], None]

HAND_OVER = (
    "let env.py take its URL from config.get_main_option('sqlalchemy.url'),",
    "or name the environment variable it reads in dbmigrate_env",
)
_PLACEHOLDER = "driver://"  # what `alembic init` writes


def configuration(ini: str, toml: str, dsn: Dsn, target: str) -> Config:
    """Return the project's configuration, its `sqlalchemy.url` pointed at `dsn`.

    The URL's driver is the one the project configured, psycopg where it named none.
    Raises `MigrationError` if this Alembic cannot read a pyproject.toml.
    """
    options = argparse.Namespace(
        x=[], name=None, raiseerr=False, sql=False, tag=None, revision=target,
        cmd=(command.upgrade, ["revision"], ["sql", "tag"]),
    )  # fmt: skip
    keywords: dict[str, Any] = {"cmd_opts": options}
    if toml and "toml_file" in inspect.signature(Config.__init__).parameters:
        keywords["toml_file"] = toml
    elif toml and not ini:
        raise MigrationError(
            "this Alembic does not read pyproject.toml",
            tried=(toml,),
            todo=("install Alembic 1.16 or newer, or use an alembic.ini",),
        )
    config = Config(ini or None, **keywords)
    # raw: what it interpolates may be set by env.py only
    section = config.config_ini_section
    given = config.file_config.get(section, "sqlalchemy.url", raw=True, fallback="")
    scheme = given.partition("://")[0]
    driver = scheme.partition("+")[2] if not given.startswith(_PLACEHOLDER) else ""
    config.set_main_option("sqlalchemy.url", dsn.url(driver or "psycopg").replace("%", "%%"))
    return config


def target_of(script: ScriptDirectory, target: str) -> str:
    """Return the target as Alembic names it.

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
    if target == "head" and len(heads) > 1:
        raise MigrationError(
            f"the migrations have {len(heads)} heads: {', '.join(sorted(heads))}",
            todo=(
                f'merge them: alembic merge -m "merge heads" {" ".join(sorted(heads))}',
                "or migrate to all of them: dbmigrate_target = heads",
            ),
        )
    return target


class Upgrade:
    """One upgrade of one database: its plan, where it stands, what env.py gave Alembic.

    With `sources` it is one that may be resumed: what its revisions are made of is recorded.
    `configured` is what env.py had told Alembic when the database was last migrated, if it was.
    """

    def __init__(
        self,
        config: Config,
        dsn: Dsn,
        target: str,
        events: EventLog,
        notify: Notify,
        check: Check,
        sources: Sources | None = None,
        configured: dict[str, Any] | None = None,
    ) -> None:
        self.script = ScriptDirectory.from_config(config)
        self.current: MigrationStep | None = None
        self.done: list[str] = []
        self.total = 0
        self.version_table: tuple[str, str | None] = ("alembic_version", None)
        self.schema: str | None = None  # where it is if env.py does not name one
        self.is_verified = False
        self._config = config
        self._dsn = dsn
        self._target = target_of(self.script, target)
        self._events = events
        self._notify = notify
        self._check = check
        self._sources = sources
        self._configured = configured
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
            destination_rev=self._target,
            tag=None,
        )
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
        if not self._was_asked:
            raise MigrationError(
                "env.py ended without running the migrations",
                tried=(str(self.script.env_py_location),),
                todo=("let it call context.configure(...) and context.run_migrations()",),
            )

    def steps(self, heads: Any, context: MigrationContext) -> Iterator[MigrationStep]:
        """Yield Alembic's own steps, an event before and after each; then check."""
        self._was_asked = True
        self.schema = _answer(context.connection, "select current_schema()")
        if self._sources:
            self._compare(self._facts(self._sources))
        try:
            plan = self.script._upgrade_revs(self._target, heads)  # noqa: SLF001  # as alembic.command does
        except CommandError as error:
            if self._configured:
                raise StaleStateError(str(error)) from error
            raise MigrationError(
                f"the migrations cannot be run to {self._target}: {error}",
                todo=("see `alembic history`; dbmigrate_target names another revision",),
            ) from error
        self.total += len(plan)
        self._notify("plan", total=self.total)
        finished: list[Event] = []
        for step in plan:
            self._start(step, finished)
            self._wrap(step)
            yield step
            finished = [self._finish(step)]
        self._events.append(*finished)
        self.current = None
        self._check(self._config, self.script, context)

    def fail(self, error: str) -> None:
        """Write the event of the current revision's failure."""
        if self.current is not None:
            text = error.replace("\0", "\ufffd").encode("utf-8", "replace").decode()
            self._events.append(self._event("failed", time.monotonic() - self._began, text))

    def _start(self, step: MigrationStep, finished: list[Event]) -> None:
        self.current = step
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

        def watched(**keywords: Any) -> None:
            with watch.script():
                run(**keywords)
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

    def _facts(self, sources: Sources) -> dict[str, Any]:
        """Return what env.py tells Alembic that shapes what the revisions make."""
        target = self._options.get("target_metadata")
        metadata: list[Any] = list(target) if isinstance(target, list | tuple) else [target]
        conventions = [
            sorted((str(key), str(text)) for key, text in it.naming_convention.items())
            for it in metadata
            if hasattr(it, "naming_convention")
        ]
        env = os.path.realpath(self.script.env_py_location)
        config = [self._config.config_file_name, getattr(self._config, "toml_file_name", None)]
        return {
            "version_table": self.version_table[0],
            "version_table_schema": self.version_table[1] or self.schema,
            "naming_convention": [[list(pair) for pair in it] for it in conventions],
            "common": sources.common(env, [os.path.realpath(path) for path in config if path]),
        }

    def _compare(self, facts: dict[str, Any]) -> None:
        """Refuse to go on where env.py has changed what the applied revisions rested on."""
        for name, was in (self._configured or {}).items():
            if name != "common" and facts[name] != was:
                raise StaleStateError(f"env.py configures another {name}")
        self._events.configured(facts)

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


def listing(config: Config) -> list[dict[str, str]]:
    """Return the revision and the doc of each script, the first ones first."""
    found = list(ScriptDirectory.from_config(config).walk_revisions())
    return [{"revision": it.revision, "doc": it.doc or ""} for it in reversed(found)]


def _answer(connection: Any, question: str) -> Any:
    """Return what the database answers on env.py's connection, which is left as it was."""
    was_in_transaction = connection.in_transaction()
    answer = connection.exec_driver_sql(question).scalar()
    if not was_in_transaction:
        connection.rollback()  # else Alembic takes the transaction for env.py's own
    return answer


def revision_of(step: MigrationStep) -> str:
    """Return the id of the revision a step applies."""
    return str(step.to_revisions[0])  # type: ignore[attr-defined]  # both kinds of step have it


def file_of(step: MigrationStep) -> str:
    """Return the path of the revision's file."""
    return str(step.revision.path)  # type: ignore[attr-defined]  # upgrade steps have one


def _checksum(step: MigrationStep) -> str:
    return hashlib.sha256(Path(file_of(step)).read_bytes()).hexdigest()
