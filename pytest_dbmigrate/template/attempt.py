"""Attempt: one build, from its base or from nothing to a sealed template."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Mapping
from pathlib import Path

from pytest_dbmigrate.addresses.dsn import Dsn
from pytest_dbmigrate.databases import builds, connection, names
from pytest_dbmigrate.errors import (
    BrokenServerError,
    DatabaseError,
    DbmigrateError,
    RevisionError,
)
from pytest_dbmigrate.migrations import events, revision_states
from pytest_dbmigrate.migrations.fingerprint import Manifest
from pytest_dbmigrate.migrations.messages import Result
from pytest_dbmigrate.migrations.steps import BEFORE
from pytest_dbmigrate.template import candidates
from pytest_dbmigrate.template.candidates import Candidate
from pytest_dbmigrate.template.cluster_watch import ClusterWatch
from pytest_dbmigrate.template.context import BuildContext
from pytest_dbmigrate.template.facts import (
    AppliedRevision,
    SealedFacts,
    Template,
    TemplateFacts,
    applied_from,
)
from pytest_dbmigrate.template.migration import Migration, compared

_NO_ROOM = "No space left on device"
_UNFINISHED = {"stuck": "was stuck", "failed": "had failed"}


class Attempt:
    """A build of this run; `base` is what it resumes, or None if it starts from nothing.

    `reason` is why nothing could be resumed, if something was kept.
    """

    def __init__(
        self, context: BuildContext, build: str, base: Candidate | None, reason: str
    ) -> None:
        self._context = context
        self._control = context.control
        self._build = build
        self._base = base
        self._reason = reason

    def run(self) -> Template:
        """Return the template. Raises `DbmigrateError` if the migrations fail."""
        context = self._context
        dsn = self._database()
        migration = Migration(context, self._build, dsn, self._base)
        began = time.monotonic()
        watch = ClusterWatch(context)
        try:
            results = migration.run()
        except DbmigrateError as error:
            with contextlib.suppress(DatabaseError):
                watch.record(self._build)
            self._give_up(error)
            raise
        facts = self._facts(results, migration.applied, time.monotonic() - began)
        watch.record(self._build)
        builds.seal(self._control, self._build, self._sealed(facts, results).as_record())
        return Template(self._build, facts)

    @property
    def _is_continued(self) -> bool:
        """Whether the base is this very build, cut short by an earlier run."""
        return self._base is not None and self._base.build.id == self._build

    def _database(self) -> Dsn:
        """Return the database to migrate.

        It has the build's random id in its name, and the migration child refuses any other. So
        `current_database()` is proof, through any driver or pooler, that env.py has connected to
        this server and this database. It gets a template's name only when it is complete.
        """
        control, run, build = self._control, self._context.run.id, self._build
        if self._is_continued:
            return builds.resume(control, build, run)
        base = self._base
        if base is None:
            return builds.begin(control, build, run, [], self._context.shape)
        applied = [it.as_record() for it in base.applied]
        dsn = builds.begin(control, build, run, applied, self._context.shape, base.build.id)
        with contextlib.closing(connection.connect(control.dsn)) as history:
            events.inherit(history, build, base.build.id, BEFORE)
        return dsn

    def _give_up(self, error: DbmigrateError) -> None:
        """Leave the unfinished build to the next run, or drop it if nothing is kept.

        Raises `BrokenServerError` if the server's disk is full.
        """
        if not self._context.is_kept:
            builds.forget(self._control, self._build)
            return
        with contextlib.suppress(DatabaseError):  # the next run disconnects them, too
            self._control.disconnect(names.scratch(self._build))
        if isinstance(error, RevisionError) and _NO_ROOM in error.message:
            raise BrokenServerError(error.message, tried=(error.message,)) from error

    def _facts(self, results: Mapping[str, Result], applied: int, seconds: float) -> TemplateFacts:
        base = self._base
        return TemplateFacts(
            how="resumed" if base else ("rebuilt" if self._reason else "fresh"),
            revisions=len(base.applied if base else ()) + applied,
            applied=applied,
            seconds=seconds,
            comparison=compared(results),
            reason=self._reason,
            unfinished=_unfinished(base, applied) if base else "",
        )

    def _sealed(self, facts: TemplateFacts, results: Mapping[str, Result]) -> SealedFacts:
        """Return the facts of the template, for the control database."""
        is_checked = self._context.settings.check != "off"
        if not self._context.settings.resume:
            return SealedFacts(facts, is_checked)
        before: tuple[AppliedRevision, ...] = ()
        if self._base is not None:
            # of a build that is continued, the history has its own revisions: they come again
            is_continued = self._is_continued
            before = applied_from(self._base.build.base) if is_continued else self._base.applied
        applied = (*before, *self._applied(results))
        return SealedFacts(facts, is_checked, applied, self._manifest(before, results))

    def _applied(self, results: Mapping[str, Result]) -> list[AppliedRevision]:
        """Return the revisions that the history of this build says are in effect."""
        with contextlib.closing(connection.connect(self._control.dsn)) as history:
            entries = events.read(history, self._build)
        found: list[AppliedRevision] = []
        for environment, result in results.items():
            own = [it for it in entries if it.environment == environment]
            found += candidates.applied(own, revision_states.applied(own, result.heads))
        return found

    def _manifest(
        self, before: tuple[AppliedRevision, ...], results: Mapping[str, Result]
    ) -> Manifest:
        """Return the digests of all files that had a part in the schema.

        A file that only an earlier child has read counts, too.
        """
        files = {path: digest for one in before for path, digest in one.sources.items()}
        folders: dict[str, str] = {}
        for configuration in self._base.configured.values() if self._base else ():
            files |= configuration.common
        for result in results.values():
            assert result.manifest is not None  # the build is kept
            files |= result.manifest.files
            folders |= result.manifest.folders
        return Manifest(files, folders)


def _unfinished(base: Candidate, applied: int) -> str:
    """Return why the migrations ran again, where it is not simply that revisions are new."""
    if base.unfinished is None:
        return "compared anew" if applied == 0 else ""
    entry = base.unfinished.entry
    is_there = entry is not None and Path(next(iter(entry.event.sources), "")).exists()
    then = "and is retried" if is_there else "and its script is gone"
    return f"{base.unfinished.revision} {_UNFINISHED[base.unfinished.state]}, {then}"
