"""Reuse of a kept server by a run that resumes, or its replacement and the reason for it."""

from __future__ import annotations

from pytest_dbmigrate.addresses.dsn import redact
from pytest_dbmigrate.errors import ServerError
from pytest_dbmigrate.runs import guardian
from pytest_dbmigrate.runs.run import Run
from pytest_dbmigrate.servers import choice, cleanup, kinds
from pytest_dbmigrate.servers.address import Address
from pytest_dbmigrate.servers.kept import removal
from pytest_dbmigrate.servers.kept.record import Kept, Record, requested
from pytest_dbmigrate.servers.readiness import ask
from pytest_dbmigrate.servers.server import Server
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
            found, reason = _find_or_make(settings, run, kept)
        except BaseException:
            if kept.read() is None:
                kept.forget()
            raise
        Address.of(found).write(run.folder)
        kept.join(run.folder)
        return found, reason


def look(settings: Settings) -> Server | None:
    """Return the project's kept server if it answers; starts and changes nothing."""
    record = Kept.of(settings.root).read()
    return ask(kinds.of(record.kind).server(record.dsn)) if record else None


def renewed(settings: Settings, run: Run) -> Server:
    """Return a new server in place of the kept one, which is of no use.

    An embedded one has the same address: the tests may have been told of it already.
    """
    kept = Kept.of(settings.root)
    with kept.only_one():
        record = kept.read()
        if record is not None:
            removal.discard(kept, record, run)
        found = choice.choose(settings).keep(kept, record)
        Address.of(found).write(run.folder)
        return found


def _find_or_make(settings: Settings, run: Run, kept: Kept) -> tuple[Server, str]:
    record, reason = kept.read(), ""
    if record is None:
        kept.empty()
    else:
        if not settings.fresh:
            reason = _staleness(record, settings)
            if not reason:
                found, reason = _revive(record, settings, run, kept)
                if found is not None:
                    return found, ""
        removal.discard(kept, record, run)
    return choice.choose(settings).keep(kept), reason


def _staleness(record: Record, settings: Settings) -> str:
    """Return why the kept server can no longer be used, or nothing."""
    if record.plugin != __version__:
        return f"it was kept by pytest-dbmigrate {record.plugin}"
    if not record.is_ready:
        return "the kept server's start was cut short"
    now = requested(settings)
    for name, before in record.asked.items():
        if now.get(name) != before:
            return f"dbmigrate_{name} is {redact(now[name]) or 'not set'} now"
    return kinds.of(record.kind).staleness(record)


def _revive(record: Record, settings: Settings, run: Run, kept: Kept) -> tuple[Server | None, str]:
    """Return the kept server, started again if it has ended and can be; else why not."""
    kind = kinds.of(record.kind)(settings, reason="kept")
    found = kind.find(kept, record)
    if found is not None:
        return found, ""
    if not kind.can_restart:
        return None, f"the kept {kind.noun} had ended"
    removal.need_no_other(kept, run, "does not answer")
    try:
        return kind.restart(kept, record), ""
    except ServerError as error:
        said = (error.log.splitlines() or error.tried or [error.what])[-1]
        return None, f"the kept server had ended, and could not be started again ({said})"
