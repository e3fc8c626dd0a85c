"""The control database: what is ours on a server, what was built, who may build.

Advisory locks and rows work across workers, runs, containers and machines, and a
dead process frees its locks by dying.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

import psycopg
from psycopg import sql
from psycopg.types.json import Json

from pytest_dbmigrate import clock, locks
from pytest_dbmigrate.addresses.dsn import Dsn
from pytest_dbmigrate.databases import names
from pytest_dbmigrate.databases.connection import (
    Connection,
    Cursor,
    Query,
    comment,
    connect,
    drop,
    refused,
)
from pytest_dbmigrate.errors import BusyError, DatabaseError

Role = Literal["control", "build", "template", "lease", "kept"]

_HOLD = "select pg_advisory_lock_shared(%s, %s)"
_BUILD_LOCK, _COUNT_LOCK = (
    0x64626D,
    0x64626F,
)  # any number, the same for all: the control database is ours alone
_GRACE, _PAUSE, _PATIENCE = 0.03, 0.001, 10.0  # seconds
# To a role without rights on the sessions of others, their backend_type is null; the
# server's own processes have no user, and Postgres ends them itself where they are in the way.
_CLIENTS = """
select pid, application_name, state, left(query, 60) from pg_stat_activity
where datname = %s and usesysid is not null
    and coalesce(backend_type, 'client backend') = 'client backend'
order by pid
"""
_COUNT = """
select count(*) from pg_stat_activity
where datname = %s and usesysid is not null
    and coalesce(backend_type, 'client backend') = 'client backend'
"""
_TERMINATE = _COUNT.replace("count(*)", "count(pg_terminate_backend(pid))")


@dataclass(frozen=True)
class Holder:
    """Who builds a template: a process of a run, and since when by the server's clock."""

    run: str
    host: str
    process: int
    since: datetime

    def __str__(self) -> str:
        when = self.since.astimezone().strftime("%H:%M:%S")
        return f"run {self.run} (process {self.process} on {self.host}), since {when}"


class Control:
    """One process's connection to a control database: its run's own, or the project's."""

    def __init__(self, dsn: Dsn, run_id: str, *, durable: bool, home: str = "") -> None:
        """Connect; the control database has been made by `create`.

        `durable` tells whether the server waits for its disk: copying files is the quick
        way to copy a database where it does not, and the slow one where it does. `home` is
        the project's id where its state is kept between runs.
        """
        self.home = home or run_id
        self.dsn = dsn.at(names.control(self.home))
        self._run = run_id
        self._copy_files = sql.SQL("" if durable else " strategy file_copy")
        self._template = ""
        self._is_locked = False
        self._connection: Connection = self._connected()

    def _connected(self) -> Connection:
        """Return a new connection that holds what tells others that this run lives."""
        connection = connect(self.dsn)
        held = [(locks.RUN, self._run)]
        if self._template:
            held.append((locks.TEMPLATE, self._template))
        try:
            for kind, owner in held:
                connection.execute(_HOLD, (kind, locks.key(owner)))
            connection.execute(
                "insert into run values (%s, %s, %s) on conflict (id) do nothing",
                (self._run, socket.gethostname(), os.getpid()),
            )
        except psycopg.Error as error:
            connection.close()
            raise refused("the server refused a command", error) from error
        return connection

    def close(self) -> None:
        """Close the connection; the databases stay."""
        self._connection.close()

    def execute(self, query: Query, parameters: Sequence[Any] = ()) -> Cursor:
        """Run a statement; raises `DatabaseError` for whatever Postgres says against it."""
        try:
            return self._connection.execute(query, parameters)
        except psycopg.Error as error:
            if not self._connection.closed:
                raise refused("the server refused a command", error) from error
            # a test may have ended every connection of the server, ours too
            if self._is_locked or not self._reconnects():
                raise refused("the server is gone", error) from error
        try:
            return self._connection.execute(query, parameters)
        except psycopg.Error as error:
            raise refused("the server refused a command", error) from error

    def _reconnects(self) -> bool:
        try:
            self._connection = self._connected()
        except DatabaseError:
            return False
        return True

    @contextlib.contextmanager
    def building(
        self, patience: float = 600.0, waiting: Callable[[Holder], None] = lambda _: None
    ) -> Iterator[None]:
        """Let one process at a time into the block; a dead one is out of it.

        `waiting` is told who is in it if that is another run. Raises `BusyError` after
        `patience` seconds.
        """
        self._wait_for_turn(patience, waiting)
        self.execute("delete from holder")
        self.execute(
            "insert into holder values (%s, %s, %s)",
            (self._run, socket.gethostname(), os.getpid()),
        )
        with self._unlocking(_BUILD_LOCK):
            yield

    @contextlib.contextmanager
    def counting(self) -> Iterator[None]:
        """Let one process at a time into the block, in which databases are counted."""
        self.execute("select pg_advisory_lock(%s)", (_COUNT_LOCK,))
        with self._unlocking(_COUNT_LOCK):
            yield

    @contextlib.contextmanager
    def _unlocking(self, lock: int) -> Iterator[None]:
        self._is_locked = True
        try:
            yield
        finally:
            self._is_locked = False
            if not self._connection.closed:
                self.execute("select pg_advisory_unlock(%s)", (lock,))

    def _wait_for_turn(self, patience: float, waiting: Callable[[Holder], None]) -> None:
        if self.one("select pg_try_advisory_lock(%s)", (_BUILD_LOCK,)):
            return
        holder = self.holder()
        if holder and holder.run != self._run:
            waiting(holder)
        while not self._is_locked_within(patience):
            holder = self.holder()
            if holder and holder.run == self._run:
                continue  # another worker: it has all the time that the migrations take
            raise BusyError(
                f"another run of this project has been applying migrations for {patience:g} s",
                tried=(f"waiting for {holder or 'whoever holds the lock'}",),
                todo=("end that run, or wait longer with --db-wait",),
            )

    def _is_locked_within(self, seconds: float) -> bool:
        self.execute("select set_config('lock_timeout', %s, false)", (f"{seconds * 1000:.0f}",))
        try:
            self.execute("select pg_advisory_lock(%s)", (_BUILD_LOCK,))
        except DatabaseError as error:
            if isinstance(error.__cause__, psycopg.errors.LockNotAvailable):
                return False
            raise
        finally:
            if not self._connection.closed:
                self.execute("set lock_timeout = 0")
        return True

    def holder(self) -> Holder | None:
        """Return who has begun to build last."""
        row = self.execute("select run, host, process, since from holder").fetchone()
        return Holder(*row) if row else None

    def one(self, query: Query, parameters: Sequence[Any] = ()) -> Any:
        """Return the first value of the first row, or None."""
        row = self.execute(query, parameters).fetchone()
        return row[0] if row else None

    def outcome(self) -> dict[str, Any] | None:
        """Return what this run has come to, or None if it is still to find out."""
        found: dict[str, Any] | None = self.one(
            "select outcome from outcome where run = %s", (self._run,)
        )
        return found

    def record(self, outcome: dict[str, Any]) -> None:
        """Write down what this run has come to, for its other processes."""
        self.execute(
            "insert into outcome values (%s, %s)", (self._run, Json(outcome, dumps=json.dumps))
        )

    def use(self, build: str) -> None:
        """Hold a template until the connection ends: nobody drops it meanwhile."""
        self._template = build
        self.execute(_HOLD, (locks.TEMPLATE, locks.key(build)))
        self.execute("update build set used_at = clock_timestamp() where id = %s", (build,))

    def is_held(self, kind: int, owner: str) -> bool:
        """Whether another session holds a lock: of a run, or on a template."""
        lock = (kind, locks.key(owner))
        if not self.one("select pg_try_advisory_lock(%s, %s)", lock):
            return True
        self.execute("select pg_advisory_unlock(%s, %s)", lock)
        return False

    def count(self, role: Role) -> int:
        """Return how many databases of this role the run has registered."""
        query = "select count(*) from database where role = %s and run = %s"
        return int(self.one(query, (role, self._run)))

    def register(self, name: str, role: Role) -> None:
        """Write down that a database of this name is ours, before it exists."""
        self.execute(
            "insert into database (name, role, run) values (%s, %s, %s) "
            "on conflict (name) do update set role = excluded.role",
            (name, role, self._owner(role)),
        )

    def _owner(self, role: Role) -> str:
        """Return whose a database is: what is built stays as long as its home."""
        return self.home if role in ("build", "template") else self._run

    def unregister(self, name: str) -> None:
        """Write down that there is no database of this name any more."""
        self.execute("delete from database where name = %s", (name,))

    def create(self, name: str, role: Role, template: str | None = None) -> None:
        """Make a registered database, empty or as a copy. Raises `DatabaseError`."""
        source = sql.Identifier(template) if template else sql.SQL("template0")
        copied = self._copy_files if template else sql.SQL("")
        statement = sql.SQL("create database {} template {}{}")
        self.execute(statement.format(sql.Identifier(name), source, copied))
        self.execute(comment(name, self._owner(role)))

    def drop(self, name: str) -> None:
        """Drop a database if it is there, whoever is connected to it."""
        self.disconnect(name)
        try:
            self.execute(drop(name))
        except DatabaseError:  # a new connection came meanwhile
            self.execute(drop(name, force=True))

    def rename(self, name: str, new: str) -> None:
        """Rename a database after ending the connections to it."""
        self.disconnect(name)
        self.execute(
            sql.SQL("alter database {} rename to {}").format(
                sql.Identifier(name), sql.Identifier(new)
            )
        )

    def seal(self, name: str) -> None:
        """Let nobody connect to a database any more: it is complete, and stays as it is."""
        self.execute(
            sql.SQL("alter database {} allow_connections false").format(sql.Identifier(name))
        )

    def is_sealed(self, name: str) -> bool | None:
        """Whether nobody can connect to a database; None if there is none of this name."""
        found: bool | None = self.one(
            "select not datallowconn from pg_database where datname = %s", (name,)
        )
        return found

    def connections(self, name: str) -> list[str]:
        """Return a line for each connection to a database."""
        rows = self.execute(_CLIENTS, (name,)).fetchall()
        return [
            f"server process {pid}{f' ({application})' if application else ''}, {state}"
            + (f", last query: {query}" if query else "")
            for pid, application, state, query in rows
        ]

    def disconnect(self, name: str) -> None:
        """End all connections to a database; those just closed get a moment to go by themselves.

        Raises `DatabaseError` if one is still there after 10 s. `drop database ... with
        (force)` alone would look again only every 100 ms.
        """
        began = clock.now()
        while (passed := clock.now() - began) < _PATIENCE:
            query = _TERMINATE if passed > _GRACE else _COUNT
            row = self.execute(query, (name,)).fetchone()
            if row is None or row[0] == 0:
                return
            clock.sleep(_PAUSE)
        raise DatabaseError(
            f"connections to database {name} do not end",
            tried=tuple(self.connections(name)),
            todo=("see what these server processes wait for",),
        )
