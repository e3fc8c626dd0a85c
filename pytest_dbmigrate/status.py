"""Status of one project: the kept state that `--db-status` shows and `--db-stop` removes."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import TypeAlias

from pytest_dbmigrate.addresses.dsn import Dsn
from pytest_dbmigrate.databases import builds, control_tables, names
from pytest_dbmigrate.databases.builds import Build
from pytest_dbmigrate.databases.connection import connect
from pytest_dbmigrate.errors import DatabaseError, ServerError
from pytest_dbmigrate.migrations import environments, events, process, revision_states
from pytest_dbmigrate.migrations.events import Entry
from pytest_dbmigrate.migrations.revision_states import State
from pytest_dbmigrate.migrations.steps import BEFORE, label
from pytest_dbmigrate.runs import folders
from pytest_dbmigrate.servers import kinds
from pytest_dbmigrate.servers.kept import removal, reuse
from pytest_dbmigrate.servers.kept.record import Kept
from pytest_dbmigrate.servers.server import Server
from pytest_dbmigrate.settings.values import Settings
from pytest_dbmigrate.template import candidates, data
from pytest_dbmigrate.template.facts import AppliedRevision, SealedFacts, applied_from
from pytest_dbmigrate.version import __version__


@dataclass(frozen=True)
class Line:
    """One revision: its state, since when, how many seconds it took, and in which run.

    `environment` is empty if the project has just one.
    """

    revision: str
    doc: str
    state: State
    at: datetime | None = None
    seconds: float | None = None
    run: str = ""
    environment: str = ""


Key: TypeAlias = tuple[str, str]  # environment and revision


def lines(settings: Settings, folders: tuple[Path, ...]) -> tuple[str, list[Line]]:
    """Return where the state is kept, and a line for each revision, in the order of the scripts.

    Applied revisions without a script come last. Raises
    `DbmigrateError` if the scripts cannot be read, or the kept server does not answer.
    """
    known = _scripts(settings, folders)
    record = Kept.of(settings.root).read()
    if record is None:
        return "nothing is kept for this project", _merge(known, {})
    server = reuse.look(settings)
    if server is None:
        where = "the kept server has ended; a run with --db-resume starts it again, or replaces it"
        return where, []
    project = Kept.of(settings.root).key
    kept_by = control_tables.version(server.dsn, project)
    if kept_by not in ("", __version__):
        return f"{server}, kept by pytest-dbmigrate {kept_by}: the next run begins anew", []
    found = _latest_lines(server, project) if kept_by else {}
    return f"{server}, kept", _merge(known, found)


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
        users = removal.users(kept)
        if users:
            raise ServerError(
                "the kept server is in use",
                tried=tuple(f"run {user} lives" for user in users),
                todo=("wait until it has ended, or end it",),
            )
        said = removal.end(kept, record)
        if said:
            raise ServerError(
                f"what was kept on the {record.kind} server could not be removed",
                tried=tuple(said.splitlines()[-3:]),
                todo=("see what it said, and try again",),
            )
        kept.forget()
    folders.end_kept(record.project)
    is_ours = kinds.of(record.kind).is_ours
    what = f"the {record.kind} server" if is_ours else "our databases on the server"
    return f"ended and removed: {what}"


def _scripts(settings: Settings, folders: tuple[Path, ...]) -> list[Line]:
    """Return a pending line for each step and each revision in the scripts, in their order."""
    found = environments.find(settings.alembic, folders)
    steps = [Line(label(step), "", "pending", environment=BEFORE) for step in settings.before]
    for one, name in zip(found, environments.names(found), strict=True):
        with contextlib.closing(process.ChildProcess(one.folder)) as child:
            known = child.scripts(one, str(settings.root), settings.within)
        steps += [Line(it.revision, it.doc, "pending", environment=name) for it in known]
    return steps


def _latest_lines(server: Server, project: str) -> dict[Key, Line]:
    """Return the lines of the most recently used build, by environment and revision."""
    with contextlib.closing(connect(server.dsn.at(names.control(project)))) as connection:
        latest = next(iter(data.without_data(builds.every(connection))), None)
        return _build_lines(latest, connection, server.dsn) if latest else {}


def _build_lines(build: Build, history: events.Connection, dsn: Dsn) -> dict[Key, Line]:
    entries = events.read(history, build.id)
    owned = events.is_owned(history, build.id)
    found = _event_lines([it for it in entries if it.environment == BEFORE], None, owned=owned)
    if build.sealed is not None:
        return found | _applied_lines(SealedFacts.from_record(build.sealed).applied)
    found |= _applied_lines(applied_from(build.base))
    configured = events.configured(history, build.id)
    for name in dict.fromkeys(it.environment for it in entries if it.environment != BEFORE):
        applied = None
        own = [it for it in entries if it.environment == name]
        if name in configured:
            with contextlib.suppress(DatabaseError):  # it is just being made, or gone
                scratch = dsn.at(names.scratch(build.id))
                applied = revision_states.applied(
                    own, candidates.version_table(scratch, configured[name])
                )
        found |= _event_lines(own, applied, owned=owned)
    return found


def _event_lines(
    entries: list[Entry], applied: list[str] | None, *, owned: bool
) -> dict[Key, Line]:
    folded = revision_states.fold(entries, applied=applied, owner_lives=owned)
    states = [(it.state, it.entry) for it in folded.values() if it.entry is not None]
    return {
        (entry.environment, entry.event.revision): Line(
            entry.event.revision, "", what, entry.at, entry.event.seconds, entry.run,
            entry.environment,
        )
        for what, entry in states
    }  # fmt: skip


def _applied_lines(applied: Iterable[AppliedRevision]) -> dict[Key, Line]:
    return {
        (it.environment, it.revision): Line(
            it.revision, "", "done", it.at, it.seconds, it.run, it.environment
        )
        for it in applied
    }


def _merge(known: list[Line], found: dict[Key, Line]) -> list[Line]:
    """Return the lines of the scripts, with the state of each, then those without a script."""
    scripts = {(it.environment, it.revision): it for it in known}
    in_scripts = [replace(found.get(key, line), doc=line.doc) for key, line in scripts.items()]
    unknown = [
        replace(line, doc="(no script)") for key, line in found.items() if key not in scripts
    ]
    return [*in_scripts, *unknown]
