"""Startup of a run's server: its address, then its start, by whichever process is first."""

from __future__ import annotations

import time

from pytest_dbmigrate.errors import DbmigrateError, as_record, from_record
from pytest_dbmigrate.runs.notes import ChoosingServer, ServerReady, StartingServer
from pytest_dbmigrate.runs.run import Run
from pytest_dbmigrate.servers import kinds
from pytest_dbmigrate.servers.address import ADDRESS, Address
from pytest_dbmigrate.servers.choice import choose
from pytest_dbmigrate.servers.kept import removal, reuse
from pytest_dbmigrate.servers.kind import ServerKind
from pytest_dbmigrate.servers.server import Server
from pytest_dbmigrate.settings.values import Settings

SERVER = "server.json"
REPLACED = "replaced.json"  # why the kept server is a new one


def settle(settings: Settings, run: Run) -> Address:
    """Return the server's address; starts it only where the address cannot be known before.

    That is where Docker has to choose the port, and where another run may at this moment
    start the kept server. Raises `ServerError` if no server can be had.
    """
    with run.only_one("server"):
        known = _known_address(run)
        if known is not None:
            return known
        if settings.resume:
            return Address.of(_resume(settings, run))
        kind = _choose(settings, run)
        return _settle(run, kind) or Address.of(_start(run, kind, None))


def server(settings: Settings, run: Run) -> Server:
    """Return the run's server, started now if no process of the run has done so.

    Raises `ServerError`; every later call in the run raises the same one at once.
    """
    with run.only_one("server"):
        record = run.read(SERVER)
        if record is not None:
            if "error" in record:
                raise from_record(record["error"])
            return Server.from_record(record)
        try:
            if settings.resume:
                return _resume(settings, run)
            address = _known_address(run)
            if address:
                return _start(run, kinds.of(address.kind)(settings, address.reason), address)
            kind = _choose(settings, run)
            return _start(run, kind, _settle(run, kind))
        except DbmigrateError as error:
            run.write(SERVER, {"error": as_record(error)})
            raise


def renewed(settings: Settings, run: Run, why: str, known: str) -> Server:
    """Return another server in place of a kept one that cannot be used; once in a run.

    What the run has written under the name `known` was true of the old one only. Raises
    `ServerError` if other runs use it.
    """
    with run.only_one("server"):
        if run.claim("renewed"):
            server = reuse.renewed(settings, run)
            run.forget(known)
            run.write(REPLACED, why)
            return _publish(run, server, 0.0)
        return Server.from_record(run.read(SERVER))


def _choose(settings: Settings, run: Run) -> ServerKind:
    if settings.fresh:
        removal.discard_of(settings, run)
    run.journal.write(ChoosingServer())
    return choose(settings)


def _known_address(run: Run) -> Address | None:
    record = run.read(SERVER)
    if record is not None and "error" in record:
        raise from_record(record["error"])
    record = record or run.read(ADDRESS)
    return Address.from_record(record) if record else None


def _settle(run: Run, kind: ServerKind) -> Address | None:
    address = kind.settle()
    if address is not None:
        address.write(run.folder)
    return address


def _start(run: Run, kind: ServerKind, address: Address | None) -> Server:
    run.journal.write(StartingServer(kind.name))
    began = time.monotonic()
    return _publish(run, kind.start(run, address), time.monotonic() - began)


def _resume(settings: Settings, run: Run) -> Server:
    run.journal.write(StartingServer("kept"))
    began = time.monotonic()
    started, replaced = reuse.server(settings, run)
    run.write(REPLACED, replaced)
    return _publish(run, started, time.monotonic() - began)


def _publish(run: Run, started: Server, seconds: float) -> Server:
    """Record the server for the other processes of the run, and report it to the user."""
    run.write(SERVER, started.as_record())
    run.journal.write(ServerReady(str(started), started.reason, seconds))
    return started
