"""Session: one process's way from the settings to its tests' databases. Knows no pytest.

    settings -> server -> migration child -> template -> schema check -> lease

Each process of a run has one. What the run shares is in its folder and in its control
database, so that each step is done once, by whichever process is first.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_dbmigrate.addresses.dsn import Dsn
from pytest_dbmigrate.errors import BrokenServerError, DatabaseError, DbmigrateError
from pytest_dbmigrate.runs.notes import (
    ConnectionsLeaked,
    DatabaseFailed,
    DatabaseKept,
    WaitingForBuilder,
)
from pytest_dbmigrate.runs.run import Run
from pytest_dbmigrate.servers import startup
from pytest_dbmigrate.servers.address import Address
from pytest_dbmigrate.servers.kept.record import Kept, key
from pytest_dbmigrate.servers.server import Server
from pytest_dbmigrate.settings.values import Settings
from pytest_dbmigrate.template.extension import Extension, NoExtension

if TYPE_CHECKING:
    from pytest_dbmigrate.databases.control import Control
    from pytest_dbmigrate.databases.factory import MigratedDatabaseFactory
    from pytest_dbmigrate.databases.lease import Lease, MigratedDatabase
    from pytest_dbmigrate.databases.pools import Pools
    from pytest_dbmigrate.databases.turn import Holder
    from pytest_dbmigrate.migrations.environments import Environment
    from pytest_dbmigrate.template.early_children import EarlyChildren

CONTROL = "control"
_CHILD = "child"


@dataclass
class _DatabaseAccess:
    """The connections and the lease that a process needs to give its tests databases."""

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
        extension: Extension | None = None,
    ) -> None:
        self._extension = extension or NoExtension()
        self.settings = settings
        self.run = run
        self.worker = worker
        self._folders = folders
        self._access: _DatabaseAccess | None = None
        self._failure: DbmigrateError | None = None
        self._address: Address | None = None
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
        if self._access is None:
            with self._failing_for_good():
                self._access = self._open()
        return self._access.lease, self._access.pools

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
        """Return the factory of additional databases; the caller releases them.

        Connections that are left open are noted if `name_leaks`. Raises `DbmigrateError`.
        """
        from pytest_dbmigrate.databases import names
        from pytest_dbmigrate.databases.factory import MigratedDatabaseFactory
        from pytest_dbmigrate.databases.lease import Lease

        self.prepare()
        assert self._access is not None
        control, template = self._access.control, self._access.lease.template

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
        """Whether a test of this process has a database now."""
        return self._access is not None and self._access.lease.is_taken

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
        if self._access:
            self._return(self._access)
            self._access.pools.close()
            if self.settings.resume and self.run.is_owner:
                self._leave(self._access.control)
            self._access.control.close()
            self._access = None
        is_clean = self.run.finish()
        if self._address and self._address.holder:
            self._address.holder.close()
        return is_clean

    def _return(self, access: _DatabaseAccess) -> None:
        """Return the shared database; where the server refuses, the guardian drops it later."""
        if self._shared:
            self._shared = None
            with contextlib.suppress(DatabaseError):
                access.lease.release(access.pools)

    def _leave(self, control: Control) -> None:
        """Drop the run's databases on the kept server, so that the guardian need not."""
        from pytest_dbmigrate.databases import guests

        with contextlib.suppress(DatabaseError):
            if guests.leave(control, self.run.id):
                self.run.clear_work()

    def _is_forked(self) -> bool:
        """Whether this is a forked child of the process, which must not end what it inherited."""
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

    def _open(self) -> _DatabaseAccess:
        from pytest_dbmigrate.migrations import environments
        from pytest_dbmigrate.template.early_children import EarlyChildren

        found = environments.find(self.settings.alembic, self._folders)
        with contextlib.closing(EarlyChildren(found)) as children:
            if self._is_sure_to_migrate() and self.run.claim(_CHILD):
                children.start()
            try:
                return self._open_on(self.server(), found, children)
            except BrokenServerError as error:
                if not self.settings.resume:
                    raise
                return self._open_on(self._renew_server(error), found, children)

    def _is_sure_to_migrate(self) -> bool:
        """Whether the migrations will run for sure, as there is no kept template."""
        return not (self.settings.resume and Kept.of(self.settings.root).read())

    def _renew_server(self, error: BrokenServerError) -> Server:
        """Return a new kept server in place of the one that is broken. Raises `ServerError`."""
        said = (error.tried or (error.what,))[-1]
        why = error.reason or f"the kept server could not be used: {said}"
        self._server = startup.renewed(self.settings, self.run, why, CONTROL)
        return self._server

    def _open_on(
        self, server: Server, found: tuple[Environment, ...], children: EarlyChildren
    ) -> _DatabaseAccess:
        from pytest_dbmigrate.databases.control import Control
        from pytest_dbmigrate.databases.lease import Lease
        from pytest_dbmigrate.databases.pools import Pools
        from pytest_dbmigrate.template import data, outcome
        from pytest_dbmigrate.template.builder import Builder
        from pytest_dbmigrate.template.context import BuildContext

        replaced = self._make_control_database(server) or self.run.read(startup.REPLACED) or ""
        control = Control(server.dsn, self.run.id, durable=server.durable, home=self._home)
        try:
            context = BuildContext(self.settings, self.run, server, control, found, children.take)
            make = Builder(context, replaced, self._extension).make
            template = outcome.ensure(control, make, self.settings.wait, self._note_waiting)
            data.need_same(self.run, self._extension)
            lease = Lease(control, self.run.id, self.worker, template)
            return _DatabaseAccess(control, lease, Pools(lease.name))
        except BaseException:
            control.close()
            raise

    def _note_waiting(self, holder: Holder) -> None:
        self.run.journal.write(WaitingForBuilder(str(holder)))

    @property
    def _home(self) -> str:
        """The id in the control database's name: the project's if its state is kept."""
        return key(self.settings.root) if self.settings.resume else self.run.id

    def _make_control_database(self, server: Server) -> str:
        """Make the control database, once in a run; return why an older one is gone, or ""."""
        from pytest_dbmigrate.databases import control_tables
        from pytest_dbmigrate.migrations import events

        with self.run.only_one(CONTROL):
            known = self.run.read(CONTROL)
            if known is not None:
                return str(known)
            reason = ""
            if self.settings.resume:
                reason = control_tables.create_or_replace(server.dsn, self._home, events.TABLE)
            else:
                control_tables.create(server.dsn, self._home, events.TABLE)
            self.run.write(CONTROL, reason)
            return reason
