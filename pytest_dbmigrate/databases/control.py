"""The control database: what is ours on a server, what was built, who may build.

Advisory locks and rows work across workers, runs, containers and machines, and a
dead process frees its locks by dying.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Sequence
from typing import Any, Literal, TypeAlias

import psycopg
from psycopg import sql
from psycopg.types.json import Json

from pytest_dbmigrate import clock
from pytest_dbmigrate.databases import names
from pytest_dbmigrate.dsn import Dsn
from pytest_dbmigrate.errors import DatabaseError

Connection: TypeAlias = psycopg.Connection[tuple[Any, ...]]
Cursor: TypeAlias = psycopg.Cursor[tuple[Any, ...]]
Query: TypeAlias = str | sql.SQL | sql.Composed
Role = Literal["control", "build", "template", "lease", "kept"]

_BUILD_LOCK = 0x64626D  # any number, the same for all: the control database is ours alone
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
# What the role or PGOPTIONS set for the project's sessions is not meant for ours.
_OURS = """
select set_config(name, value, false) from (values
    ('search_path', 'public'), ('default_transaction_read_only', 'off'),
    ('statement_timeout', '0'), ('lock_timeout', '0'), ('idle_session_timeout', '0'),
    ('transaction_timeout', '0'), ('client_encoding', 'UTF8')
) as given (name, value) where exists (select from pg_settings s where s.name = given.name)
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
    outcome json not null,
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
        self._is_building = False

    def close(self) -> None:
        """Close the connection; the databases stay."""
        self._connection.close()

    def _execute(self, query: Query, parameters: Sequence[Any] = ()) -> Cursor:
        """Run a statement; raises `DatabaseError` for whatever Postgres says against it."""
        try:
            return self._connection.execute(query, parameters)
        except psycopg.Error as error:
            if not self._connection.closed:
                raise _refused("the server refused a command", error) from error
            # a test may have ended every connection of the server, ours too
            if self._is_building or not self._reconnects():
                raise _refused("the server is gone", error) from error
        try:
            return self._connection.execute(query, parameters)
        except psycopg.Error as error:
            raise _refused("the server refused a command", error) from error

    def _reconnects(self) -> bool:
        try:
            self._connection = connect(self.dsn)
        except DatabaseError:
            return False
        return True

    @contextlib.contextmanager
    def building(self) -> Iterator[None]:
        """Let one process at a time into the block; a dead one is out of it."""
        self._execute("select pg_advisory_lock(%s)", (_BUILD_LOCK,))
        self._is_building = True
        try:
            yield
        finally:
            self._is_building = False
            if not self._connection.closed:
                self._execute("select pg_advisory_unlock(%s)", (_BUILD_LOCK,))

    def outcome(self) -> dict[str, Any] | None:
        """Return how the template's build ended, or None if none has ended yet."""
        row = self._execute("select outcome from build order by id desc limit 1").fetchone()
        return row[0] if row else None

    def record(self, outcome: dict[str, Any]) -> None:
        """Write down how the template's build ended."""
        self._execute("insert into build (outcome) values (%s)", (Json(outcome, dumps=json.dumps),))

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
        try:
            self._execute(drop(name))
        except DatabaseError:  # a new connection came meanwhile
            self._execute(drop(name, force=True))

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
        began = clock.now()
        while (passed := clock.now() - began) < _PATIENCE:
            query = _TERMINATE if passed > _GRACE else _COUNT
            row = self._execute(query, (name,)).fetchone()
            if row is None or row[0] == 0:
                return
            clock.sleep(_PAUSE)
        raise DatabaseError(
            f"connections to database {name} do not end",
            tried=tuple(self.connections(name)),
            todo=("see what these server processes wait for",),
        )


def _refused(what: str, error: psycopg.Error) -> DatabaseError:
    said = tuple(str(error).strip().splitlines())
    return DatabaseError(what, tried=said, todo=("see the server's log, or its administrator",))


def create(dsn: Dsn, run_id: str, *tables: str) -> None:
    """Make a run's control database, with our tables and the given ones."""
    name = names.control(run_id)
    try:
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
    except psycopg.Error as error:
        raise DatabaseError(
            f"the control database {name} could not be made",
            tried=tuple(str(error).strip().splitlines()),
            todo=("see the server's message; a role needs CREATEDB and nothing else",),
        ) from error


def connect(dsn: Dsn) -> Connection:
    """Return a connection in autocommit. Raises `DatabaseError`."""
    try:
        connection = psycopg.connect(
            dsn.conninfo(), autocommit=True, application_name="pytest-dbmigrate", connect_timeout=30
        )
        connection.execute(_OURS)
        return connection
    except psycopg.Error as error:
        raise DatabaseError(
            f"the server does not let us connect to {dsn.dbname}",
            tried=tuple(str(error).strip().splitlines()),
            todo=("see the server's log, or its administrator",),
        ) from error


def comment(name: str, run_id: str) -> sql.Composed:
    """Return the statement that says in the catalog whose database this is."""
    return sql.SQL("comment on database {} is {}").format(
        sql.Identifier(name), sql.Literal(names.comment(run_id))
    )


def drop(name: str, *, force: bool = False) -> sql.Composed:
    """Return the statement that drops a database if it is there.

    With `force`, whoever is connected to it; but to a role that is no superuser Postgres
    then refuses to end its own autovacuum worker, which it ends without a word otherwise.
    """
    how = sql.SQL(" with (force)" if force else "")
    return sql.SQL("drop database if exists {}{}").format(sql.Identifier(name), how)
