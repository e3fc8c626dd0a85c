"""The one server of a run: its address settled, its start, by whichever process is first."""

from __future__ import annotations

import contextlib
import socket
import time
from dataclasses import dataclass

from pytest_dbmigrate.addresses.dsn import Dsn
from pytest_dbmigrate.errors import DbmigrateError, as_record, from_record
from pytest_dbmigrate.runs import guardian
from pytest_dbmigrate.runs.notes import ChoosingServer, ServerReady, StartingServer
from pytest_dbmigrate.runs.run import Run
from pytest_dbmigrate.servers import cleanup, given
from pytest_dbmigrate.servers.choice import Choice, choose
from pytest_dbmigrate.servers.docker import container
from pytest_dbmigrate.servers.embedded import instance, programs
from pytest_dbmigrate.servers.kept import removal, reuse
from pytest_dbmigrate.servers.server import Server
from pytest_dbmigrate.settings.values import Settings

SERVER = "server.json"
REPLACED = "replaced.json"  # why the kept server is a new one


@dataclass(frozen=True)
class Address:
    """What is known of a server before it is started.

    `holder` keeps the port of an embedded server ours until the server has it.
    """

    dsn: Dsn
    kind: str
    reason: str
    holder: socket.socket | None = None


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
            server = _resume(settings, run)
            return Address(server.dsn, server.kind, server.reason)
        choice = _choose(settings, run)
        if choice.kind == "docker":
            server = _start(settings, run, choice, None)
            return Address(server.dsn, server.kind, server.reason)
        return _settle(settings, run, choice)


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
            choice = Choice(address.kind, address.reason) if address else _choose(settings, run)  # type: ignore[arg-type]
            return _start(settings, run, choice, address)
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
            return _told(run, server, 0.0)
        return Server.from_record(run.read(SERVER))


def _choose(settings: Settings, run: Run) -> Choice:
    if settings.fresh:
        removal.forgotten(settings, run)
    run.journal.write(ChoosingServer())
    return choose(settings)


def _known_address(run: Run) -> Address | None:
    record = run.read(SERVER)
    if record is not None and "error" in record:
        raise from_record(record["error"])
    record = record or run.read(cleanup.ADDRESS)
    return record and Address(Dsn.from_record(record["dsn"]), record["kind"], record["reason"])


def _settle(settings: Settings, run: Run, choice: Choice) -> Address:
    if choice.kind == "url":
        assert settings.server.address is not None
        address = Address(settings.server.address, "url", choice.reason)
    else:
        dsn, holder = instance.reserve()
        address = Address(dsn, "embedded", choice.reason, holder)
    cleanup.write_address(run.folder, address.dsn, choice.kind, choice.reason)
    return address


def _start(settings: Settings, run: Run, choice: Choice, address: Address | None) -> Server:
    run.journal.write(StartingServer(choice.kind))
    began = time.monotonic()
    if choice.kind == "docker":
        started = _start_docker(settings, run, choice)
    else:
        address = address or _settle(settings, run, choice)
        start = _start_url if choice.kind == "url" else _start_embedded
        started = start(settings, run, address)
    return _told(run, started, time.monotonic() - began)


def _resume(settings: Settings, run: Run) -> Server:
    run.journal.write(StartingServer("kept"))
    began = time.monotonic()
    started, replaced = reuse.server(settings, run)
    run.write(REPLACED, replaced)
    return _told(run, started, time.monotonic() - began)


def _told(run: Run, started: Server, seconds: float) -> Server:
    run.write(SERVER, started.as_record())
    run.journal.write(ServerReady(str(started), started.reason, seconds))
    return started


def _start_docker(settings: Settings, run: Run, choice: Choice) -> Server:
    assert choice.engine is not None
    assert choice.service is not None
    file = run.folder / "compose.json"
    with run.start_guardian(container.work(file, run.id)):
        return container.start(
            choice.service, choice.engine, file, run.id, settings.timeout, choice.reason
        )


def _start_url(settings: Settings, run: Run, address: Address) -> Server:
    started = given.connect(address.dsn, settings.timeout)
    with run.start_guardian(guardian.Work(commands=[cleanup.command(run.folder, run.id)])):
        return started


def _start_embedded(settings: Settings, run: Run, address: Address) -> Server:
    folder = instance.place_for(run.id)
    with (
        address.holder or contextlib.nullcontext(),
        run.start_guardian(guardian.Work(folders=[str(folder)])) as start,
    ):
        found = programs.find(settings.pg_bin)
        place = instance.prepare(found, folder)
        instance.initialize(place, address.dsn)
        start(instance.process(place, address.dsn))
        ended = run.folder / guardian.ENDED
        return instance.ready(
            place.log,
            Server("embedded", address.dsn, reason=address.reason),
            settings.timeout,
            is_alive=lambda: not ended.exists(),
        )
