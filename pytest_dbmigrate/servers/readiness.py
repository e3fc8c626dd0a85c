"""Readiness of a server: connect until it answers, or until it is clear that it will not."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from pytest_dbmigrate import clock
from pytest_dbmigrate.errors import ServerError
from pytest_dbmigrate.servers.server import OLDEST, Server

_PAUSE = 0.01  # seconds between two attempts to connect
_RECOVERY_SECONDS = 30.0
_STARTING = (
    "is starting up",
    "in recovery mode",
    "is shutting down",
    "not yet accepting",
    "too many clients",
    "remaining connection slots",
)
# Refusals that waiting does not change. libpq has no SQLSTATE for a failed connection, only a text.
_FINAL = (
    "authentication failed",
    "no pg_hba.conf entry",
    "does not exist",
    "no password supplied",
    "does not support SSL",
    "invalid sslmode",
    "invalid connection option",
)


def wait_until_ready(
    server: Server, seconds: float, is_alive: Callable[[], bool], log: Callable[[], str]
) -> Server:
    """Return the server, its version and durability known, once it answers a query.

    Raises `ServerError` with the tail of its log when it dies or `seconds` have passed,
    and at once when it refuses us for a reason that waiting does not change.
    """
    import psycopg

    deadline = clock.now() + seconds
    while True:
        try:
            return _new_enough(_answer(server))
        except psycopg.Error as error:
            said = str(error).strip()
            is_final = not isinstance(error, psycopg.OperationalError) or _is_final(said)
        if is_final or not is_alive() or clock.now() > deadline:
            raise ServerError(
                f"the {server.kind} server does not accept queries",
                tried=(f"connecting to {server.dsn} for up to {seconds:g} s", *said.splitlines()),
                todo=_advice(server),
                log=log(),
            )
        clock.sleep(_PAUSE)


def ask(server: Server) -> Server | None:
    """Return the server if it runs and knows us, its version and durability known, else None.

    One that is just starting, recovers from a crash or has no connection free is waited for.
    """
    import psycopg

    deadline = clock.now() + _RECOVERY_SECONDS
    while True:
        try:
            return _answer(server)
        except psycopg.Error as error:
            is_starting = any(phrase in str(error) for phrase in _STARTING)
        if not is_starting or clock.now() > deadline:
            return None
        clock.sleep(_PAUSE)


def _answer(server: Server) -> Server:
    import psycopg

    with psycopg.connect(server.dsn.conninfo(), connect_timeout=5, autocommit=True) as connection:
        row = connection.execute(
            "select current_setting('server_version_num')::int, current_setting('fsync')"
        ).fetchone()
        assert row is not None
    return replace(server, version=row[0], durable=row[1] == "on")


def _new_enough(server: Server) -> Server:
    if server.version // 10000 < OLDEST:
        raise ServerError(
            f"{server} is too old",
            todo=(f"use PostgreSQL {OLDEST} or newer",),
        )
    return server


def _is_final(said: str) -> bool:
    return any(phrase in said for phrase in _FINAL)


def _advice(server: Server) -> tuple[str, ...]:
    if server.is_ours:
        return ("see the server's log; --db-timeout gives it more time",)
    return ("check the address, the role and its password in --db-server",)
