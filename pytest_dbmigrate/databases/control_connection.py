"""Connection to a control database that shows that its run is alive.

It holds the run's lock, and that of the template in use, for as long as it is open. A test may
end every connection of the server, this one too: then it is made again, with its locks,
unless it held a lock that must not be lost unnoticed.
"""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Iterator, Sequence
from typing import Any

import psycopg

from pytest_dbmigrate import locks
from pytest_dbmigrate.addresses.dsn import Dsn
from pytest_dbmigrate.databases import names
from pytest_dbmigrate.databases.connection import Connection, Cursor, Query, connect, refused
from pytest_dbmigrate.errors import DatabaseError

_HOLD = "select pg_advisory_lock_shared(%s, %s)"


class ControlConnection:
    """One process's connection to a control database: its run's own, or the project's."""

    def __init__(self, dsn: Dsn, run_id: str, home: str = "") -> None:
        """Connect; `home` is the project's id where its state is kept between runs."""
        self.home = home or run_id
        self.dsn = dsn.at(names.control(self.home))
        self.run = run_id
        self._template = ""
        self._is_exclusive = False
        self._connection: Connection = self._connect()

    def _connect(self) -> Connection:
        """Return a new connection that holds what tells others that this run is alive."""
        connection = connect(self.dsn)
        held = [(locks.RUN, self.run)]
        if self._template:
            held.append((locks.TEMPLATE, self._template))
        try:
            for kind, owner in held:
                connection.execute(_HOLD, (kind, locks.key(owner)))
            connection.execute(
                "insert into run values (%s, %s, %s) on conflict (id) do nothing",
                (self.run, socket.gethostname(), os.getpid()),
            )
        except psycopg.Error as error:
            connection.close()
            raise refused("the server refused a command", error) from error
        return connection

    def close(self) -> None:
        """Close the connection; the databases stay."""
        self._connection.close()

    def execute(self, query: Query, parameters: Sequence[Any] = ()) -> Cursor:
        """Run a statement. Raises `DatabaseError` for any error of the server."""
        try:
            return self._connection.execute(query, parameters)
        except psycopg.Error as error:
            if not self._connection.closed:
                raise refused("the server refused a command", error) from error
            # A new connection would not have the exclusive lock, and another process may
            # have taken it by now: whoever holds one has to learn that it is lost.
            if self._is_exclusive or not self._reconnect():
                raise refused("the server is gone", error) from error
        try:
            return self._connection.execute(query, parameters)
        except psycopg.Error as error:
            raise refused("the server refused a command", error) from error

    def one(self, query: Query, parameters: Sequence[Any] = ()) -> Any:
        """Return the first value of the first row, or None."""
        row = self.execute(query, parameters).fetchone()
        return row[0] if row else None

    def _reconnect(self) -> bool:
        """Return whether the server let us connect again."""
        try:
            self._connection = self._connect()
        except DatabaseError:
            return False
        return True

    def use(self, build: str) -> None:
        """Hold a template until the connection ends: nobody drops it meanwhile."""
        self._template = build
        self.execute(_HOLD, (locks.TEMPLATE, locks.key(build)))
        self.execute("update build set used_at = clock_timestamp() where id = %s", (build,))

    def is_held(self, kind: int, owner: str) -> bool:
        """Whether another session holds a lock: that of a run, or of a template."""
        lock = (kind, locks.key(owner))
        if not self.one("select pg_try_advisory_lock(%s, %s)", lock):
            return True
        self.execute("select pg_advisory_unlock(%s, %s)", lock)
        return False

    def try_lock(self, lock: int) -> bool:
        """Return whether this session has the lock now; does not wait."""
        return bool(self.one("select pg_try_advisory_lock(%s)", (lock,)))

    def lock(self, lock: int, timeout: float = 0) -> bool:
        """Wait for a lock; return False after `timeout` seconds, where 0 is no limit."""
        # `lock_timeout` applies to advisory locks, too.
        self.execute("select set_config('lock_timeout', %s, false)", (f"{timeout * 1000:.0f}",))
        try:
            self.execute("select pg_advisory_lock(%s)", (lock,))
        except DatabaseError as error:
            if isinstance(error.__cause__, psycopg.errors.LockNotAvailable):
                return False
            raise
        finally:
            if not self._connection.closed:
                self.execute("set lock_timeout = 0")
        return True

    @contextlib.contextmanager
    def unlocking(self, lock: int) -> Iterator[None]:
        """Release a lock that is held at the end of the block; no new connection within it."""
        self._is_exclusive = True
        try:
            yield
        finally:
            self._is_exclusive = False
            if not self._connection.closed:
                self.execute("select pg_advisory_unlock(%s)", (lock,))
