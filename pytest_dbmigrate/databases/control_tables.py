"""Control database: its tables, and how it is made.

Its state is that of one version of the plugin: another version's is dropped, not migrated.
"""

from __future__ import annotations

import contextlib

import psycopg
from psycopg import sql

from pytest_dbmigrate import locks
from pytest_dbmigrate.addresses.dsn import Dsn
from pytest_dbmigrate.databases import names, sweep
from pytest_dbmigrate.databases.connection import comment, connect
from pytest_dbmigrate.errors import DatabaseError
from pytest_dbmigrate.version import __version__

_TABLES = """
create table if not exists database (
    name text primary key,
    role text not null,
    run text not null,
    registered_at timestamptz not null default clock_timestamp()
);
create table if not exists outcome (
    run text primary key,
    outcome json not null
);
create table if not exists build (
    id text primary key,
    run text not null,
    base json not null,
    shape json not null,
    sealed json,
    used_at timestamptz not null default clock_timestamp()
);
create table if not exists preexisting (things json not null);
create table if not exists made (
    build text not null,
    kind text not null,
    name text not null,
    value text not null,
    primary key (build, kind, name, value)
);
create table if not exists run (
    id text primary key,
    host text not null,
    process integer not null,
    began_at timestamptz not null default clock_timestamp()
);
create table if not exists holder (
    run text not null,
    host text not null,
    process integer not null,
    since timestamptz not null default clock_timestamp()
);
create table if not exists plugin (version text primary key)
"""


def create(dsn: Dsn, home: str, *tables: str) -> None:
    """Make a control database with our tables and the given ones unless it is there.

    Safe to call from several processes at once. Raises `DatabaseError`.
    """
    name = names.control(home)
    try:
        with (
            connect(dsn) as connection,
            contextlib.suppress(
                psycopg.errors.DuplicateDatabase,
                psycopg.errors.UniqueViolation,  # the same, where two sessions commit at once
            ),
        ):
            connection.execute(
                sql.SQL("create database {} template template0").format(sql.Identifier(name))
            )
            connection.execute(comment(name, home))
        with connect(dsn.at(name)) as connection, connection.transaction():
            connection.execute("select pg_advisory_xact_lock(%s)", (locks.TABLES,))
            for statement in (_TABLES, *tables):
                connection.execute(statement)
            connection.execute(
                "insert into database (name, role, run) values (%s, 'control', %s) "
                "on conflict do nothing",
                (name, home),
            )
            connection.execute(
                "insert into plugin select %s where not exists (select from plugin)",
                (__version__,),
            )
    except psycopg.Error as error:
        raise DatabaseError(
            f"the control database {name} could not be made",
            tried=tuple(str(error).strip().splitlines()),
            todo=("see the server's message; a role needs CREATEDB and nothing else",),
        ) from error


def create_or_replace(dsn: Dsn, home: str, *tables: str) -> str:
    """Make a home's control database if it is not there, or if another version has made it.

    All databases of a home that is replaced are dropped. Returns why it is, or "". Raises
    `DatabaseError`.
    """
    kept_by = version(dsn, home)
    if kept_by == __version__:
        return ""
    if kept_by:
        sweep.sweep(dsn, home)
    create(dsn, home, *tables)
    return f"it was kept by pytest-dbmigrate {kept_by}" if kept_by else ""


def version(dsn: Dsn, home: str) -> str:
    """Return the version of the plugin that made a control database; "" if there is none."""
    try:
        connection = connect(dsn.at(names.control(home)))
    except DatabaseError as error:
        if "does not exist" in str(error.__cause__):
            return ""
        raise
    try:
        with connection:
            row = connection.execute("select version from plugin").fetchone()
    except psycopg.Error:
        return "another version"
    return row[0] if row else "another version"
