"""The server of a run that resumes: the kept one, started again, or replaced, and why."""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

from pytest_dbmigrate import __version__, clock
from pytest_dbmigrate.dsn import Dsn, redact
from pytest_dbmigrate.errors import ServerError
from pytest_dbmigrate.servers import base, cleaner, docker, embedded, guardian, programs, url
from pytest_dbmigrate.servers.base import Server
from pytest_dbmigrate.servers.choose import Choice, choose
from pytest_dbmigrate.servers.kept import Kept, Record, boot
from pytest_dbmigrate.servers.run import Run
from pytest_dbmigrate.settings import Settings

_ASKED = ("server", "image", "compose_file", "compose_service", "pg_bin")
_ON_DISK = Path("/var/tmp")  # noqa: S108  # a private folder with a random name is made in it
_COMMAND_SECONDS = 60.0
_FAREWELL_SECONDS = 10.0


def server(settings: Settings, run: Run) -> tuple[Server, str]:
    """Return the project's server and why an earlier one was replaced, if it was.

    One process of the machine at a time finds, starts or replaces it. The run's guardian
    is started: it drops what this run leaves on the server. Raises `ServerError`.
    """
    kept = Kept.of(settings.root)
    command = cleaner.command(run.folder, kept.key, may_be_gone="://" not in settings.server)
    with kept.only_one(), run.guarding(guardian.Work(commands=[command])):
        try:
            found, reason = _found(settings, run, kept)
        except BaseException:
            if kept.read() is None:
                kept.forget()
            raise
        cleaner.write_address(run.folder, found.dsn, found.kind, found.reason)
        kept.join(run.folder)
        return found, reason


def _found(settings: Settings, run: Run, kept: Kept) -> tuple[Server, str]:
    record = kept.read()
    if record is None:
        kept.empty()
        return _new(settings, kept), ""
    if settings.fresh:
        discard(kept, record, run)
        return _new(settings, kept), ""
    reason = _unusable(record, settings)
    if not reason:
        found, reason = _revived(record, settings, run, kept)
        if found is not None:
            return found, ""
    discard(kept, record, run)
    return _new(settings, kept), reason


def look(settings: Settings) -> Server | None:
    """Return the project's kept server if it answers; nothing is started or changed."""
    record = Kept.of(settings.root).read()
    return base.ask(Server(record.kind, record.address)) if record else None


def renewed(settings: Settings, run: Run) -> Server:
    """Return a new server in place of the kept one, which is of no use.

    An embedded one has the same address: the tests may have been told of it already.
    """
    kept = Kept.of(settings.root)
    with kept.only_one():
        record = kept.read()
        if record is not None:
            discard(kept, record, run)
        found = _new(settings, kept, record)
        cleaner.write_address(run.folder, found.dsn, found.kind, found.reason)
        return found


def end(kept: Kept, record: Record) -> str:
    """End and remove a kept server, or only our databases where it is somebody else's.

    Return what the command that removes it said if it failed. To be called by the one
    process that `kept.only_one` lets in.
    """
    if record.process is not None:
        process = guardian.Process(**record.process)
        guardian.end(process)
        guardian.end_strays(process.folder)
    said = _run(record.down) if record.down else ""
    if record.folder:
        guardian.remove_server_folder(Path(record.folder))
    if not said:
        kept.empty()
    return said


def _run(command: list[str]) -> str:
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_COMMAND_SECONDS,
            check=False,
        )
    except (OSError, subprocess.SubprocessError) as error:
        return str(error)
    return done.stderr.strip() or "it failed" if done.returncode else ""


def _unusable(record: Record, settings: Settings) -> str:
    """Return why the kept server cannot be used any more, or nothing."""
    if record.plugin != __version__:
        return f"it was kept by pytest-dbmigrate {record.plugin}"
    if not record.is_ready:
        return "the kept server's start was cut short"
    asked = _asked(settings)
    for name, before in record.asked.items():
        if asked.get(name) != before:
            return f"dbmigrate_{name} is {redact(asked[name]) or 'not set'} now"
    if record.kind == "embedded" and record.boot != boot():
        return "the machine was started anew"
    if record.kind == "embedded" and record.programs != _identity(Path(record.programs[0])):
        return f"the programs in {record.programs[0]} are others now"
    return ""


def _asked(settings: Settings) -> dict[str, str]:
    return {name: str(getattr(settings, name)) for name in _ASKED}


def _identity(folder: Path) -> list[Any]:
    """Return what tells these programs from those that an upgrade puts in their place."""
    try:
        info = (folder / "postgres").stat()
    except OSError:
        return [str(folder)]
    return [str(folder), info.st_size, info.st_mtime_ns]


def _revived(record: Record, settings: Settings, run: Run, kept: Kept) -> tuple[Server | None, str]:
    """Return the kept server, started again if it is embedded and has ended; else why not."""
    if record.kind == "url":
        return _given(settings, kept), ""
    found = base.ask(Server(record.kind, record.address, reason="kept"))
    if found is not None:
        return found, ""
    if record.kind == "docker":
        return None, "the kept container had ended"
    _need_no_other(kept, run, "does not answer")
    try:
        return _started_again(record, settings, kept), ""
    except ServerError as error:
        said = (error.log.splitlines() or error.tried or [error.what])[-1]
        return None, f"the kept server had ended, and could not be started again ({said})"


def _started_again(record: Record, settings: Settings, kept: Kept) -> Server:
    assert record.process is not None
    before = guardian.Process(**record.process)
    guardian.end(before)
    guardian.end_strays(before.folder)
    # nobody works there any more; a dead server whom no parent has buried seems alive to Postgres
    for file in [*Path(before.folder).glob("postmaster.pid"), *Path(record.folder).glob(".s.*")]:
        file.unlink()
    dsn, holder = embedded.reserve(record.address)
    argv = [
        f"port={dsn.port}" if word == f"port={record.address.port}" else word
        for word in before.argv
    ]
    process = replace(before, argv=argv)
    record = replace(record, process=vars(process), dsn=dsn.as_record())
    kept.write(record)
    found = Server("embedded", dsn, reason="kept; it had ended and was started again")
    with holder:
        return _launched(process, found, settings.timeout)


def discard(kept: Kept, record: Record, run: Run) -> None:
    """End and remove the kept server. Raises `ServerError` if another run uses it."""
    _need_no_other(kept, run, "has to be replaced")
    end(kept, record)
    kept.empty()


def users(kept: Kept, besides: str = "") -> list[str]:
    """Return the living runs that use a server; one that was killed may be cleaned up after."""
    deadline = clock.now() + _FAREWELL_SECONDS
    while (found := kept.users(besides)) and clock.now() < deadline:
        clock.sleep(0.02)
    return found


def _need_no_other(kept: Kept, run: Run, what: str) -> None:
    others = users(kept, besides=run.id)
    if others:
        raise ServerError(
            f"the kept server {what}, and another run uses it",
            tried=tuple(f"run {other} lives" for other in others),
            todo=("wait until it has ended", "or, without --db-resume and --db-fresh, run apart"),
        )


def forgotten(settings: Settings, run: Run) -> None:
    """Discard what is kept of the project, for a run that keeps nothing itself."""
    kept = Kept.of(settings.root)
    if kept.read() is None:
        return
    with kept.only_one():
        record = kept.read()
        if record is not None:
            discard(kept, record, run)
        kept.forget()


def _new(settings: Settings, kept: Kept, before: Record | None = None) -> Server:
    choice = choose(settings)
    if choice.kind == "url":
        return _given(settings, kept)
    record = Record(
        kind=choice.kind,
        dsn=Dsn("", 0, "", "", "").as_record(),
        project=str(settings.root),
        plugin=__version__,
        asked=_asked(settings),
        boot=boot(),
    )
    if choice.kind == "docker":
        return _new_container(settings, kept, choice, record)
    same = before.address if before and before.kind == "embedded" else None
    dsn, holder = embedded.reserve(same)
    with holder:
        server = Server("embedded", dsn, reason=choice.reason)
        return _new_embedded(settings, kept, server, record)


def _given(settings: Settings, kept: Kept) -> Server:
    """Return the server at the configured URL, of which only our databases are kept."""
    found = url.connect(Dsn.parse(settings.server), settings.timeout)
    cleaner.write_address(kept.folder, found.dsn, "url", "")
    record = Record(
        kind="url",
        dsn=found.dsn.as_record(),
        project=str(settings.root),
        plugin=__version__,
        asked=_asked(settings),
        down=cleaner.command(kept.folder, kept.key, unless_used=True),
        is_ready=True,
    )
    kept.write(record)
    return found


def _new_container(settings: Settings, kept: Kept, choice: Choice, record: Record) -> Server:
    assert choice.engine is not None
    assert choice.service is not None
    file = kept.folder / "compose.json"
    record = replace(record, down=docker.work(file, kept.key).commands[0])
    kept.write(record)
    try:
        found = docker.start(
            choice.service,
            choice.engine,
            file,
            kept.key,
            settings.timeout,
            choice.reason,
            is_kept=True,
        )
    except BaseException:
        end(kept, record)
        raise
    kept.write(record.ready(found.dsn))
    return found


def _new_embedded(settings: Settings, kept: Kept, server: Server, record: Record) -> Server:
    found = programs.find(settings.pg_bin)
    folder = _place(kept)
    data = guardian.Process([], str(folder / "data"), str(folder / "log"), {})
    record = replace(
        record,
        dsn=server.dsn.as_record(),
        programs=_identity(found.folder),
        folder=str(folder),
        process=vars(data),
    )
    kept.write(record)
    try:
        place = embedded.prepare(found, folder)
        embedded.initialize(place, server.dsn)
        process = embedded.process(place, server.dsn, is_kept=True)
        record = replace(record, process=vars(process))
        kept.write(record)
        server = _launched(process, server, settings.timeout)
    except BaseException:
        end(kept, record)
        raise
    kept.write(record.ready(server.dsn))
    return server


def _place(kept: Kept) -> Path:
    """Return where an embedded server's folder will be: in memory, if there is room.

    Copying a database on a disk takes ten times as long. Without room it is in the cache;
    root's cache is closed to the account that the server runs as.
    """
    name = f"pytest-dbmigrate-{kept.key}-{secrets.token_hex(8)}"
    if embedded.has_room_in_memory():
        return embedded.MEMORY / name
    return kept.folder / "server" if os.geteuid() != 0 else _ON_DISK / name


def _launched(process: guardian.Process, server: Server, seconds: float) -> Server:
    """Start a server that is nobody's child, and return it once it answers."""
    started = subprocess.run(
        [sys.executable, "-I", "-S", guardian.__file__],
        input=json.dumps(vars(process)),
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )
    pid = int(started.stdout or 0)
    return embedded.ready(
        Path(process.log),
        server,
        seconds,
        is_alive=lambda: bool(pid) and guardian.works_in(pid, process.folder),
    )
