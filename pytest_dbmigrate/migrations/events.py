"""The history of revisions: append-only events in the control database.

They are written over a connection of their own in autocommit, so that they survive the
rollback they describe and the death of the process that wrote them.
"""

from __future__ import annotations

import os
import socket
from dataclasses import dataclass
from typing import Literal

import psycopg

EventKind = Literal["started", "done", "failed"]

TABLE = """
create table if not exists event (
    id bigint generated always as identity primary key,
    revision text not null,
    kind text not null check (kind in ('started', 'done', 'failed')),
    at timestamptz not null default clock_timestamp(),
    seconds double precision,
    run text not null,
    host text not null,
    process integer not null,
    checksum text not null,
    error text
)
"""
_INSERT = """
insert into event (revision, kind, seconds, run, host, process, checksum, error)
select revision, kind, seconds, %s, %s, %s, checksum, error
from unnest(%s::text[], %s::text[], %s::float8[], %s::text[], %s::text[])
    as given (revision, kind, seconds, checksum, error)
"""


@dataclass(frozen=True)
class Event:
    """What happened to a revision.

    `seconds` is how long it took, once that is known; `checksum` is the SHA-256 of its file.
    """

    revision: str
    kind: EventKind
    checksum: str
    seconds: float | None = None
    error: str | None = None


class EventLog:
    """The writer's side of the history, for one process of one run."""

    def __init__(self, connection: psycopg.Connection[tuple[object, ...]], run_id: str) -> None:
        self._connection = connection
        self._who = (run_id, socket.gethostname(), os.getpid())

    def append(self, *events: Event) -> None:
        """Write the events, in their order and in one round trip."""
        if not events:
            return
        columns = (
            [event.revision for event in events],
            [event.kind for event in events],
            [event.seconds for event in events],
            [event.checksum for event in events],
            [event.error for event in events],
        )
        self._connection.execute(_INSERT, (*self._who, *columns))
