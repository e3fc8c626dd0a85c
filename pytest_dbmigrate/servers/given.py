"""Given server, by URL: somebody else runs it, and only our databases there are ours."""

from __future__ import annotations

from dataclasses import replace

from pytest_dbmigrate.addresses.dsn import Dsn
from pytest_dbmigrate.errors import ServerError
from pytest_dbmigrate.runs import guardian
from pytest_dbmigrate.runs.run import Run
from pytest_dbmigrate.servers import cleanup
from pytest_dbmigrate.servers.address import Address
from pytest_dbmigrate.servers.kept.record import Kept, Record
from pytest_dbmigrate.servers.kind import ServerKind
from pytest_dbmigrate.servers.readiness import wait_until_ready
from pytest_dbmigrate.servers.server import Server
from pytest_dbmigrate.settings.server_request import GIVEN


class Given(ServerKind):
    """The server at the URL that the settings name."""

    name = GIVEN
    is_ours = False

    def settle(self) -> Address:
        """Return the address in the settings."""
        return Address(self._dsn, self.name, self.reason)

    def start(self, run: Run, address: Address | None) -> Server:
        """Return the server; the run's databases there are dropped when the run is gone."""
        server = self._connect(address.dsn if address else self._dsn)
        with run.start_guardian(guardian.Work(commands=[cleanup.command(run.folder, run.id)])):
            return server

    def keep(self, kept: Kept, before: Record | None = None) -> Server:
        """Return the server; the project's databases there stay until they are ended."""
        del before  # its address is in the settings
        server = self._connect(self._dsn)
        Address.of(server).write(kept.folder)
        record = replace(
            self.record(server.dsn),
            boot="",
            down=tuple(cleanup.command(kept.folder, kept.key, unless_used=True)),
            is_ready=True,
        )
        kept.write(record)
        return server

    def find(self, kept: Kept, record: Record) -> Server:
        """Return the server as it is asked for now. Raises `ServerError`."""
        return self.keep(kept, record)

    @property
    def _dsn(self) -> Dsn:
        dsn = self.settings.server.address
        assert dsn is not None  # a request for another kind has none
        return dsn

    def _connect(self, dsn: Dsn) -> Server:
        """Return the server once it answers and its role may create databases.

        A missing user is taken from libpq's own defaults. Raises `ServerError`.
        """
        import psycopg

        server = wait_until_ready(
            self.server(dsn),
            self.settings.timeout,
            # a service container next to us may still be coming up
            is_alive=lambda: not dsn.is_socket,
            log=lambda: "",
        )
        with psycopg.connect(dsn.conninfo(), autocommit=True) as connection:
            row = connection.execute(
                "select rolname, rolcreatedb or rolsuper from pg_roles where rolname = current_user"
            ).fetchone()
        assert row is not None
        role, may_create = row
        if not may_create:
            raise ServerError(
                f"role {role} may not create databases on {server}",
                todo=(f'run there, as a superuser: ALTER ROLE "{role}" CREATEDB',),
            )
        return replace(server, dsn=replace(dsn, user=dsn.user or role))
