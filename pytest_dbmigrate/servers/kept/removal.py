"""Removal of a kept server: no run uses it, and nothing of it stays."""

from __future__ import annotations

from pytest_dbmigrate import clock
from pytest_dbmigrate.errors import ServerError
from pytest_dbmigrate.runs.run import Run
from pytest_dbmigrate.servers import kinds
from pytest_dbmigrate.servers.kept.record import Kept, Record
from pytest_dbmigrate.settings.values import Settings

_FAREWELL_SECONDS = 10.0


def end(kept: Kept, record: Record) -> str:
    """End and remove a kept server, or only our databases if it is somebody else's.

    Return what was said if that failed. Only the process that `kept.only_one` lets in may call it.
    """
    said = kinds.of(record.kind).end(record)
    if not said:
        kept.empty()
    return said


def discard(kept: Kept, record: Record, run: Run) -> None:
    """End and remove the kept server; if its engine or the server is out of reach, forget it.

    Raises `ServerError` if another run uses it.
    """
    need_no_other(kept, run, "has to be replaced")
    end(kept, record)
    kept.empty()


def users(kept: Kept, besides: str = "") -> list[str]:
    """Return the living runs that use a server, after a wait for those that are just ending.

    A run that was killed uses it until its guardian has cleaned up.
    """
    deadline = clock.now() + _FAREWELL_SECONDS
    while (found := kept.users(besides)) and clock.now() < deadline:
        clock.sleep(0.02)
    return found


def discard_of(settings: Settings, run: Run) -> None:
    """Discard what is kept of a project, for a run that keeps nothing itself."""
    kept = Kept.of(settings.root)
    if kept.read() is None:
        return
    with kept.only_one():
        record = kept.read()
        if record is not None:
            discard(kept, record, run)
        kept.forget()


def need_no_other(kept: Kept, run: Run, what: str) -> None:
    """Raise `ServerError` if another run uses the server; `what` is why that cannot be."""
    others = users(kept, besides=run.id)
    if others:
        raise ServerError(
            f"the kept server {what}, and another run uses it",
            tried=tuple(f"run {other} lives" for other in others),
            todo=("wait until it has ended", "or, without --db-resume and --db-fresh, run apart"),
        )
