"""Event log: the append-only history of revisions in the control database.

Events are written over a connection of their own in autocommit, so that they survive the
rollback that they describe, and the death of the process that wrote them.
"""

from __future__ import annotations

import json
import os
import socket
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal, TypeAlias

import psycopg
from psycopg.types.json import Json

from pytest_dbmigrate import locks
from pytest_dbmigrate.migrations.env_configuration import EnvConfiguration, TablesMade

EventKind = Literal["started", "done", "failed"]
Connection: TypeAlias = psycopg.Connection[tuple[Any, ...]]

TABLE = """
create table if not exists event (
    id bigint generated always as identity primary key,
    build text not null,
    environment text not null,
    revision text not null,
    kind text not null check (kind in ('started', 'done', 'failed')),
    at timestamptz not null default clock_timestamp(),
    seconds double precision,
    run text not null,
    host text not null,
    process integer not null,
    is_transactional boolean not null,
    checksum text not null,
    sources json not null,
    error text
);
create table if not exists configured (
    build text not null,
    environment text not null,
    facts json not null,
    tables json,
    primary key (build, environment)
)
"""
_INSERT = """
insert into event (
    build, environment, revision, kind, seconds, run, host, process, is_transactional, checksum,
    sources, error
)
select %s, %s, revision, kind, seconds, %s, %s, %s, is_transactional, checksum, sources::json, error
from unnest(%s::text[], %s::text[], %s::float8[], %s::bool[], %s::text[], %s::text[], %s::text[])
    as given (revision, kind, seconds, is_transactional, checksum, sources, error)
"""


@dataclass(frozen=True)
class Event:
    """What happened to a revision.

    `seconds` is how long it took, once that is known; `checksum` is the SHA-256 of its file,
    and `sources` the digests of all that it is made of. `is_transactional` is false from the
    moment something of it is committed before its end.
    """

    revision: str
    kind: EventKind
    checksum: str
    seconds: float | None = None
    error: str | None = None
    is_transactional: bool = True
    sources: dict[str, list[str]] = field(default_factory=dict)


@dataclass(frozen=True)
class Entry:
    """An event as it is read again: what, in which order, when (by the server's clock), by whom."""

    id: int
    event: Event
    at: datetime
    run: str
    host: str
    process: int
    environment: str = ""


class EventLog:
    """The writer's side of the history: one process of one run, one environment of one build."""

    def __init__(
        self, connection: Connection, run_id: str, build: str, environment: str = ""
    ) -> None:
        self._connection = connection
        self._who = (run_id, socket.gethostname(), os.getpid())
        self._build = build
        self._what = (build, environment)

    def own(self) -> None:
        """Hold the build's lock until the connection ends: while it is held, the owner lives."""
        self._connection.execute(
            "select pg_advisory_lock(%s, %s)", (locks.BUILD, locks.key(self._build))
        )

    def configured(self, configuration: EnvConfiguration) -> None:
        """Record how env.py has configured Alembic for this build, and its tables."""
        facts = {name: it for name, it in vars(configuration).items() if name != "tables"}
        self._connection.execute(
            "insert into configured values (%s, %s, %s, %s) "
            "on conflict (build, environment) do update set tables = excluded.tables",
            (*self._what, Json(facts), Json(vars(configuration.tables))),
        )

    def tables(self, tables: TablesMade) -> None:
        """Record which tables this environment has made."""
        self._connection.execute(
            "update configured set tables = %s where build = %s and environment = %s",
            (Json(vars(tables)), *self._what),
        )

    def append(self, *events: Event) -> None:
        """Write the events, in their order and in one round trip."""
        if not events:
            return
        columns = (
            [event.revision for event in events],
            [event.kind for event in events],
            [event.seconds for event in events],
            [event.is_transactional for event in events],
            [event.checksum for event in events],
            [json.dumps(event.sources) for event in events],
            [event.error for event in events],
        )
        self._connection.execute(_INSERT, (*self._what, *self._who, *columns))


def read(connection: Connection, build: str) -> list[Entry]:
    """Return the events of a build, the oldest first."""
    rows = connection.execute(
        "select id, revision, kind, checksum, seconds, error, is_transactional, sources, "
        "at, run, host, process, environment from event where build = %s order by id",
        (build,),
    ).fetchall()
    return [Entry(row[0], Event(*row[1:8]), *row[8:]) for row in rows]


def configured(connection: Connection, build: str) -> dict[str, EnvConfiguration]:
    """Return how env.py had configured Alembic for a build, by environment, as far as it got."""
    rows = connection.execute(
        "select environment, facts, tables from configured where build = %s order by environment",
        (build,),
    ).fetchall()
    return {
        name: EnvConfiguration.from_record({**facts, "tables": tables})
        for name, facts, tables in rows
    }


def inherit(connection: Connection, build: str, base: str, environment: str) -> None:
    """Copy to a build the events that an environment has in the build that it is based on."""
    columns = (
        "environment, revision, kind, at, seconds, run, host, process, is_transactional, "
        "checksum, sources, error"
    )
    connection.execute(
        f"insert into event (build, {columns}) "  # noqa: S608  # the names above
        f"select %s, {columns} from event where build = %s and environment = %s order by id",
        (build, base, environment),
    )


def is_owned(connection: Connection, build: str) -> bool:
    """Whether a migration child is working on a build."""
    row = connection.execute(
        "select exists (select from pg_locks where locktype = 'advisory' and objsubid = 2 "
        "and database = (select oid from pg_database where datname = current_database()) "
        "and classid = %s::int::bit(32)::int8::oid and objid = %s::int::bit(32)::bigint::oid)",
        (locks.BUILD, locks.key(build)),
    ).fetchone()
    return bool(row and row[0])


def forget(connection: Connection, build: str) -> None:
    """Remove the history of a dropped build."""
    for table in ("event", "configured"):
        connection.execute(f"delete from {table} where build = %s", (build,))  # noqa: S608
