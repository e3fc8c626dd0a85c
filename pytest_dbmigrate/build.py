"""How a run comes to its template: found as it was, gone on with, or built from nothing."""

from __future__ import annotations

import contextlib
import secrets
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_dbmigrate import __version__, candidates, handover, verdict
from pytest_dbmigrate.candidates import Candidate
from pytest_dbmigrate.databases import builds, cluster, connection, names, runs
from pytest_dbmigrate.databases.builds import Build
from pytest_dbmigrate.databases.control import Control
from pytest_dbmigrate.dsn import Dsn
from pytest_dbmigrate.errors import (
    BrokenServerError,
    DatabaseError,
    DbmigrateError,
    MigrationError,
    RevisionError,
    StaleStateError,
)
from pytest_dbmigrate.lines import BEFORE
from pytest_dbmigrate.migrations import events, source, state
from pytest_dbmigrate.migrations.events import Event, EventLog
from pytest_dbmigrate.migrations.fingerprint import Files
from pytest_dbmigrate.servers.base import Server
from pytest_dbmigrate.servers.kept import Kept
from pytest_dbmigrate.servers.run import Run
from pytest_dbmigrate.settings import Settings

if TYPE_CHECKING:
    from pytest_dbmigrate.migrations.messages import Job, Message
    from pytest_dbmigrate.migrations.migrator import Child
    from pytest_dbmigrate.migrations.source import Source


class Builder:
    """What one process of a run does while the others wait for it."""

    def __init__(
        self,
        settings: Settings,
        run: Run,
        server: Server,
        control: Control,
        sources: tuple[Source, ...],
        child: Callable[[Source], Child],
        replaced: str,
    ) -> None:
        """`child` starts the migration child; `replaced` is why the kept server is a new one."""
        self._settings = settings
        self._run = run
        self._server = server
        self._control = control
        self._sources = sources
        self._child = child
        self._reason = replaced

    def make(self) -> tuple[str, dict[str, Any]]:
        """Return the build whose template the run uses, and its facts.

        Raises `DbmigrateError`: what the migrations or the check say against it.
        """
        if self._control.home == self._run.id:
            build, facts = self._upgrade(self._run.id, None)
        else:
            living = Kept.of(self._settings.root).users(besides=self._run.id)
            runs.sweep_dead(self._control, [self._run.id, *living])
            build, facts = self._resumed()
        verdict.judge(self._settings, self._run, facts)
        return build, facts

    def _resumed(self) -> tuple[str, dict[str, Any]]:
        known = builds.every(self._control)
        if not known:
            cluster.remember(self._control)
        files, shape = Files(), self._shape()
        check = self._settings.check != "off"
        if self._settings.fresh:
            self._clear(known)
            return self._upgrade(secrets.token_hex(4), None)
        found = candidates.current(known, self._control, files, shape, check=check)
        if found is not None:
            assert found.sealed is not None
            return found.id, {**found.sealed["facts"], "how": "unchanged"}
        with contextlib.closing(connection.connect(self._control.dsn)) as history:
            base, reason = candidates.best(known, self._control, history, files, shape)
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
            results = self._migrate(build, dsn, base)
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
            **_compared(results),
            "revisions": len(applied) + self._run_count,
            "applied": self._run_count,
            "seconds": time.monotonic() - began,
            "reason": self._reason,
            "how": "resumed" if base else ("rebuilt" if self._reason else "fresh"),
            "unfinished": _told(base, self._run_count),
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
            self._run.note("cluster", things=told, is_sure=is_sure, stays=stays)
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
        configured: dict[str, dict[str, Any]],
        results: dict[str, Message],
    ) -> dict[str, Any]:
        """Return what a later run asks of the template: what is applied, and of which files."""
        with contextlib.closing(connection.connect(self._control.dsn)) as history:
            entries = events.read(history, build)
        applied = [*before]
        # what only an earlier child has read counts, too
        files = {path: it for one in before for path, it in one["sources"].items()}
        for facts in configured.values():
            files |= facts["common"]
        folders: dict[str, str] = {}
        for environment, result in results.items():
            own = [it for it in entries if it.environment == environment]
            applied += candidates.records(own, state.applied(own, result["heads"]))
            files |= result["manifest"]["files"]
            folders |= result["manifest"]["folders"]
        return {"applied": applied, "manifest": {"files": files, "folders": folders}}

    def _database(self, build: str, base: Candidate | None) -> Dsn:
        if base is not None and base.build.id == build:
            return builds.go_on(self._control, build, self._run.id)
        template = base.build.id if base else None
        applied = base.applied if base else []
        dsn = builds.begin(self._control, build, self._run.id, applied, self._shape(), template)
        if template:
            with contextlib.closing(connection.connect(self._control.dsn)) as history:
                events.inherit(history, build, template, BEFORE)
        return dsn

    def _migrate(self, build: str, dsn: Dsn, base: Candidate | None) -> dict[str, Message]:
        """Return what each environment's child says, in order; compared when all are applied."""
        self._run.note("migrating", source=", ".join(str(it) for it in self._sources))
        self._run_count = 0
        names = source.names(self._sources)
        results: dict[str, Message] = {}
        place = self._run.folder / handover.FOLDER / dsn.dbname
        with contextlib.ExitStack() as running:
            lent = running.enter_context(handover.lent(self._settings.env_file, dsn, place))
            started = {
                name: running.enter_context(contextlib.closing(self._child(one)))
                for name, one in zip(names, self._sources, strict=True)
            }
            for name, one in zip(names, self._sources, strict=True):
                job = self._job(build, dsn, base, name, one, results, lent)
                with _naming(name):
                    follow = partial(self._follow, name)
                    results[name] = started[name].migrate(job, follow, _import_sqlalchemy)
                if results[name]["output"]:
                    self._run.note("printed", output=results[name]["output"])
            for name in names[:-1]:
                others = [results[it]["tables"] for it in names if it != name]
                with _naming(name):
                    results[name] |= _of_comparison(started[name].compare(others, _ignore))
        return results

    def _job(
        self,
        build: str,
        dsn: Dsn,
        base: Candidate | None,
        name: str,
        one: Source,
        before: dict[str, Message],
        lent: dict[str, str],
    ) -> Job:
        number, settings = len(before), self._settings
        is_last = number == len(self._sources) - 1
        others = [it["tables"] for it in before.values()] if len(self._sources) > 1 else None
        return {
            "environ": settings.environ_for(dsn) | lent,
            "dsn": dsn.as_record(),
            "events": self._control.dsn.as_record(),
            "run": self._run.id,
            "build": build,
            "environment": name,
            "root": str(settings.root),
            "is_kept": settings.resume,
            "configured": base.configured.get(name) if base else None,
            "source": one.as_record(),
            "target": settings.target[number % len(settings.target)],
            "x": settings.x,
            "attributes": [(it.name, it.value) for it in settings.attributes],
            "driver": settings.driver,
            "before": settings.before if base is None and number == 0 else (),
            "helpers": settings.before,
            "within": settings.within,
            "others": others,
            "check": settings.check != "off",
            "is_checked_later": not is_last,
            "handed": [*lent.values(), *(it.target for it in settings.env_file if it.target)],
        }

    def _follow(self, environment: str, message: Message) -> None:
        self._run_count += message["type"] == "done"
        facts = {key: value for key, value in message.items() if key != "type"}
        self._run.note(message["type"], **facts, environment=environment)

    def _shape(self) -> dict[str, str]:
        """Return what shapes a schema besides the project's files."""
        env, settings = self._settings.env, self._settings
        return {
            "pytest-dbmigrate": __version__,
            "the server": self._server.release,
            "Python": ".".join(str(part) for part in sys.version_info[:2]),
            **{name: _version(name) for name in ("alembic", "sqlalchemy")},
            "dbmigrate_target": _listed(" ".join(it) for it in settings.target),
            "dbmigrate_env": _listed(f"{it.name}={it.template}" for it in env),
            "dbmigrate_env_file": _listed(map(str, settings.env_file)),
            "dbmigrate_alembic": _listed(str(it) for it in self._sources),
            "dbmigrate_x": _listed(settings.x),
            "dbmigrate_attributes": _listed(f"{it.name}={it.value}" for it in settings.attributes),
            "dbmigrate_driver": settings.driver or "not set",
            "dbmigrate_before": _listed(settings.before),
            "dbmigrate_within": settings.within or "not set",
        }


def _listed(lines: Iterable[str]) -> str:
    return ", ".join(lines) or "not set"


@contextlib.contextmanager
def _naming(environment: str) -> Iterator[None]:
    """Let an error say which of several environments it is about."""
    try:
        yield
    except MigrationError as error:
        if not environment:
            raise
        raise replace(error, tried=(f"environment {environment}", *error.tried)) from error


def _ignore(_message: Message) -> None:
    """Tell nothing: a comparison applies no revision."""


def _of_comparison(message: Message) -> Message:
    return {"differences": message["differences"], "unchecked": message["unchecked"]}


def _compared(results: dict[str, Message]) -> dict[str, Any]:
    """Return what the comparisons of all environments come to: each difference once."""
    found = [it for result in results.values() for it in result["differences"]]
    unchecked = {name: it["unchecked"] for name, it in results.items() if it["unchecked"]}
    reasons = [f"{name}: {it}" if name else it for name, it in unchecked.items()]
    is_none = len(unchecked) == len(results)  # else the others' comparison counts
    is_same = is_none and len(set(unchecked.values())) == 1
    why = next(iter(unchecked.values())) if is_same else "; ".join(reasons)
    return {
        "heads": [head for result in results.values() for head in result["heads"]],
        "differences": [it for number, it in enumerate(found) if it not in found[:number]],
        "unchecked": why if is_none else "",
        "partly": "" if is_none else why,
    }


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


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "unknown"


def _import_sqlalchemy() -> None:
    """Spend the time that the child works on what this process needs next."""
    import sqlalchemy.engine  # noqa: F401
