"""Lease of a database to a test, and `MigratedDatabase`, the object that the test gets."""

from __future__ import annotations

import contextlib
from functools import cached_property
from typing import TYPE_CHECKING, Any

import psycopg

from pytest_dbmigrate import clock, locks
from pytest_dbmigrate.addresses.dsn import Dsn, default_driver
from pytest_dbmigrate.databases import names
from pytest_dbmigrate.databases.control import Control

if TYPE_CHECKING:
    from sqlalchemy import Engine
    from sqlalchemy.ext.asyncio import AsyncEngine

    from pytest_dbmigrate.databases.pools import Pools

MOST_KEPT = 10  # databases in a run
_GRACE = 0.05  # seconds a connection that was just closed may take to leave the server


class MigratedDatabase:
    """A database of the test's own, at head.

    Committed writes, several connections, threads and subprocesses are all fine: the next test
    gets a fresh copy. The address is the same for every test of a process.
    """

    def __init__(self, dsn: Dsn) -> None:
        self._dsn = dsn
        self._connections: list[psycopg.Connection[Any]] = []

    def __repr__(self) -> str:
        return f"<MigratedDatabase {self._dsn}>"

    @property
    def name(self) -> str:
        """The database's name."""
        return self._dsn.dbname

    @property
    def url(self) -> str:
        """The SQLAlchemy URL, for psycopg (1.4: psycopg2). Its `repr` hides the password."""
        return self._dsn.url(default_driver())

    def url_for(self, driver: str) -> str:
        """Return the SQLAlchemy URL for a driver; plain `postgresql://` if it is empty."""
        return self._dsn.url(driver)

    @property
    def dsn(self) -> str:
        """The libpq connection string. Its `repr` hides the password."""
        return self._dsn.conninfo()

    @property
    def parts(self) -> dict[str, Any]:
        """The libpq keywords: host, port, user, password, dbname."""
        return self._dsn.parts()

    def connect(self, **keywords: Any) -> psycopg.Connection[Any]:
        """Return a new psycopg connection, closed at the end of the test at the latest.

        `keywords` are those of `psycopg.connect`. Raises `psycopg.Error`.
        """
        connection = psycopg.connect(self._dsn.conninfo(), **keywords)
        self._connections.append(connection)
        return connection

    @cached_property
    def engine(self) -> Engine:
        """A SQLAlchemy engine for `url`, disposed with the test."""
        from sqlalchemy import create_engine

        return create_engine(self.url)

    @cached_property
    def async_engine(self) -> AsyncEngine:
        """A SQLAlchemy engine for asyncio: asyncpg if it is installed, else psycopg.

        It does not pool: a pooled connection would outlive the event loop it belongs to.
        """
        from importlib.util import find_spec

        from sqlalchemy.ext.asyncio import create_async_engine
        from sqlalchemy.pool import NullPool

        driver = "asyncpg" if find_spec("asyncpg") else default_driver()
        return create_async_engine(self.url_for(driver), poolclass=NullPool)

    def close(self) -> None:
        """Close everything that the test opened through this object; called by the plugin."""
        for connection in self._connections:
            with contextlib.suppress(psycopg.Error):
                connection.close()
        if "engine" in self.__dict__:
            self.engine.dispose()


class Lease:
    """One database name of a worker, and the database of that name during a test."""

    def __init__(
        self, control: Control, run_id: str, worker: str, template: str, name: str = ""
    ) -> None:
        """`name` is set for an additional database; by default, it is the worker's own."""
        self.name = name or names.lease(run_id, worker)
        self._control = control
        self._run = run_id
        self._worker = worker
        self.template = template
        self._kept_name = ""  # empty if the database is to be dropped
        self._database: MigratedDatabase | None = None
        self._is_taken = False
        control.register(self.name, "lease")

    def take(self) -> MigratedDatabase:
        """Return a new copy of the template. Raises `DatabaseError`."""
        self._database = MigratedDatabase(self.take_address())
        return self._database

    def take_address(self) -> Dsn:
        """Return the address of a new copy of the template. Raises `DatabaseError`."""
        self._control.drop(self.name)
        self._control.create(self.name, "lease", self.template)
        self._is_taken = True
        return self._control.dsn.at(self.name)

    @property
    def is_taken(self) -> bool:
        """Whether a test has the database at the moment."""
        return self._is_taken

    def leaked(self, pools: Pools) -> list[str]:
        """Return a line for each connection that the test left open.

        Connections of its `MigratedDatabase`, and idle ones in the pools of this process, are
        closed first and do not count.
        """
        self._close(pools, idle_only=True)
        deadline = clock.now() + _GRACE
        while (leaks := self._control.connections(self.name)) and clock.now() < deadline:
            clock.sleep(0.005)
        return leaks

    def will_keep(self, test: str) -> Dsn | None:
        """Return the address that the database will have once `release` has kept it.

        Its name stays as it is if `test` is empty. None if the run already keeps the maximum.
        """
        if not self._kept_name:
            self._control.lock(locks.KEPT)  # else two workers could each keep one as the last
            with self._control.unlocking(locks.KEPT):
                number = self._control.count("kept")
                if number >= MOST_KEPT:
                    return None
                new_name = names.kept(self._run, self._worker, number, test)
                self._kept_name = new_name if test else self.name
                self._control.register(self._kept_name, "kept")
        return self._control.dsn.at(self._kept_name)

    def release(self, pools: Pools) -> None:
        """Close the connections of this process, and drop the database or keep it."""
        self._close(pools)
        self._is_taken = False
        if not self._kept_name:
            self._control.drop(self.name)
        elif self._kept_name != self.name:
            self._control.rename(self.name, self._kept_name)
        self._kept_name = ""

    def _close(self, pools: Pools, *, idle_only: bool = False) -> None:
        if self._database is not None:
            self._database.close()
            self._database = None
        pools.empty(idle_only=idle_only)
