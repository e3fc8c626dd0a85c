"""Candidates for a resume: which kept builds a run can resume, and why not the others.

Reads and compares the events, the version table, the catalog and the files; changes no build.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from pytest_dbmigrate.addresses.dsn import Dsn
from pytest_dbmigrate.databases import names
from pytest_dbmigrate.databases.builds import Build
from pytest_dbmigrate.databases.connection import connect
from pytest_dbmigrate.databases.control import Control
from pytest_dbmigrate.migrations import events, fingerprint, revision_states, versions
from pytest_dbmigrate.migrations.env_configuration import EnvConfiguration
from pytest_dbmigrate.migrations.events import Connection, Entry
from pytest_dbmigrate.migrations.fingerprint import Files
from pytest_dbmigrate.migrations.revision_states import RevisionState
from pytest_dbmigrate.template.context import BuildContext
from pytest_dbmigrate.template.facts import (
    AppliedRevision,
    SealedFacts,
    Template,
    applied_from,
)


@dataclass(frozen=True)
class Candidate:
    """A build that can be resumed, and the revisions that are applied in it, in order.

    `configured` has env.py's configuration of each environment that the build got to; `recovered`
    are revisions that were committed before a crash kept anybody from recording it; `unfinished`
    is the revision that failed or was cut short after them.
    """

    build: Build
    applied: tuple[AppliedRevision, ...]
    configured: dict[str, EnvConfiguration]
    recovered: tuple[Entry, ...] = ()
    unfinished: RevisionState | None = None


class Unusable(Exception):  # noqa: N818  # a reason, not an error
    """Why a build cannot be resumed, as the end of a sentence; empty if not worth telling."""


def current(builds: Iterable[Build], context: BuildContext, files: Files) -> Template | None:
    """Return the sealed template that equals what a new build would make, or None."""
    for build in builds:
        if build.sealed is None or fingerprint.shape_changed(build.shape, context.shape):
            continue
        sealed = SealedFacts.from_record(build.sealed)
        if not sealed.is_checked and context.settings.check != "off":
            continue
        assert sealed.manifest is not None  # every kept template has one
        is_same = not fingerprint.changed(sealed.manifest, files)
        if is_same and context.control.is_sealed(names.template(build.id)):
            return Template(build.id, sealed.template)
    return None


def best(
    builds: Iterable[Build], context: BuildContext, history: Connection, files: Files
) -> tuple[Candidate | None, str]:
    """Return the build with the most revisions that can be resumed; else why there is none.

    The reason is that of the most recently used build. Sessions that still work on a build that
    was cut short are disconnected: the caller holds the lock that forbids such work.
    """
    candidates: list[Candidate] = []
    reasons: list[str] = []
    for build in builds:
        with _collect_reason(reasons):
            candidates.append(_judge(build, context, history, files))
    if candidates:
        # a tie goes to a build that is not sealed: it need not be copied
        return max(candidates, key=lambda it: (len(it.applied), it.build.sealed is None)), ""
    return None, next((reason for reason in reasons if reason), "")


@contextmanager
def _collect_reason(reasons: list[str]) -> Iterator[None]:
    try:
        yield
    except Unusable as reason:
        reasons.append(str(reason))


def _judge(build: Build, context: BuildContext, history: Connection, files: Files) -> Candidate:
    """Return the build as a candidate. Raises `Unusable`."""
    changed = fingerprint.shape_changed(build.shape, context.shape)
    if changed:
        raise Unusable(changed)
    configured = events.configured(history, build.id)
    if not configured:
        raise Unusable("")  # it did not get as far as its first revision
    for configuration in configured.values():
        edited = fingerprint.edited(configuration.common, files)
        if edited:
            raise Unusable(f"{Path(edited).name} was edited")
    candidate = _candidate(build, configured, context.control, history)
    for revision in candidate.applied:
        _require_unchanged(revision, files)
    return candidate


def _require_unchanged(revision: AppliedRevision, files: Files) -> None:
    label = Path(revision.file).stem
    edited = fingerprint.edited(revision.sources, files)
    if not edited:
        return
    if edited != revision.file:
        raise Unusable(f"{label} uses {Path(edited).name}, which was edited")
    if files.exists(edited):
        raise Unusable(f"{label} was edited")
    raise Unusable(f"{label} is applied, and its script is gone")


def _candidate(
    build: Build, configured: dict[str, EnvConfiguration], control: Control, history: Connection
) -> Candidate:
    """Return what is applied in a build, sealed or cut short. Raises `Unusable`."""
    template = control.is_sealed(names.template(build.id))
    entries = events.read(history, build.id)
    if build.sealed is not None:
        if not template:
            gone = template is None
            raise Unusable(f"its template is {'gone' if gone else 'not sealed'}")
        return Candidate(build, SealedFacts.from_record(build.sealed).applied, configured)
    if template is not None:
        raise Unusable("its template is not sealed")
    if control.is_sealed(names.scratch(build.id)) is None:
        raise Unusable("")  # nothing of it is left
    return _cut_short(build, configured, entries, control)


def _cut_short(
    build: Build, configured: dict[str, EnvConfiguration], entries: list[Entry], control: Control
) -> Candidate:
    """Return what is applied in a build whose owner is dead; its sessions are ended first."""
    scratch = names.scratch(build.id)
    control.disconnect(scratch)
    candidate = Candidate(build, applied_from(build.base), configured)
    for environment, configuration in configured.items():
        own = [it for it in entries if it.environment == environment]
        heads = version_table(control.dsn.at(scratch), configuration)
        candidate = _extend(candidate, own, revision_states.applied(own, heads))
    return candidate


def _extend(candidate: Candidate, entries: list[Entry], done: list[str]) -> Candidate:
    """Return the candidate with the revisions of one more environment.

    The version table decides what is applied (`done`). The events add what it cannot know: when,
    from which files, and what a revision committed before it failed.
    """
    beyond = revision_states.beyond_rollback(entries, done)
    if beyond:
        raise Unusable(f"{_label(beyond, entries)} was cut short outside of a transaction")
    states = revision_states.fold(entries, applied=done, owner_lives=False)
    recorded = {it.event.revision for it in entries if it.event.kind == "done"}
    recovered = [
        it.entry for it in states.values() if it.entry and it.revision in set(done) - recorded
    ]
    unfinished = [it for it in states.values() if it.state in ("stuck", "failed")]
    return replace(
        candidate,
        applied=(*candidate.applied, *applied(entries, done)),
        recovered=(*candidate.recovered, *recovered),
        unfinished=unfinished[-1] if unfinished else candidate.unfinished,
    )


def version_table(dsn: Dsn, configured: EnvConfiguration) -> tuple[str, ...]:
    """Return the heads that a database's version table names."""
    with connect(dsn) as connection:
        return versions.heads(connection, configured.version_table, configured.version_table_schema)


def applied(entries: list[Entry], done: list[str]) -> list[AppliedRevision]:
    """Return the facts of each applied revision, in the order they were applied."""
    latest = {it.event.revision: it for it in entries if it.event.kind != "failed"}
    return [AppliedRevision.from_entry(latest[revision]) for revision in dict.fromkeys(done)]


def _label(revision: str, entries: list[Entry]) -> str:
    sources = next(it.event.sources for it in entries if it.event.revision == revision)
    return Path(next(iter(sources))).stem if sources else revision
