"""The history of revisions, in a real database."""

from __future__ import annotations

import os
import socket
from typing import Any

import psycopg
import pytest

from pytest_dbmigrate.migrations.events import Event, EventLog

Connection = psycopg.Connection[tuple[Any, ...]]
COLUMNS = "revision, kind, seconds, checksum, error"


def rows(history: Connection, columns: str = COLUMNS) -> list[tuple[Any, ...]]:
    return history.execute(f"select {columns} from event order by id".encode()).fetchall()


def test_events_are_written_with_all_that_is_known_of_them(history: Connection) -> None:
    EventLog(history, "0a1b2c3d", "00000001").append(
        Event("0001", "started", "c0ffee"),
        Event("0001", "failed", "c0ffee", 0.25, "no 'such' table\n"),
        Event("0001", "done", "c0ffee", 1.5),
    )
    assert rows(history) == [
        ("0001", "started", None, "c0ffee", None),
        ("0001", "failed", 0.25, "c0ffee", "no 'such' table\n"),
        ("0001", "done", 1.5, "c0ffee", None),
    ]


def test_events_are_written_in_their_order(history: Connection) -> None:
    names = [f"{number:04}" for number in range(300)]
    EventLog(history, "0a1b2c3d", "00000001").append(*(Event(name, "done", "") for name in names))
    assert [row[0] for row in rows(history)] == names


def test_an_event_says_which_process_of_which_run_wrote_it(history: Connection) -> None:
    EventLog(history, "0a1b2c3d", "00000001").append(Event("0001", "started", "c0ffee"))
    assert rows(history, "run, host, process") == [("0a1b2c3d", socket.gethostname(), os.getpid())]


def test_the_server_says_when_an_event_happened(history: Connection) -> None:
    EventLog(history, "0a1b2c3d", "00000001").append(Event("0001", "started", "c0ffee"))
    (passed,) = rows(history, "clock_timestamp() - at < interval '1 minute'")
    assert passed == (True,)


def test_no_event_needs_no_connection(history: Connection) -> None:
    history.close()
    EventLog(history, "0a1b2c3d", "00000001").append()


def test_an_event_of_an_unknown_kind_is_refused(history: Connection) -> None:
    with pytest.raises(psycopg.errors.CheckViolation):
        EventLog(history, "0a1b2c3d", "00000001").append(Event("0001", "stuck", ""))  # type: ignore[arg-type]
