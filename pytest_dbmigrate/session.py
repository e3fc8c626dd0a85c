"""The conductor: joins servers, migrations, schema and databases. Knows no pytest.

    settings -> server -> migrator -> template -> schema check -> lease

Each process of a run has one `Session`; what the run shares lies in its folder and in
its control database, so that each step is done once, by whichever process is first.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_dbmigrate.addresses.dsn import Dsn
from pytest_dbmigrate.errors import (
    BrokenServerError,
    DatabaseError,
    DbmigrateError,
)
from pytest_dbmigrate.runs.notes import (
    ConnectionsLeaked,
    DatabaseFailed,
    DatabaseKept,
    WaitingForBuilder,
)
from pytest_dbmigrate.runs.run import Run
from pytest_dbmigrate.servers import startup
from pytest_dbmigrate.servers.kept.record import Kept, key
from pytest_dbmigrate.servers.server import Server
from pytest_dbmigrate.settings.values import Settings

if TYPE_CHECKING:
    from pytest_dbmigrate.databases.control import Control
    from pytest_dbmigrate.databases.factory import MigratedDatabaseFactory
    from pytest_dbmigrate.databases.lease import Lease, MigratedDatabase
    from pytest_dbmigrate.databases.pools import Pools
    from pytest_dbmigrate.databases.turn import Holder
    from pytest_dbmigrate.migrations.environments import Environment
    from pytest_dbmigrate.migrations.process import ChildProcess

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
        self._address: startup.Address | None = None
        self._server: Server | None = None
        self._shared: MigratedDatabase | None = None
        self._factory: MigratedDatabaseFactory | None = None
        self._process = os.getpid()
        self.taken = 0  # databases that tests were given

    def address(self) -> Dsn:
        """Return where this process's tests will find their database.

        The server is started only where its address cannot be known before: in Docker, and
        if it is one that is kept. Raises `ServerError`.
        """
        from pytest_dbmigrate.databases import names

        self._address = self._address or startup.settle(self.settings, self.run)
        return self._address.dsn.at(names.lease(self.run.id, self.worker))

    def server(self) -> Server:
        """Return the run's server, started if need be. Raises `ServerError`."""
        if self._server is None:
            with self._failing_for_good():
                self._server = startup.server(self.settings, self.run)
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
        lease, pools = self.prepare()
        pools.watch()
        self.taken += 1
        return lease.take()

    def share(self) -> MigratedDatabase:
        """Return the one database of this process, taken at the first call and held to the end.

        Raises `DbmigrateError`, the same one at every call.
        """
        if self._shared is None:
            with self._failing_for_good():
                self._shared = self.take()
        return self._shared

    def factory(self, *, name_leaks: bool) -> MigratedDatabaseFactory:
        """Return what makes databases beside the tests' own; the caller releases them.

        Connections that are left open are noted if `name_leaks`. Raises `DbmigrateError`.
        """
        from pytest_dbmigrate.databases import names
        from pytest_dbmigrate.databases.factory import MigratedDatabaseFactory
        from pytest_dbmigrate.databases.lease import Lease

        self.prepare()
        assert self._opened is not None
        control, template = self._opened.control, self._opened.lease.template

        def make_lease(number: int, label: str) -> Lease:
            self.taken += 1
            name = names.additional(self.run.id, self.worker, number, label)
            return Lease(control, self.run.id, self.worker, template, name)

        def note_leaks(whose: str, connections: list[str]) -> None:
            self.run.journal.write(ConnectionsLeaked(whose, tuple(connections)))

        self._factory = MigratedDatabaseFactory(make_lease, note_leaks if name_leaks else None)
        return self._factory

    def release(self, test: str, *, name_leaks: bool) -> None:
        """End a test's hold on its database; note the connections it left open if asked."""
        if self._is_forked():
            return
        lease, pools = self.prepare()
        if name_leaks:
            leaked = lease.leaked(pools)
            if leaked:
                self.run.journal.write(ConnectionsLeaked(test, tuple(leaked)))
        lease.release(pools)

    @property
    def is_leased(self) -> bool:
        """Whether a test of this process has a database at the moment."""
        return self._opened is not None and self._opened.lease.is_taken

    def keep(self, test: str) -> str:
        """Keep the test's database when it is released; return a psql line to look at it.

        A shared one keeps its name: it is not this test's alone. The line is empty if the
        run has kept as many as it may.
        """
        lease, _ = self.prepare()
        return self._psql(lease.will_keep("" if self._shared else test))

    def keep_additional(self) -> list[str]:
        """Keep the databases of `migrated_db_factory` that live now, as `keep` keeps a test's."""
        return [self._psql(dsn) for dsn in self._factory.keep()] if self._factory else []

    def _psql(self, dsn: Dsn | None) -> str:
        if dsn is None:
            return ""
        self.run.keep()
        line = self.run.psql(dsn)
        self.run.journal.write(DatabaseKept(line))
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
            self._return(self._opened)
            self._opened.pools.close()
            if self.settings.resume and self.run.is_owner:
                self._leave(self._opened.control)
            self._opened.control.close()
            self._opened = None
        is_clean = self.run.finish()
        if self._address and self._address.holder:
            self._address.holder.close()
        return is_clean

    def _return(self, opened: _Opened) -> None:
        """Give the shared database back; what the server says against it, the guardian settles."""
        if self._shared:
            self._shared = None
            with contextlib.suppress(DatabaseError):
                opened.lease.release(opened.pools)

    def _leave(self, control: Control) -> None:
        """Drop what this run has on the kept server, so that its guardian need not."""
        from pytest_dbmigrate.databases import guests

        with contextlib.suppress(DatabaseError):
            if guests.leave(control, self.run.id):
                self.run.owes_nothing()

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
                self.run.journal.write(DatabaseFailed(error))
            raise

    def _open(self) -> _Opened:
        from pytest_dbmigrate.migrations import environments

        found = environments.find(self.settings.alembic, self._folders)
        child = _Ahead(found)
        if self._needs_child() and self.run.claim(_CHILD):
            child.start()
        try:
            return self._open_on(self.server(), found, child)
        except BrokenServerError as error:
            if not self.settings.resume:
                raise
            said = (error.tried or (error.what,))[-1]
            why = error.reason or f"the kept server could not be used: {said}"
            self._server = startup.renewed(self.settings, self.run, why, CONTROL)
            return self._open_on(self._server, found, child)
        finally:
            child.close()

    def _needs_child(self) -> bool:
        """Whether the migrations are sure to be run: nothing is kept to be looked at first."""
        return not (self.settings.resume and Kept.of(self.settings.root).read())

    def _open_on(self, server: Server, found: tuple[Environment, ...], child: _Ahead) -> _Opened:
        from pytest_dbmigrate.databases.control import Control
        from pytest_dbmigrate.databases.lease import Lease
        from pytest_dbmigrate.template import outcome
        from pytest_dbmigrate.template.builder import Builder

        replaced = self.run.read(startup.REPLACED) or ""
        replaced = self._need_control(server) or replaced
        control = Control(server.dsn, self.run.id, durable=server.durable, home=self._home)
        try:
            builder = Builder(self.settings, self.run, server, control, found, child.take, replaced)
            template = outcome.ensure(control, builder.make, self.settings.wait, self._tell_waiting)
            from pytest_dbmigrate.databases.pools import Pools

            lease = Lease(control, self.run.id, self.worker, template)
            return _Opened(control, lease, Pools(lease.name))
        except BaseException:
            control.close()
            raise

    def _tell_waiting(self, holder: Holder) -> None:
        self.run.journal.write(WaitingForBuilder(str(holder)))

    @property
    def _home(self) -> str:
        """The id in the control database's name: the project's if its state is kept."""
        return key(self.settings.root) if self.settings.resume else self.run.id

    def _need_control(self, server: Server) -> str:
        """Make the control database if it is not there; return why an older one is gone."""
        from pytest_dbmigrate.databases import control_tables, sweep
        from pytest_dbmigrate.migrations import events
        from pytest_dbmigrate.version import __version__

        with self.run.only_one(CONTROL):
            known = self.run.read(CONTROL)
            if known is not None:
                return str(known)
            reason = ""
            before = control_tables.version(server.dsn, self._home) if self.settings.resume else ""
            if before not in ("", __version__):
                reason = f"it was kept by pytest-dbmigrate {before}"
                sweep.sweep(server.dsn, self._home)
            if before != __version__:
                control_tables.create(server.dsn, self._home, events.TABLE)
            self.run.write(CONTROL, reason)
            return reason


class _Ahead:
    """The migration children, which may be started before there is a job for them."""

    def __init__(self, sources: tuple[Environment, ...]) -> None:
        self._sources = sources
        self._children: dict[Environment, ChildProcess] = {}

    def start(self) -> None:
        """Start one for each environment, to import what it needs while the server comes up."""
        from pytest_dbmigrate.migrations.process import ChildProcess

        self._children = {one: ChildProcess(one.folder) for one in self._sources}

    def take(self, source: Environment) -> ChildProcess:
        """Return an environment's child; the caller closes it, and the next call starts another."""
        from pytest_dbmigrate.migrations.process import ChildProcess

        return self._children.pop(source, None) or ChildProcess(source.folder)

    def close(self) -> None:
        """End the children that nobody has taken."""
        for child in self._children.values():
            child.close()
