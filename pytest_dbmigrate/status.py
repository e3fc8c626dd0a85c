"""What `--db-status` shows and `--db-stop` ends: the kept state of one project."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from pytest_dbmigrate import __version__, candidates
from pytest_dbmigrate.databases import builds, home, names
from pytest_dbmigrate.databases.builds import Build
from pytest_dbmigrate.databases.connection import connect
from pytest_dbmigrate.dsn import Dsn
from pytest_dbmigrate.errors import DatabaseError, ServerError
from pytest_dbmigrate.migrations import events, migrator, source, state
from pytest_dbmigrate.migrations.state import State
from pytest_dbmigrate.servers import keep, run
from pytest_dbmigrate.servers.base import Server
from pytest_dbmigrate.servers.kept import Kept
from pytest_dbmigrate.settings import Settings


@dataclass(frozen=True)
class Line:
    """One revision: its state, when it came to it, how many seconds it took, by which run."""

    revision: str
    doc: str
    state: State
    at: datetime | None = None
    seconds: float | None = None
    run: str = ""


def lines(settings: Settings, folders: tuple[Path, ...]) -> tuple[str, list[Line]]:
    """Return where the state was found, and a line for each revision, the first ones first.

    A revision that is applied and that the scripts do not know comes last. Raises
    `DbmigrateError` if the scripts cannot be read, or the kept server does not answer.
    """
    known = _scripts(settings, folders)
    record = Kept.of(settings.root).read()
    if record is None:
        return "nothing is kept for this project", _joined(known, {})
    server = keep.look(settings)
    if server is None:
        where = "the kept server has ended; a run with --db-resume starts it again, or replaces it"
        return where, []
    project = Kept.of(settings.root).key
    kept_by = home.version(server.dsn, project)
    if kept_by not in ("", __version__):
        return f"{server}, kept by pytest-dbmigrate {kept_by}: the next run begins anew", []
    found = _of_latest(server, project) if kept_by else {}
    return f"{server}, kept", _joined(known, found)


def stop(kept: Kept) -> str:
    """End and remove a project's kept server; return what was done, in words.

    Raises `ServerError` if a run uses it, or if it cannot be removed.
    """
    if kept.read() is None:
        return "nothing is kept for this project"
    with kept.only_one():
        record = kept.read()
        if record is None:
            return "nothing is kept for this project"
        users = keep.users(kept)
        if users:
            raise ServerError(
                "the kept server is in use",
                tried=tuple(f"run {user} lives" for user in users),
                todo=("wait until it has ended, or end it",),
            )
        said = keep.end(kept, record)
        if said:
            raise ServerError(
                f"what was kept on the {record.kind} server could not be removed",
                tried=tuple(said.splitlines()[-3:]),
                todo=("see what it said, and try again",),
            )
        kept.forget()
    run.end_kept(record.project)
    what = "our databases on the server" if record.kind == "url" else f"the {record.kind} server"
    return f"ended and removed: {what}"


def _scripts(settings: Settings, folders: tuple[Path, ...]) -> list[dict[str, str]]:
    found = source.find(settings.alembic, folders)
    with contextlib.closing(migrator.Child(found.folder)) as child:
        return child.scripts(found.as_record(), settings.target)


def _of_latest(server: Server, project: str) -> dict[str, Line]:
    """Return the lines of the build that was worked on or used last, by revision."""
    with contextlib.closing(connect(server.dsn.at(names.control(project)))) as connection:
        latest = next(iter(builds.every(connection)), None)
        return _of(latest, connection, server.dsn) if latest else {}


def _of(build: Build, history: events.Connection, dsn: Dsn) -> dict[str, Line]:
    if build.sealed is not None:
        return {it["revision"]: _based(it) for it in build.sealed["applied"]}
    entries = events.read(history, build.id)
    owned = events.is_owned(history, build.id)
    configured = events.configured(history, build.id)
    applied = None
    if configured is not None:
        with contextlib.suppress(DatabaseError):  # it is just being made, or gone
            scratch = dsn.at(names.scratch(build.id))
            applied = state.applied(entries, candidates.version_table(scratch, configured))
    folded = state.fold(entries, applied=applied, owner_lives=owned)
    own = {
        name: Line(name, "", it.state, it.entry.at, it.entry.event.seconds, it.entry.run)
        for name, it in folded.items()
        if it.entry is not None
    }
    return {**{it["revision"]: _based(it) for it in build.base}, **own}


def _based(record: dict[str, Any]) -> Line:
    at = datetime.fromisoformat(record["at"])
    return Line(record["revision"], "", "done", at, record["seconds"], record["run"])


def _joined(known: list[dict[str, str]], found: dict[str, Line]) -> list[Line]:
    told = [
        Line(**{**vars(found[it["revision"]]), "doc": it["doc"]})
        if it["revision"] in found
        else Line(it["revision"], it["doc"], "pending")
        for it in known
    ]
    names = {it["revision"] for it in known}
    unknown = [line for name, line in found.items() if name not in names]
    return [*told, *(Line(**{**vars(it), "doc": "(no script)"}) for it in unknown)]
