"""Which of the kept builds a run can go on from, and why the others cannot be.

Nothing is changed here: the events, the version table, the catalog and the files are read
and compared.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pytest_dbmigrate.addresses.dsn import Dsn
from pytest_dbmigrate.databases import names
from pytest_dbmigrate.databases.builds import Build
from pytest_dbmigrate.databases.connection import connect
from pytest_dbmigrate.databases.control import Control
from pytest_dbmigrate.migrations import events, fingerprint, revision_states, versions
from pytest_dbmigrate.migrations.env_configuration import EnvConfiguration
from pytest_dbmigrate.migrations.events import Connection, Entry
from pytest_dbmigrate.migrations.fingerprint import Files, Manifest


@dataclass(frozen=True)
class Candidate:
    """A build to go on from: what is applied in it, in order.

    `configured` is what each environment's env.py had configured, as far as the build came;
    `recovered` are revisions that were committed and whose end nobody could write down;
    `unfinished` is what was cut short or failed after them.
    """

    build: Build
    applied: list[dict[str, Any]]
    configured: dict[str, EnvConfiguration]
    recovered: list[Entry] = field(default_factory=list)
    unfinished: revision_states.RevisionState | None = None


class Unusable(Exception):  # noqa: N818  # a reason, not an error
    """Why a build cannot be gone on from, as the end of a sentence; empty if it is of no use."""


def current(
    builds: list[Build], control: Control, files: Files, shape: dict[str, str], *, check: bool
) -> Build | None:
    """Return the sealed build that is just what a new one would be, or None."""
    for build in builds:
        if build.sealed is None or fingerprint.shape_changed(build.shape, shape):
            continue
        is_judged = not check or build.sealed["is_checked"]
        is_same = is_judged and not fingerprint.changed(Manifest(**build.sealed["manifest"]), files)
        if is_same and control.is_sealed(names.template(build.id)):
            return build
    return None


def best(
    builds: list[Build],
    control: Control,
    history: Connection,
    files: Files,
    shape: dict[str, str],
) -> tuple[Candidate | None, str]:
    """Return the build with most of the revisions to go on from; else why there is none.

    The reason is that of the build used last. What still works on a build that was cut short
    is ended: the caller has the lock that says nobody may.
    """
    found: list[Candidate] = []
    reasons: list[str] = []
    for build in builds:
        with _noting(reasons):
            found.append(_judge(build, control, history, files, shape))
    if found:
        # of equals the one that is no template yet: it need not be copied
        return max(found, key=lambda it: (len(it.applied), it.build.sealed is None)), ""
    return None, next((reason for reason in reasons if reason), "")


@contextmanager
def _noting(reasons: list[str]) -> Iterator[None]:
    try:
        yield
    except Unusable as reason:
        reasons.append(str(reason))


def _judge(
    build: Build, control: Control, history: Connection, files: Files, shape: dict[str, str]
) -> Candidate:
    changed = fingerprint.shape_changed(build.shape, shape)
    if changed:
        raise Unusable(changed)
    configured = events.configured(history, build.id)
    if not configured:
        raise Unusable("")  # it never came to its first revision
    for facts in configured.values():
        edited = fingerprint.edited(facts.common, files)
        if edited:
            raise Unusable(f"{Path(edited).name} was edited")
    candidate = _progress(build, configured, control, history)
    for revision in candidate.applied:
        _need_same(revision, files)
    return candidate


def _need_same(revision: dict[str, Any], files: Files) -> None:
    label = Path(revision["file"]).stem
    edited = fingerprint.edited(revision["sources"], files)
    if not edited:
        return
    if edited != revision["file"]:
        raise Unusable(f"{label} uses {Path(edited).name}, which was edited")
    if files.exists(edited):
        raise Unusable(f"{label} was edited")
    raise Unusable(f"{label} is applied, and its script is gone")


def _progress(
    build: Build, configured: dict[str, EnvConfiguration], control: Control, history: Connection
) -> Candidate:
    template = control.is_sealed(names.template(build.id))
    entries = events.read(history, build.id)
    if build.sealed is not None:
        if not template:
            gone = template is None
            raise Unusable(f"its template is {'gone' if gone else 'not sealed'}")
        return Candidate(build, build.sealed["applied"], configured)
    if template is not None:
        raise Unusable("its template is not sealed")
    if control.is_sealed(names.scratch(build.id)) is None:
        raise Unusable("")  # nothing of it is left
    return _cut_short(build, configured, entries, control)


def _cut_short(
    build: Build, configured: dict[str, EnvConfiguration], entries: list[Entry], control: Control
) -> Candidate:
    """Return what is in effect of a build whose owner is dead, once nothing works on it."""
    scratch = names.scratch(build.id)
    control.disconnect(scratch)
    candidate = Candidate(build, [*build.base], configured)
    for environment, facts in configured.items():
        own = [it for it in entries if it.environment == environment]
        done = revision_states.applied(own, version_table(control.dsn.at(scratch), facts))
        candidate = _with(candidate, own, done)
    return candidate


def _with(candidate: Candidate, entries: list[Entry], done: list[str]) -> Candidate:
    """Return the candidate with what the events of one more environment come to."""
    beyond = revision_states.beyond_rollback(entries, done)
    if beyond:
        raise Unusable(f"{_label(beyond, entries)} was cut short outside of a transaction")
    folded = revision_states.fold(entries, applied=done, owner_lives=False)
    known = {it.event.revision for it in entries if it.event.kind == "done"}
    recovered = [
        it.entry for it in folded.values() if it.entry and it.revision in set(done) - known
    ]
    unfinished = [it for it in folded.values() if it.state in ("stuck", "failed")]
    return Candidate(
        candidate.build,
        [*candidate.applied, *records(entries, done)],
        candidate.configured,
        [*candidate.recovered, *recovered],
        unfinished[-1] if unfinished else candidate.unfinished,
    )


def version_table(dsn: Dsn, configured: EnvConfiguration) -> tuple[str, ...]:
    """Return the heads that a database's version table names."""
    with connect(dsn) as connection:
        return versions.heads(connection, configured.version_table, configured.version_table_schema)


def records(entries: list[Entry], done: list[str]) -> list[dict[str, Any]]:
    """Return what is known of each revision that is in effect, in their order."""
    latest = {it.event.revision: it for it in entries if it.event.kind != "failed"}
    return [
        {
            "revision": revision,
            "environment": latest[revision].environment,
            "file": next(iter(latest[revision].event.sources)),
            "sources": latest[revision].event.sources,
            "at": latest[revision].at.isoformat(),
            "seconds": latest[revision].event.seconds,
            "run": latest[revision].run,
        }
        for revision in dict.fromkeys(done)
    ]


def _label(revision: str, entries: list[Entry]) -> str:
    sources = next(it.event.sources for it in entries if it.event.revision == revision)
    return Path(next(iter(sources))).stem if sources else revision
