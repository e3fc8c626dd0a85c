"""The one server of a run: its address settled, its start, by whichever process is first."""

from __future__ import annotations

import contextlib
import socket
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from pytest_dbmigrate.dsn import Dsn
from pytest_dbmigrate.errors import DbmigrateError, as_record, from_record
from pytest_dbmigrate.servers import docker, embedded, guardian, programs, url
from pytest_dbmigrate.servers.base import Server
from pytest_dbmigrate.servers.choose import Choice, choose
from pytest_dbmigrate.servers.run import Run
from pytest_dbmigrate.settings import Settings

SERVER = "server.json"
_ADDRESS = "address.json"
_CLEAN_UP = """
import sys
own = [entry for entry in sys.path if entry]
sys.path[:] = own + [entry for entry in {path!r} if entry not in own]
from {module} import main
main({folder!r})
"""
_CLEANER = "pytest_dbmigrate.databases.sweep"


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
    """Return the server's address; starts it only where Docker has to choose the port.

    Raises `ServerError` if no server can be had.
    """
    with run.only_one("server"):
        known = _known_address(run)
        if known is not None:
            return known
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
            address = _known_address(run)
            choice = Choice(address.kind, address.reason) if address else _choose(settings, run)  # type: ignore[arg-type]
            return _start(settings, run, choice, address)
        except DbmigrateError as error:
            run.write(SERVER, {"error": as_record(error)})
            raise


def _choose(settings: Settings, run: Run) -> Choice:
    run.note("choosing")  # asking Docker, or pulling an image, may take a while
    return choose(settings)


def _known_address(run: Run) -> Address | None:
    record = run.read(SERVER)
    if record is not None and "error" in record:
        raise from_record(record["error"])
    record = record or run.read(_ADDRESS)
    return record and Address(Dsn.from_record(record["dsn"]), record["kind"], record["reason"])


def _settle(settings: Settings, run: Run, choice: Choice) -> Address:
    if choice.kind == "url":
        address = Address(Dsn.parse(settings.server), "url", choice.reason)
    else:
        dsn, holder = embedded.reserve()
        address = Address(dsn, "embedded", choice.reason, holder)
    run.write(
        _ADDRESS,
        {"dsn": address.dsn.as_record(), "kind": choice.kind, "reason": choice.reason},
    )
    return address


def _start(settings: Settings, run: Run, choice: Choice, address: Address | None) -> Server:
    run.note("starting", kind_of_server=choice.kind, reason=choice.reason)
    began = time.monotonic()
    if choice.kind == "docker":
        started = _start_docker(settings, run, choice)
    else:
        address = address or _settle(settings, run, choice)
        start = _start_url if choice.kind == "url" else _start_embedded
        started = start(settings, run, address)
    run.write(SERVER, started.as_record())
    run.note(
        "server",
        server=str(started),
        reason=started.reason,
        seconds=time.monotonic() - began,
    )
    return started


def _start_docker(settings: Settings, run: Run, choice: Choice) -> Server:
    assert choice.engine is not None
    assert choice.service is not None
    file = run.folder / "compose.json"
    with run.guarded(docker.work(file, run.id)):
        return docker.start(
            choice.service, choice.engine, file, run.id, settings.timeout, choice.reason
        )


def _start_url(settings: Settings, run: Run, address: Address) -> Server:
    started = url.connect(address.dsn, settings.timeout)
    code = _CLEAN_UP.format(
        path=[str(Path(entry).resolve()) for entry in sys.path],
        module=_CLEANER,
        folder=str(run.folder),
    )
    with run.guarded(guardian.Work(commands=[[sys.executable, "-c", code]])):
        return started


def _start_embedded(settings: Settings, run: Run, address: Address) -> Server:
    folder = embedded.place_for(run.id)
    with (
        address.holder or contextlib.nullcontext(),
        run.guarded(guardian.Work(folders=[str(folder)])) as start,
    ):
        found = programs.find(settings.pg_bin)
        place = embedded.prepare(found, folder)
        embedded.initialize(place, address.dsn)
        start(embedded.process(place, address.dsn))
        ended = run.folder / guardian.ENDED
        return embedded.ready(
            place,
            Server("embedded", address.dsn, reason=address.reason),
            settings.timeout,
            is_alive=lambda: not ended.exists(),
        )
