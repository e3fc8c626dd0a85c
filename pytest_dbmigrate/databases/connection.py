"""Connections of our own to a server, and the statements that several modules need."""

from __future__ import annotations

from typing import Any, TypeAlias

import psycopg
from psycopg import sql

from pytest_dbmigrate.addresses.dsn import Dsn
from pytest_dbmigrate.databases import names
from pytest_dbmigrate.errors import BrokenServerError, DatabaseError

Connection: TypeAlias = psycopg.Connection[tuple[Any, ...]]
Cursor: TypeAlias = psycopg.Cursor[tuple[Any, ...]]
Query: TypeAlias = str | sql.SQL | sql.Composed

_BROKEN = (
    psycopg.errors.DiskFull,
    psycopg.errors.IoError,
    psycopg.errors.DataCorrupted,
    psycopg.errors.IndexCorrupted,
)
# Settings of the role or of PGOPTIONS are meant for the project's sessions, not for ours.
_OURS = """
select set_config(name, value, false) from (values
    ('search_path', 'public'), ('default_transaction_read_only', 'off'),
    ('statement_timeout', '0'), ('lock_timeout', '0'), ('idle_session_timeout', '0'),
    ('transaction_timeout', '0'), ('client_encoding', 'UTF8')
) as given (name, value) where exists (select from pg_settings s where s.name = given.name)
"""


def connect(dsn: Dsn) -> Connection:
    """Return a connection in autocommit. Raises `DatabaseError`."""
    try:
        connection = psycopg.connect(
            dsn.conninfo(), autocommit=True, application_name="pytest-dbmigrate", connect_timeout=30
        )
        connection.execute(_OURS)
        return connection
    except psycopg.Error as error:
        raise refused(f"the server does not let us connect to {dsn.dbname}", error) from error


def comment(name: str, owner: str) -> sql.Composed:
    """Return the statement that records in the catalog whose database this is."""
    return sql.SQL("comment on database {} is {}").format(
        sql.Identifier(name), sql.Literal(names.comment(owner))
    )


def drop(name: str, *, force: bool = False) -> sql.Composed:
    """Return the statement that drops a database if it is there.

    `force` ends all connections to it. But for a role that is not a superuser Postgres then
    refuses to end its own autovacuum worker, which it ends silently without `force`.
    """
    how = sql.SQL(" with (force)" if force else "")
    return sql.SQL("drop database if exists {}{}").format(sql.Identifier(name), how)


def refused(what: str, error: psycopg.Error) -> DatabaseError:
    """Return our error for a server's error."""
    said = tuple(str(error).strip().splitlines())
    todo = ("see the server's log, or its administrator",)
    is_broken = isinstance(error, _BROKEN) or "No space left" in str(error)
    return (BrokenServerError if is_broken else DatabaseError)(what, tried=said, todo=todo)
