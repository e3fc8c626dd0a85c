"""What a server is, whichever way it was got, and how to wait for one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

from pytest_dbmigrate import clock
from pytest_dbmigrate.addresses.dsn import Dsn
from pytest_dbmigrate.errors import ServerError

Kind = Literal["docker", "embedded", "url"]

OLDEST = 15
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

# For servers whose data is thrown away: no write waits for a disk, nothing works in the
# background. Dynamic shared memory lies in the data folder, so that it goes with it.
THROW_AWAY = {
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "autovacuum": "off",
    "checkpoint_timeout": "1d",
    "max_wal_size": "4GB",
    "max_connections": "200",
    "dynamic_shared_memory_type": "mmap",
}
# A server that stays between runs has a life long enough to collect garbage. It survives its
# own death with all that was committed; the machine's is noticed, and it is then made anew.
KEPT = {
    **THROW_AWAY,
    "synchronous_commit": "on",  # no more than a write, without fsync
    "autovacuum": "on",
    "checkpoint_timeout": "1h",
    "max_wal_size": "256MB",
}


def as_arguments(options: dict[str, str]) -> list[str]:
    """Return server options as `-c name=value` arguments of `postgres`."""
    return [part for name, value in options.items() for part in ("-c", f"{name}={value}")]


@dataclass(frozen=True)
class Server:
    """A running Postgres. `dsn` is its maintenance database, for a role with CREATEDB.

    `version` is the server's own number (180001 for 18.1); `durable` tells whether it
    waits for its disk; `reason` is why it is of this kind where that needs saying.
    """

    kind: Kind
    dsn: Dsn
    version: int = 0
    durable: bool = True
    reason: str = ""

    def as_record(self) -> dict[str, Any]:
        """Return the server as JSON data."""
        return {**asdict(self), "dsn": self.dsn.as_record()}

    @classmethod
    def from_record(cls, record: dict[str, Any]) -> Server:
        """Return the server that `as_record` wrote."""
        return cls(**{**record, "dsn": Dsn.from_record(record["dsn"])})

    @property
    def release(self) -> str:
        """The release in words: `PostgreSQL 18.1`."""
        major, minor = divmod(self.version, 10000)
        return f"PostgreSQL {major}.{minor}"

    def __str__(self) -> str:
        where = f" at {self.dsn.host}:{self.dsn.port}" if self.kind == "url" else ""
        return f"{self.release} ({self.kind}{where})"


def wait_until_ready(
    server: Server, seconds: float, is_alive: Callable[[], bool], log: Callable[[], str]
) -> Server:
    """Return the server, its version and durability known, once it answers a query.

    Raises `ServerError` with the tail of its log when it dies or `seconds` have passed,
    and at once when it refuses us for a reason that waiting does not mend.
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
    return any(
        phrase in said
        for phrase in (
            "authentication failed",
            "no pg_hba.conf entry",
            "does not exist",
            "no password supplied",
            "does not support SSL",
            "invalid sslmode",
            "invalid connection option",
        )
    )


def _advice(server: Server) -> tuple[str, ...]:
    if server.kind == "url":
        return ("check the address, the role and its password in --db-server",)
    return ("see the server's log; --db-timeout gives it more time",)
