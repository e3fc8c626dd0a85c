"""The conductor: joins servers, migrations, schema and databases. Knows no pytest.

    settings -> server -> migrator -> template -> schema check -> lease

Each process of a run has one `Session`; what the run shares lies in its folder and in
its control database, so that each step is done once, by whichever process is first.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_dbmigrate.dsn import Dsn
from pytest_dbmigrate.errors import DbmigrateError, as_record
from pytest_dbmigrate.servers import start
from pytest_dbmigrate.servers.base import Server
from pytest_dbmigrate.servers.run import Run
from pytest_dbmigrate.settings import Settings

if TYPE_CHECKING:
    from pytest_dbmigrate.databases.control import Control
    from pytest_dbmigrate.databases.lease import Lease, MigratedDatabase
    from pytest_dbmigrate.databases.pools import Pools
    from pytest_dbmigrate.migrations.messages import Job, Message
    from pytest_dbmigrate.migrations.migrator import Child
    from pytest_dbmigrate.migrations.source import Source

CONTROL = "control"
_CHILD = "child"


@dataclass
class _Opened:
    """What a process has open once the database is ready."""

    control: Control
    lease: Lease
    pools: Pools


class Session:
    """One process's way from the settings to a test's database."""

    def __init__(
        self,
        settings: Settings,
        run: Run,
        worker: str,
        folders: tuple[Path, ...],
    ) -> None:
        self.settings = settings
        self.run = run
        self.worker = worker
        self._folders = folders
        self._opened: _Opened | None = None
        self._failure: DbmigrateError | None = None
        self._address: start.Address | None = None
        self._server: Server | None = None
        self._process = os.getpid()

    def address(self) -> Dsn:
        """Return where this process's tests will find their database.

        The server is started only if Docker has to choose its port. Raises `ServerError`.
        """
        from pytest_dbmigrate.databases import names

        self._address = self._address or start.settle(self.settings, self.run)
        return self._address.dsn.at(names.lease(self.run.id, self.worker))

    def server(self) -> Server:
        """Return the run's server, started if need be. Raises `ServerError`."""
        if self._server is None:
            with self._failing_for_good():
                self._server = start.server(self.settings, self.run)
        return self._server

    def prepare(self) -> tuple[Lease, Pools]:
        """Return this process's lease once the template is migrated, checked and sealed.

        Raises `DbmigrateError`, the same one at every call.
        """
        if self._opened is None:
            with self._failing_for_good():
                self._opened = self._open()
        return self._opened.lease, self._opened.pools

    def refuse(self, error: DbmigrateError) -> None:
        """Let every later attempt to get a database fail with this error."""
        with contextlib.suppress(DbmigrateError), self._failing_for_good():
            raise error

    def take(self) -> MigratedDatabase:
        """Return a new database for a test. Raises `DbmigrateError`."""
        lease, _ = self.prepare()
        return lease.take()

    def release(self, test: str, *, name_leaks: bool) -> None:
        """End a test's hold on its database; note the connections it left open if asked."""
        if self._is_forked():
            return
        lease, pools = self.prepare()
        if name_leaks:
            leaked = lease.leaked(pools)
            if leaked:
                self.run.note("leaked", test=test, connections=leaked)
        lease.release(pools)

    @property
    def is_leased(self) -> bool:
        """Whether a test of this process has a database at the moment."""
        return self._opened is not None and self._opened.lease.is_taken

    def keep(self, test: str) -> str:
        """Keep the test's database when it is released; return a psql line to look at it.

        The line is empty if the run has kept as many as it may.
        """
        lease, _ = self.prepare()
        dsn = lease.will_keep(test)
        if dsn is None:
            return ""
        self.run.keep()
        line = self.run.psql(dsn)
        self.run.note("kept", line=line)
        return line

    def passwords(self) -> list[str]:
        """Return the passwords that must not be shown."""
        known = (self._address, self._server)
        return [place.dsn.password for place in known if place is not None]

    def close(self) -> bool:
        """Close this process's connections; the owner's call ends the run.

        Return whether nothing of the run is left.
        """
        if self._is_forked():
            return True
        if self._opened:
            self._opened.pools.close()
            self._opened.control.close()
            self._opened = None
        is_clean = self.run.finish()
        if self._address and self._address.holder:
            self._address.holder.close()
        return is_clean

    def _is_forked(self) -> bool:
        """Whether a test has forked this process: what it has inherited is not its to end."""
        return os.getpid() != self._process

    @contextlib.contextmanager
    def _failing_for_good(self) -> Iterator[None]:
        """Note an error once, and raise the same one at every later attempt."""
        if self._failure is not None:
            raise self._failure.with_traceback(None)
        try:
            yield
        except DbmigrateError as error:
            if self._failure is None:
                self._failure = error
                self.run.note("failed", error=as_record(error))
            raise

    def _open(self) -> _Opened:
        from pytest_dbmigrate.migrations import migrator, source

        found = source.find(self.settings.alembic, self._folders)
        ahead = migrator.Child(found.folder) if self.run.claim(_CHILD) else None
        try:
            return self._open_with(found, ahead)
        finally:
            if ahead:
                ahead.close()

    def _open_with(self, found: Source, ahead: Child | None) -> _Opened:
        server = self.server()
        from pytest_dbmigrate.databases import template
        from pytest_dbmigrate.databases.control import Control
        from pytest_dbmigrate.databases.lease import Lease

        self._need_control(server)
        control = Control(server.dsn, self.run.id, durable=server.durable)
        try:
            build = self._build(control, found, ahead)
            sealed, _ = template.ensure(control, self.run.id, build)
            from pytest_dbmigrate.databases.pools import Pools

            lease = Lease(control, self.run.id, self.worker, sealed)
            return _Opened(control, lease, Pools(lease.name))
        except BaseException:
            control.close()
            raise

    def _need_control(self, server: Server) -> None:
        from pytest_dbmigrate.databases import control
        from pytest_dbmigrate.migrations import events

        with self.run.only_one(CONTROL):
            if self.run.read(CONTROL) is None:
                control.create(server.dsn, self.run.id, events.TABLE)
                self.run.write(CONTROL, True)

    def _build(
        self, control: Control, found: Source, ahead: Child | None
    ) -> Callable[[Dsn], dict[str, Any]]:
        from pytest_dbmigrate.migrations.migrator import Child

        def build(dsn: Dsn) -> dict[str, Any]:
            job: Job = {
                "environ": environ_for(self.settings, dsn),
                "dsn": dsn.as_record(),
                "events": control.dsn.as_record(),
                "run": self.run.id,
                "source": found.as_record(),
                "target": self.settings.target,
                "check": self.settings.check != "off",
            }
            self.run.note("migrating", source=str(found))
            began = time.monotonic()
            with contextlib.closing(ahead or Child(found.folder)) as child:
                result = child.migrate(job, self._follow, meanwhile=_import_sqlalchemy)
            self.run.note("migrated", seconds=time.monotonic() - began, heads=result["heads"])
            self._judge(result)
            return {"heads": result["heads"]}

        return build

    def _follow(self, message: Message) -> None:
        if message["type"] in ("plan", "started", "done"):
            facts = {key: value for key, value in message.items() if key != "type"}
            self.run.note(message["type"], **facts)

    def _judge(self, result: Message) -> None:
        from pytest_dbmigrate.schema import render
        from pytest_dbmigrate.schema.diff import Difference

        found = [Difference.from_record(record) for record in result["differences"]]
        if found and self.settings.check == "error":
            raise render.drift(found)
        sentences = [render.sentence(difference) for difference in found]
        self.run.note("checked", differences=sentences, unchecked=result["unchecked"])


def _import_sqlalchemy() -> None:
    """Spend the time that the child works on what this process needs next."""
    import pytest_dbmigrate.databases.pools  # noqa: F401


def environ_for(settings: Settings, dsn: Dsn) -> dict[str, str]:
    """Return the environment variables that carry the address of a database."""
    return {variable.name: variable.value(dsn) for variable in settings.env}
