"""How a run comes to its template: found as it was, gone on with, or built from nothing."""

from __future__ import annotations

import contextlib
import secrets
import time
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_dbmigrate.addresses.dsn import Dsn
from pytest_dbmigrate.databases import builds, cluster, connection, guests, names
from pytest_dbmigrate.databases.builds import Build
from pytest_dbmigrate.databases.control import Control
from pytest_dbmigrate.errors import (
    BrokenServerError,
    DatabaseError,
    DbmigrateError,
    RevisionError,
    StaleStateError,
)
from pytest_dbmigrate.migrations import events, revision_states
from pytest_dbmigrate.migrations.events import Event, EventLog
from pytest_dbmigrate.migrations.fingerprint import Files
from pytest_dbmigrate.migrations.steps import BEFORE
from pytest_dbmigrate.runs.notes import ClusterChanged
from pytest_dbmigrate.runs.run import Run
from pytest_dbmigrate.servers.kept.record import Kept
from pytest_dbmigrate.servers.server import Server
from pytest_dbmigrate.settings.values import Settings
from pytest_dbmigrate.template import candidates, drift, inputs, migration
from pytest_dbmigrate.template.candidates import Candidate
from pytest_dbmigrate.template.migration import Children

if TYPE_CHECKING:
    from pytest_dbmigrate.migrations.env_configuration import EnvConfiguration
    from pytest_dbmigrate.migrations.environments import Environment
    from pytest_dbmigrate.migrations.messages import Result
    from pytest_dbmigrate.migrations.process import ChildProcess


class Builder:
    """What one process of a run does while the others wait for it."""

    def __init__(
        self,
        settings: Settings,
        run: Run,
        server: Server,
        control: Control,
        sources: tuple[Environment, ...],
        child: Callable[[Environment], ChildProcess],
        replaced: str,
    ) -> None:
        """`child` starts the migration child; `replaced` is why the kept server is a new one."""
        self._settings = settings
        self._run = run
        self._server = server
        self._control = control
        self._children = Children(settings, run, control.dsn, sources, child)
        self._sources = sources
        self._reason = replaced

    def make(self) -> str:
        """Return the id of the build whose template the run uses.

        Raises `DbmigrateError` if the migrations or the schema check fail.
        """
        if self._control.home == self._run.id:
            build, facts = self._upgrade(self._run.id, None)
        else:
            living = Kept.of(self._settings.root).users(besides=self._run.id)
            guests.sweep_dead(self._control, [self._run.id, *living])
            build, facts = self._resumed()
        drift.judge(self._settings, self._run, facts)
        return build

    @cached_property
    def _shape(self) -> dict[str, str]:
        return inputs.shape(self._settings, self._server.release, self._sources)

    def _resumed(self) -> tuple[str, dict[str, Any]]:
        known = builds.every(self._control)
        if not known:
            cluster.remember(self._control)
        files = Files()
        check = self._settings.check != "off"
        if self._settings.fresh:
            self._clear(known)
            return self._upgrade(secrets.token_hex(4), None)
        found = candidates.current(known, self._control, files, self._shape, check=check)
        if found is not None:
            assert found.sealed is not None
            return found.id, {**found.sealed["facts"], "how": "unchanged"}
        with contextlib.closing(connection.connect(self._control.dsn)) as history:
            base, reason = candidates.best(known, self._control, history, files, self._shape)
            self._reason = self._reason or reason
            if base:
                self._recover(base, history)
        self._clear([it for it in known if it.sealed is None and not _is(it, base)])
        self._make_room(base)
        made = self._go_on(base)
        self._clear(builds.spare(self._control))
        return made

    def _go_on(self, base: Candidate | None) -> tuple[str, dict[str, Any]]:
        if base is not None:
            try:
                if base.build.sealed is None:
                    return self._upgrade(base.build.id, base)
                return self._upgrade(secrets.token_hex(4), base)
            except StaleStateError as error:
                self._reason = error.what
                self._clear([it for it in builds.every(self._control) if it.sealed is None])
                self._make_room(None)
        return self._upgrade(secrets.token_hex(4), None)

    def _recover(self, base: Candidate, history: events.Connection) -> None:
        """Write down the end of what was committed while its owner died."""
        for entry in base.recovered:
            log = EventLog(history, self._run.id, base.build.id, entry.environment)
            was = entry.event
            log.append(Event(was.revision, "done", was.checksum, sources=was.sources))

    def _clear(self, unwanted: list[Build]) -> None:
        with contextlib.closing(connection.connect(self._control.dsn)) as history:
            for build in unwanted:
                if not builds.is_in_use(self._control, build.id):
                    builds.forget(self._control, build.id)
                    events.forget(history, build.id)
        builds.drop_orphans(self._control)

    def _make_room(self, base: Candidate | None) -> None:
        """Take away what earlier builds have made for all databases of a server of our own.

        A template whose build has made some of it goes, too: it would be another one without.
        If something stays, what starts from nothing would not: the server is to be replaced.
        """
        if self._server.kind == "url":
            return
        start = base.build.id if base else None
        roles = cluster.roles_in_the_way(self._control, start)
        makers = cluster.makers(self._control, roles)
        self._clear([it for it in builds.every(self._control) if it.id in makers])
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

    def _upgrade(self, build: str, base: Candidate | None) -> tuple[str, dict[str, Any]]:
        dsn = self._database(build, base)
        applied = base.applied if base else []
        began = time.monotonic()
        was_alone, found = self._is_alone(), cluster.look(self._control)
        try:
            results = self._children.migrate(build, dsn, base)
        except DbmigrateError as error:
            with contextlib.suppress(DatabaseError):
                self._notice(build, found, was_alone)
            if self._control.home == self._run.id:
                builds.forget(self._control, build)
                raise
            with contextlib.suppress(DatabaseError):  # it is gone on from in the next run
                self._control.disconnect(names.scratch(build))
            if isinstance(error, RevisionError) and _NO_ROOM in error.message:
                raise BrokenServerError(error.message, tried=(error.message,)) from error
            raise
        facts = {
            **migration.compared(results),
            "revisions": len(applied) + self._children.applied,
            "applied": self._children.applied,
            "seconds": time.monotonic() - began,
            "reason": self._reason,
            "how": "resumed" if base else ("rebuilt" if self._reason else "fresh"),
            "unfinished": _told(base, self._children.applied),
            "cluster": self._notice(build, found, was_alone),
        }
        sealed = {"facts": facts, "is_checked": self._settings.check != "off"}
        if self._settings.resume:
            continued = base is not None and base.build.id == build
            before = base.build.base if base and continued else applied
            sealed |= self._known(build, before, base.configured if base else {}, results)
        builds.seal(self._control, build, sealed)
        return build, facts

    def _notice(self, build: str, found: set[cluster.Thing], was_alone: bool) -> list[str]:
        """Tell what is new to all databases of the server since the migrations began."""
        new = cluster.look(self._control) - found
        is_sure = was_alone and self._is_alone()
        if is_sure:
            cluster.record(self._control, build, new)
        told = sorted(str(it) for it in new)
        if told:
            stays = self._server.kind == "url"
            self._run.journal.write(ClusterChanged(tuple(told), is_sure, stays))
        return told

    def _is_alone(self) -> bool:
        """Whether nobody else can be at work on the server."""
        if self._server.kind == "url":
            return False
        is_guest = self._control.home != self._run.id
        return not (is_guest and Kept.of(self._settings.root).users(besides=self._run.id))

    def _known(
        self,
        build: str,
        before: list[dict[str, Any]],
        configured: dict[str, EnvConfiguration],
        results: dict[str, Result],
    ) -> dict[str, Any]:
        """Return what a later run asks of the template: what is applied, and of which files."""
        with contextlib.closing(connection.connect(self._control.dsn)) as history:
            entries = events.read(history, build)
        applied = [*before]
        # what only an earlier child has read counts, too
        files = {path: it for one in before for path, it in one["sources"].items()}
        for facts in configured.values():
            files |= facts.common
        folders: dict[str, str] = {}
        for environment, result in results.items():
            own = [it for it in entries if it.environment == environment]
            applied += candidates.records(own, revision_states.applied(own, result.heads))
            assert result.manifest is not None  # the build is kept
            files |= result.manifest.files
            folders |= result.manifest.folders
        return {"applied": applied, "manifest": {"files": files, "folders": folders}}

    def _database(self, build: str, base: Candidate | None) -> Dsn:
        if base is not None and base.build.id == build:
            return builds.go_on(self._control, build, self._run.id)
        template = base.build.id if base else None
        applied = base.applied if base else []
        dsn = builds.begin(self._control, build, self._run.id, applied, self._shape, template)
        if template:
            with contextlib.closing(connection.connect(self._control.dsn)) as history:
                events.inherit(history, build, template, BEFORE)
        return dsn


def _is(build: Build, base: Candidate | None) -> bool:
    return base is not None and base.build.id == build.id


def _told(base: Candidate | None, applied: int) -> str:
    """Return why the migrations were run again, where it is not simply what is new."""
    if base is None:
        return ""
    if base.unfinished is None:
        return "compared anew" if applied == 0 else ""
    entry = base.unfinished.entry
    is_there = entry is not None and Path(next(iter(entry.event.sources), "")).exists()
    then = "and is retried" if is_there else "and its script is gone"
    return f"{base.unfinished.revision} {_WORDS[base.unfinished.state]}, {then}"


_NO_ROOM = "No space left on device"
_WORDS = {"stuck": "was stuck", "failed": "had failed"}
