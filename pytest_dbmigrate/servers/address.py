"""Address of a run's server: settled before there is a server, and shared by its processes."""

from __future__ import annotations

import json
import socket
from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict

from pytest_dbmigrate.addresses.dsn import Dsn, DsnData
from pytest_dbmigrate.runs.files import write_private
from pytest_dbmigrate.servers.server import Server

ADDRESS = "address.json"


class AddressData(TypedDict):
    """An address as JSON data."""

    dsn: DsnData
    kind: str
    reason: str


@dataclass(frozen=True)
class Address:
    """Where a server is, or will be; `kind` and `reason` are the server's.

    `holder` keeps the port of an embedded server ours until the server has it.
    """

    dsn: Dsn
    kind: str
    reason: str = ""
    holder: socket.socket | None = None

    @classmethod
    def of(cls, server: Server) -> Address:
        """Return the address of a server that runs."""
        return cls(server.dsn, server.kind, server.reason)

    @classmethod
    def from_record(cls, record: AddressData) -> Address:
        """Return the address that `as_record` wrote, or that of a server's own record."""
        return cls(Dsn.from_record(record["dsn"]), record["kind"], record["reason"])

    def as_record(self) -> AddressData:
        """Return the address as JSON data, its password included."""
        return AddressData(dsn=self.dsn.as_record(), kind=self.kind, reason=self.reason)

    def write(self, folder: Path) -> None:
        """Write the address into a folder, for its run's processes and for the cleanup command."""
        write_private(folder / ADDRESS, json.dumps(self.as_record()))
