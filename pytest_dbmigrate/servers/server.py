"""Server: a running Postgres, whichever way it was got."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypedDict

from pytest_dbmigrate.addresses.dsn import Dsn, DsnData

OLDEST = 15


class ServerData(TypedDict):
    """A server as JSON data."""

    kind: str
    dsn: DsnData
    version: int
    durable: bool
    reason: str
    is_ours: bool


@dataclass(frozen=True)
class Server:
    """A running Postgres. `dsn` is its maintenance database, for a role with CREATEDB.

    `version` is the server's own number (180001 for 18.1); `durable` tells whether it
    waits for its disk; `reason` is why it is of this kind where that needs saying. One that
    `is_ours` was started by us, and is ended by us.
    """

    kind: str
    dsn: Dsn
    version: int = 0
    durable: bool = True
    reason: str = ""
    is_ours: bool = True

    def as_record(self) -> ServerData:
        """Return the server as JSON data, its password included."""
        return ServerData(
            kind=self.kind,
            dsn=self.dsn.as_record(),
            version=self.version,
            durable=self.durable,
            reason=self.reason,
            is_ours=self.is_ours,
        )

    @classmethod
    def from_record(cls, record: ServerData) -> Server:
        """Return the server that `as_record` wrote."""
        return cls(
            kind=record["kind"],
            dsn=Dsn.from_record(record["dsn"]),
            version=record["version"],
            durable=record["durable"],
            reason=record["reason"],
            is_ours=record["is_ours"],
        )

    @property
    def release(self) -> str:
        """The release in words: `PostgreSQL 18.1`."""
        major, minor = divmod(self.version, 10000)
        return f"PostgreSQL {major}.{minor}"

    def __str__(self) -> str:
        where = "" if self.is_ours else f" at {self.dsn.host}:{self.dsn.port}"
        return f"{self.release} ({self.kind}{where})"
