"""Find, resume or build the template of a run.

The builder decides; what a kept build is good for is told by `candidates`, and a build itself
is an `Attempt`.
"""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import Iterable

from pytest_dbmigrate.databases import builds, cluster, connection, guests
from pytest_dbmigrate.databases.builds import Build
from pytest_dbmigrate.errors import BrokenServerError, StaleStateError
from pytest_dbmigrate.migrations import events
from pytest_dbmigrate.migrations.events import Event, EventLog
from pytest_dbmigrate.migrations.fingerprint import Files
from pytest_dbmigrate.template import candidates, data, drift
from pytest_dbmigrate.template.attempt import Attempt
from pytest_dbmigrate.template.candidates import Candidate
from pytest_dbmigrate.template.context import BuildContext
from pytest_dbmigrate.template.extension import Extension
from pytest_dbmigrate.template.facts import Template


class Builder:
    """The work of one process of a run while the others wait for it."""

    def __init__(self, context: BuildContext, reason: str, extension: Extension) -> None:
        """`reason` is why nothing is kept, if something was: the server was replaced."""
        self._context = context
        self._run = context.run
        self._control = context.control
        self._reason = reason
        self._extension = extension

    def make(self) -> str:
        """Return the id of the build whose template the run uses.

        Raises `DbmigrateError` if the migrations or the schema check fail.
        """
        if self._context.is_kept:
            guests.sweep_dead(self._control, [self._run.id, *self._context.other_runs()])
            template = self._find_or_build()
        else:
            template = self._attempt(self._run.id, None)
        change = self._extension.change_differences
        drift.judge(self._context.settings, self._run, template.facts, change)
        return data.fill(self._control, self._run, template.build, self._extension)

    def _attempt(self, build: str, base: Candidate | None) -> Template:
        return Attempt(self._context, build, base, self._reason).run()

    def _find_or_build(self) -> Template:
        """Return the kept template if it is current, else that of a new build."""
        known = builds.every(self._control)
        if not known:
            cluster.remember(self._control)
        if self._context.settings.fresh:
            self._forget(known)
            return self._attempt(secrets.token_hex(4), None)
        files = Files()
        migrated = data.without_data(known)
        found = candidates.current(migrated, self._context, files)
        if found is not None:
            return found.unchanged()
        base = self._choose_base(migrated, files)
        self._forget(it for it in known if it.sealed is None and not _is(it, base))
        self._make_room(base)
        template = self._resume(base)
        self._forget(builds.spare(self._control))
        return template

    def _choose_base(self, known: list[Build], files: Files) -> Candidate | None:
        """Return the build to resume; if there is none, remember why."""
        with contextlib.closing(connection.connect(self._control.dsn)) as history:
            base, reason = candidates.best(known, self._context, history, files)
            self._reason = self._reason or reason
            if base:
                self._record_ends(base, history)
        return base

    def _resume(self, base: Candidate | None) -> Template:
        """Return the template of a build that resumes `base`, or starts from nothing."""
        if base is not None:
            is_template = base.build.sealed is not None  # which is copied, and stays as it is
            try:
                return self._attempt(secrets.token_hex(4) if is_template else base.build.id, base)
            except StaleStateError as error:
                self._reason = error.what
                self._forget(it for it in builds.every(self._control) if it.sealed is None)
                self._make_room(None)
        return self._attempt(secrets.token_hex(4), None)

    def _record_ends(self, base: Candidate, history: events.Connection) -> None:
        """Record the end of revisions that were committed just before their owner died."""
        for entry in base.recovered:
            log = EventLog(history, self._run.id, base.build.id, entry.environment)
            begun = entry.event
            log.append(Event(begun.revision, "done", begun.checksum, sources=begun.sources))

    def _forget(self, unwanted: Iterable[Build]) -> None:
        """Drop all databases of these builds, except builds that another run uses."""
        with contextlib.closing(connection.connect(self._control.dsn)) as history:
            for build in unwanted:
                if not builds.is_in_use(self._control, build.id):
                    builds.forget(self._control, build.id)
                    events.forget(history, build.id)
        builds.drop_orphans(self._control)

    def _make_room(self, base: Candidate | None) -> None:
        """Drop the roles that earlier builds have made on a server of our own.

        A template whose build has made some of them is dropped, too: without them it would be
        incomplete. If something else is left that a build from nothing would not meet on a new
        server, the server is to be replaced: raises `BrokenServerError`.
        """
        if not self._context.is_own_server:
            return
        start = base.build.id if base else None
        roles = cluster.roles_in_the_way(self._control, start)
        makers = cluster.makers(self._control, roles)
        self._forget(it for it in builds.every(self._control) if it.id in makers)
        if not makers & {it.id for it in builds.every(self._control)}:  # else a run uses one
            cluster.drop_roles(self._control, roles)
        left = cluster.in_the_way(self._control, start)
        if left and base is None:
            raise BrokenServerError(
                "what an earlier build has made for the whole server is in the way",
                tried=tuple(sorted(map(str, left))),
                todo=("start from nothing with --db-fresh",),
                reason=self._reason,
            )


def _is(build: Build, base: Candidate | None) -> bool:
    return base is not None and base.build.id == build.id
