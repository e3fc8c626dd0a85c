"""A new server that is to be kept: written down first, so that whatever is begun can be ended."""

from __future__ import annotations

import os
import secrets
from dataclasses import replace
from pathlib import Path

from pytest_dbmigrate.addresses.dsn import Dsn
from pytest_dbmigrate.runs.server_process import ServerProcess
from pytest_dbmigrate.servers import cleanup
from pytest_dbmigrate.servers import given as given_server
from pytest_dbmigrate.servers.choice import Choice, choose
from pytest_dbmigrate.servers.docker import container
from pytest_dbmigrate.servers.embedded import instance, programs
from pytest_dbmigrate.servers.kept import removal
from pytest_dbmigrate.servers.kept.record import Kept, Record, asked, boot
from pytest_dbmigrate.servers.server import Server
from pytest_dbmigrate.settings.values import Settings
from pytest_dbmigrate.version import __version__

_ON_DISK = Path("/var/tmp")  # noqa: S108  # a private folder with a random name is made in it


def new(settings: Settings, kept: Kept, before: Record | None = None) -> Server:
    """Return a new server, of the kind that the settings ask for.

    An embedded one has the address of the one `before` it. Raises `ServerError`.
    """
    choice = choose(settings)
    if choice.kind == "url":
        return given(settings, kept)
    record = Record(
        kind=choice.kind,
        dsn=Dsn("", 0, "", "", "").as_record(),
        project=str(settings.root),
        plugin=__version__,
        asked=asked(settings),
        boot=boot(),
    )
    if choice.kind == "docker":
        return _new_container(settings, kept, choice, record)
    same = before.address if before and before.kind == "embedded" else None
    dsn, holder = instance.reserve(same)
    with holder:
        server = Server("embedded", dsn, reason=choice.reason)
        return _new_embedded(settings, kept, server, record)


def given(settings: Settings, kept: Kept) -> Server:
    """Return the server at the configured URL, of which only our databases are kept."""
    assert settings.server.address is not None
    found = given_server.connect(settings.server.address, settings.timeout)
    cleanup.write_address(kept.folder, found.dsn, "url", "")
    record = Record(
        kind="url",
        dsn=found.dsn.as_record(),
        project=str(settings.root),
        plugin=__version__,
        asked=asked(settings),
        down=cleanup.command(kept.folder, kept.key, unless_used=True),
        is_ready=True,
    )
    kept.write(record)
    return found


def _new_container(settings: Settings, kept: Kept, choice: Choice, record: Record) -> Server:
    assert choice.engine is not None
    assert choice.service is not None
    file = kept.folder / "compose.json"
    record = replace(record, down=container.work(file, kept.key).commands[0])
    kept.write(record)
    try:
        found = container.start(
            choice.service,
            choice.engine,
            file,
            kept.key,
            settings.timeout,
            choice.reason,
            is_kept=True,
        )
    except BaseException:
        removal.end(kept, record)
        raise
    kept.write(record.ready(found.dsn))
    return found


def _new_embedded(settings: Settings, kept: Kept, server: Server, record: Record) -> Server:
    found = programs.find(settings.pg_bin)
    folder = _place(kept)
    data = ServerProcess([], str(folder / "data"), str(folder / "log"), {})
    record = replace(
        record,
        dsn=server.dsn.as_record(),
        programs=programs.identity(found.folder),
        folder=str(folder),
        process=vars(data),
    )
    kept.write(record)
    try:
        place = instance.prepare(found, folder)
        instance.initialize(place, server.dsn)
        process = instance.process(place, server.dsn, is_kept=True)
        record = replace(record, process=vars(process))
        kept.write(record)
        server = instance.launched(process, server, settings.timeout)
    except BaseException:
        removal.end(kept, record)
        raise
    kept.write(record.ready(server.dsn))
    return server


def _place(kept: Kept) -> Path:
    """Return where an embedded server's folder will be: in memory, if there is room.

    Copying a database on a disk takes ten times as long. Without room it is in the cache;
    root's cache is closed to the account that the server runs as.
    """
    name = f"pytest-dbmigrate-{kept.key}-{secrets.token_hex(8)}"
    if instance.has_room_in_memory():
        return instance.MEMORY / name
    return kept.folder / "server" if os.geteuid() != 0 else _ON_DISK / name
