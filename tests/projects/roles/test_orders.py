"""A role that a migration makes; `connection` comes from naive.py or ours.py."""

from typing import Any

import psycopg
import pytest

Connection = psycopg.Connection[tuple[Any, ...]]


def test_the_reader_may_read(connection: Connection) -> None:
    connection.execute("insert into orders values (1, 9.5)")
    connection.execute("set role app_reader")
    assert connection.execute("select id from orders").fetchall() == [(1,)]


def test_the_reader_may_not_write(connection: Connection) -> None:
    connection.execute("set role app_reader")
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        connection.execute("insert into orders values (1, 9.5)")
