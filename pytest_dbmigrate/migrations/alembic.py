"""Alembic's side of an upgrade: one env.py run, a transaction for each revision.

Lives in the migration child only. Alembic calls `Upgrade.steps` for the work to do
and runs each step it yields in a transaction of its own, so what surrounds a `yield`
surrounds a revision: the event before it, the event after its commit.
"""

from __future__ import annotations

import argparse
import hashlib
import inspect
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
from pytest_dbmigrate.errors import MigrationError, WrongDatabaseError
from pytest_dbmigrate.migrations.events import Event, EventLog

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
    """One upgrade of one database: its plan, where it stands, what env.py gave Alembic."""

    def __init__(
        self, config: Config, dsn: Dsn, target: str, events: EventLog, notify: Notify, check: Check
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
        self._began = 0.0
        self._checksum = ""
        self._was_asked = False

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
            configure(connection=connection, **options)

        # the instance's attribute: the functions of alembic.context look it up there
        environment.configure = configure_verified  # type: ignore[method-assign, assignment]
        with environment:
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
        try:
            plan = self.script._upgrade_revs(self._target, heads)  # noqa: SLF001  # as alembic.command does
        except CommandError as error:
            raise MigrationError(
                f"the migrations cannot be run to {self._target}: {error}",
                todo=("see `alembic history`; dbmigrate_target names another revision",),
            ) from error
        self.total += len(plan)
        self._notify("plan", total=self.total)
        finished: list[Event] = []
        for step in plan:
            self._start(step, finished)
            yield step
            finished = [self._finish(step)]
        self._events.append(*finished)
        self.current = None
        self._check(self._config, self.script, context)

    def fail(self, error: str) -> None:
        """Write the event of the current revision's failure."""
        if self.current is not None:
            seconds = time.monotonic() - self._began
            revision = revision_of(self.current)
            text = error.replace("\0", "\ufffd").encode("utf-8", "replace").decode()
            self._events.append(Event(revision, "failed", self._checksum, seconds, text))

    def _start(self, step: MigrationStep, finished: list[Event]) -> None:
        self.current = step
        self._checksum = _checksum(step)
        revision = revision_of(step)
        self._events.append(*finished, Event(revision, "started", self._checksum))
        self._notify("started", revision=revision, doc=step.doc or "")
        self._began = time.monotonic()

    def _finish(self, step: MigrationStep) -> Event:
        seconds = time.monotonic() - self._began
        revision = revision_of(step)
        self.done.append(revision)
        self._notify("done", revision=revision, seconds=seconds)
        return Event(revision, "done", self._checksum, seconds)

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
