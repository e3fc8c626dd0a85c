"""The control database: what is ours on a server, what was built, who may build.

Advisory locks and rows work across workers, runs, containers and machines, and a
dead process frees its locks by dying.
"""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Iterator, Sequence
from typing import Any, Literal, TypeAlias

import psycopg
from psycopg import sql
from psycopg.types.json import Jsonb

from pytest_dbmigrate.databases import names
from pytest_dbmigrate.dsn import Dsn
from pytest_dbmigrate.errors import DatabaseError

Connection: TypeAlias = psycopg.Connection[tuple[Any, ...]]
Cursor: TypeAlias = psycopg.Cursor[tuple[Any, ...]]
Query: TypeAlias = str | sql.SQL | sql.Composed
Role = Literal["control", "build", "template", "lease", "kept"]

_BUILD_LOCK = 0x64626D  # any number, the same for all: the control database is ours alone
_GRACE, _PAUSE, _PATIENCE = 0.03, 0.001, 10.0  # seconds
# to a role without rights on the sessions of others, their backend_type is null
_CLIENTS = """
select pid, application_name, state, left(query, 60) from pg_stat_activity
where datname = %s and coalesce(backend_type, 'client backend') = 'client backend'
order by pid
"""
_COUNT = """
select count(*) from pg_stat_activity
where datname = %s and coalesce(backend_type, 'client backend') = 'client backend'
"""
_TERMINATE = _COUNT.replace("count(*)", "count(pg_terminate_backend(pid))")
_TABLES = """
create table if not exists database (
    name text primary key,
    role text not null,
    run text not null,
    registered_at timestamptz not null default clock_timestamp()
);
create table if not exists build (
    id bigint generated always as identity primary key,
    outcome jsonb not null,
    at timestamptz not null default clock_timestamp()
);
"""


class Control:
    """One process's connection to the control database of its run."""

    def __init__(self, dsn: Dsn, run_id: str, *, durable: bool) -> None:
        """Connect; the control database has been made by `create`.

        `durable` tells whether the server waits for its disk: copying files is the quick
        way to copy a database where it does not, and the slow one where it does.
        """
        self.dsn = dsn.at(names.control(run_id))
        self._run = run_id
        self._copy_files = sql.SQL("" if durable else " strategy file_copy")
        self._connection: Connection = connect(self.dsn)

    def close(self) -> None:
        """Close the connection; the databases stay."""
        self._connection.close()

    def _execute(self, query: Query, parameters: Sequence[Any] = ()) -> Cursor:
        """Run a statement; raises `DatabaseError` for whatever Postgres says against it."""
        try:
            return self._connection.execute(query, parameters)
        except psycopg.Error as error:
            raise DatabaseError(
                "the server is gone" if self._connection.closed else "the server refused a command",
                tried=tuple(str(error).strip().splitlines()),
                todo=("see the server's log, or its administrator",),
            ) from error

    @contextlib.contextmanager
    def building(self) -> Iterator[None]:
        """Let one process at a time into the block; a dead one is out of it."""
        self._execute("select pg_advisory_lock(%s)", (_BUILD_LOCK,))
        try:
            yield
        finally:
            if not self._connection.closed:
                self._execute("select pg_advisory_unlock(%s)", (_BUILD_LOCK,))

    def outcome(self) -> dict[str, Any] | None:
        """Return how the template's build ended, or None if none has ended yet."""
        row = self._execute("select outcome from build order by id desc limit 1").fetchone()
        return row[0] if row else None

    def record(self, outcome: dict[str, Any]) -> None:
        """Write down how the template's build ended."""
        self._execute(
            "insert into build (outcome) values (%s)", (Jsonb(outcome, dumps=json.dumps),)
        )

    def count(self, role: Role) -> int:
        """Return how many databases of this role the run has registered."""
        row = self._execute("select count(*) from database where role = %s", (role,)).fetchone()
        return int(row[0]) if row else 0

    def register(self, name: str, role: Role) -> None:
        """Write down that a database of this name is ours, before it exists."""
        self._execute(
            "insert into database (name, role, run) values (%s, %s, %s) "
            "on conflict (name) do update set role = excluded.role",
            (name, role, self._run),
        )

    def create(self, name: str, template: str | None = None) -> None:
        """Make a registered database, empty or as a copy. Raises `DatabaseError`."""
        source = sql.Identifier(template) if template else sql.SQL("template0")
        copied = self._copy_files if template else sql.SQL("")
        statement = sql.SQL("create database {} template {}{}")
        self._execute(statement.format(sql.Identifier(name), source, copied))
        self._execute(comment(name, self._run))

    def drop(self, name: str) -> None:
        """Drop a database if it is there, whoever is connected to it."""
        self.disconnect(name)
        self._execute(drop(name))

    def rename(self, name: str, new: str) -> None:
        """Rename a database after ending the connections to it."""
        self.disconnect(name)
        self._execute(
            sql.SQL("alter database {} rename to {}").format(
                sql.Identifier(name), sql.Identifier(new)
            )
        )

    def seal(self, name: str) -> None:
        """Let nobody connect to a database any more: it is complete, and stays as it is."""
        self._execute(
            sql.SQL("alter database {} allow_connections false").format(sql.Identifier(name))
        )

    def connections(self, name: str) -> list[str]:
        """Return a line for each connection to a database."""
        rows = self._execute(_CLIENTS, (name,)).fetchall()
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
        began = time.monotonic()
        while (passed := time.monotonic() - began) < _PATIENCE:
            query = _TERMINATE if passed > _GRACE else _COUNT
            row = self._execute(query, (name,)).fetchone()
            if row is None or row[0] == 0:
                return
            time.sleep(_PAUSE)
        raise DatabaseError(
            f"connections to database {name} do not end",
            tried=tuple(self.connections(name)),
            todo=("see what these server processes wait for",),
        )


def create(dsn: Dsn, run_id: str, *tables: str) -> None:
    """Make a run's control database, with our tables and the given ones."""
    name = names.control(run_id)
    with connect(dsn) as connection:
        connection.execute(
            sql.SQL("create database {} template template0").format(sql.Identifier(name))
        )
        connection.execute(comment(name, run_id))
    with connect(dsn.at(name)) as connection:
        for statement in (_TABLES, *tables):
            connection.execute(statement)
        connection.execute(
            "insert into database (name, role, run) values (%s, 'control', %s)", (name, run_id)
        )


def connect(dsn: Dsn) -> Connection:
    """Return a connection in autocommit. Raises `DatabaseError`."""
    try:
        return psycopg.connect(
            dsn.conninfo(), autocommit=True, application_name="pytest-dbmigrate", connect_timeout=30
        )
    except psycopg.Error as error:
        raise DatabaseError(
            f"the server does not let us connect to {dsn.dbname}",
            tried=tuple(str(error).strip().splitlines()),
            todo=("see the server's log, or its administrator",),
        ) from error


def comment(name: str, run_id: str) -> sql.Composed:
    """Return the statement that says in the catalog whose database this is."""
    return sql.SQL("comment on database {} is {}").format(
        sql.Identifier(name), sql.Literal(f"pytest-dbmigrate, run {run_id}")
    )


def drop(name: str) -> sql.Composed:
    """Return the statement that drops a database if it is there, whoever is connected to it."""
    return sql.SQL("drop database if exists {} with (force)").format(sql.Identifier(name))
