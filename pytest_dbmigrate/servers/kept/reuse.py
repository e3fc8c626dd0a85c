"""The server of a run that resumes: the kept one, started again, or replaced, and why."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from pytest_dbmigrate.addresses.dsn import redact
from pytest_dbmigrate.errors import ServerError
from pytest_dbmigrate.runs import guardian, server_process
from pytest_dbmigrate.runs.run import Run
from pytest_dbmigrate.runs.server_process import ServerProcess
from pytest_dbmigrate.servers import cleanup
from pytest_dbmigrate.servers.embedded import instance, programs
from pytest_dbmigrate.servers.kept import creation, removal
from pytest_dbmigrate.servers.kept.record import Kept, Record, asked, boot
from pytest_dbmigrate.servers.server import Server, ask
from pytest_dbmigrate.settings.values import Settings
from pytest_dbmigrate.version import __version__


def server(settings: Settings, run: Run) -> tuple[Server, str]:
    """Return the project's server and why an earlier one was replaced, if it was.

    One process of the machine at a time finds, starts or replaces it. The run's guardian
    is started: it drops what this run leaves on the server. Raises `ServerError`.
    """
    kept = Kept.of(settings.root)
    command = cleanup.command(run.folder, kept.key, may_be_gone=not settings.server.is_given)
    with kept.only_one(), run.start_guardian_meanwhile(guardian.Work(commands=[command])):
        try:
            found, reason = _found(settings, run, kept)
        except BaseException:
            if kept.read() is None:
                kept.forget()
            raise
        cleanup.write_address(run.folder, found.dsn, found.kind, found.reason)
        kept.join(run.folder)
        return found, reason


def _found(settings: Settings, run: Run, kept: Kept) -> tuple[Server, str]:
    record = kept.read()
    if record is None:
        kept.empty()
        return creation.new(settings, kept), ""
    if settings.fresh:
        removal.discard(kept, record, run)
        return creation.new(settings, kept), ""
    reason = _unusable(record, settings)
    if not reason:
        found, reason = _revived(record, settings, run, kept)
        if found is not None:
            return found, ""
    removal.discard(kept, record, run)
    return creation.new(settings, kept), reason


def look(settings: Settings) -> Server | None:
    """Return the project's kept server if it answers; nothing is started or changed."""
    record = Kept.of(settings.root).read()
    return ask(Server(record.kind, record.address)) if record else None


def renewed(settings: Settings, run: Run) -> Server:
    """Return a new server in place of the kept one, which is of no use.

    An embedded one has the same address: the tests may have been told of it already.
    """
    kept = Kept.of(settings.root)
    with kept.only_one():
        record = kept.read()
        if record is not None:
            removal.discard(kept, record, run)
        found = creation.new(settings, kept, record)
        cleanup.write_address(run.folder, found.dsn, found.kind, found.reason)
        return found


def _unusable(record: Record, settings: Settings) -> str:
    """Return why the kept server cannot be used any more, or nothing."""
    if record.plugin != __version__:
        return f"it was kept by pytest-dbmigrate {record.plugin}"
    if not record.is_ready:
        return "the kept server's start was cut short"
    now = asked(settings)
    for name, before in record.asked.items():
        if now.get(name) != before:
            return f"dbmigrate_{name} is {redact(now[name]) or 'not set'} now"
    if record.kind == "embedded" and record.boot != boot():
        return "the machine was started anew"
    if record.kind == "embedded" and record.programs != programs.identity(Path(record.programs[0])):
        return f"the programs in {record.programs[0]} are others now"
    return ""


def _revived(record: Record, settings: Settings, run: Run, kept: Kept) -> tuple[Server | None, str]:
    """Return the kept server, started again if it is embedded and has ended; else why not."""
    if record.kind == "url":
        return creation.given(settings, kept), ""
    found = ask(Server(record.kind, record.address, reason="kept"))
    if found is not None:
        return found, ""
    if record.kind == "docker":
        return None, "the kept container had ended"
    removal.need_no_other(kept, run, "does not answer")
    try:
        return _started_again(record, settings, kept), ""
    except ServerError as error:
        said = (error.log.splitlines() or error.tried or [error.what])[-1]
        return None, f"the kept server had ended, and could not be started again ({said})"


def _started_again(record: Record, settings: Settings, kept: Kept) -> Server:
    assert record.process is not None
    before = ServerProcess(**record.process)
    before.end()
    server_process.end_strays(before.folder)
    # nobody works there any more; a dead server whom no parent has buried seems alive to Postgres
    for file in [*Path(before.folder).glob("postmaster.pid"), *Path(record.folder).glob(".s.*")]:
        file.unlink()
    dsn, holder = instance.reserve(record.address)
    argv = [
        f"port={dsn.port}" if word == f"port={record.address.port}" else word
        for word in before.argv
    ]
    process = replace(before, argv=argv)
    record = replace(record, process=vars(process), dsn=dsn.as_record())
    kept.write(record)
    found = Server("embedded", dsn, reason="kept; it had ended and was started again")
    with holder:
        return instance.launched(process, found, settings.timeout)
