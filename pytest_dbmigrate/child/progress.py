"""Progress of an upgrade: what each revision has come to, written to the history as it happens.

Events are written over a connection of their own in autocommit, and not over env.py's: so they
survive the rollback that they describe, and the death of this process.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from alembic.runtime.migration import MigrationStep

from pytest_dbmigrate.child.recorder import FileRecorder
from pytest_dbmigrate.migrations.env_configuration import EnvConfiguration
from pytest_dbmigrate.migrations.events import Event, EventKind, EventLog
from pytest_dbmigrate.migrations.messages import Done, Planned, ProgressMessage, Started

Notify = Callable[[ProgressMessage], None]


@dataclass
class RunningRevision:
    """The revision that is being applied.

    `mark` is the recorder's moment when it began; `is_transactional` is false from the moment
    that it commits something before its end.
    """

    revision: str
    file: str
    doc: str
    checksum: str
    mark: int
    began: float = 0.0
    is_transactional: bool = True

    @property
    def seconds(self) -> float:
        """The seconds that it has been running."""
        return time.monotonic() - self.began


class Progress:
    """Where an upgrade stands. `raised` is what the last revision that began has raised.

    With a recorder, events carry the digests of the files that each revision is made of.
    """

    def __init__(
        self, events: EventLog, notify: Notify, recorder: FileRecorder | None = None
    ) -> None:
        self.current: RunningRevision | None = None
        self.done: list[str] = []
        self.total = 0
        self.raised: BaseException | None = None
        self._events = events
        self._notify = notify
        self._recorder = recorder
        self._unwritten: list[Event] = []

    def keep(self, configuration: EnvConfiguration) -> None:
        """Record how env.py has configured Alembic."""
        self._events.configured(configuration)

    def plan(self, number: int) -> None:
        """Tell how many revisions are to be applied; env.py may run more than one plan."""
        self.total += number
        self._notify(Planned(number))

    def start(self, step: MigrationStep) -> None:
        """Write that a revision begins, and with it that the one before is done."""
        mark = self._recorder.mark() if self._recorder else 0
        file = file_of(step)
        current = RunningRevision(revision_of(step), file, step.doc or "", _checksum(file), mark)
        self.current, self.raised = current, None
        # one round trip for both events: each costs as much as a small revision
        self._write(self._event("started"))
        self._notify(Started(current.revision, current.doc))
        current.began = time.monotonic()

    def note_read_files(self) -> None:
        """Write which files the running revision has read, if any.

        That is before its commit: if this process is killed after it, `done` is never written,
        and the next run could not tell whether one of these files was edited.
        """
        if self._recorder and self.current and self._recorder.mark() > self.current.mark:
            self._write(self._event("started", with_read_files=True))

    def leave_transaction(self) -> None:
        """Write, before it happens, that the running revision commits something on its own."""
        if self.current is not None and self.current.is_transactional:
            self.current.is_transactional = False
            self._write(self._event("started"))

    def finish(self) -> None:
        """Tell that the running revision is committed; its event is written with the next."""
        assert self.current is not None
        seconds, revision = self.current.seconds, self.current.revision
        self.done.append(revision)
        self._notify(Done(revision, seconds))
        self._unwritten = [self._event("done", seconds)]

    def end(self) -> None:
        """Write the last revision's event: nothing is running any more."""
        self._write()
        self.current = None

    def fail(self, error: str) -> None:
        """Write that the running revision has failed."""
        if self.current is not None:
            # Postgres cannot store it as text
            text = error.replace("\0", "\ufffd").encode("utf-8", "replace").decode()
            self._write(self._event("failed", self.current.seconds, text))

    def _write(self, *events: Event) -> None:
        unwritten, self._unwritten = self._unwritten, []
        self._events.append(*unwritten, *events)

    def _event(
        self,
        kind: EventKind,
        seconds: float | None = None,
        error: str | None = None,
        *,
        with_read_files: bool = False,
    ) -> Event:
        assert self.current is not None
        it = self.current
        since = it.mark if with_read_files or kind != "started" else None
        files = self._recorder.of(os.path.realpath(it.file), since) if self._recorder else {}
        return Event(it.revision, kind, it.checksum, seconds, error, it.is_transactional, files)


def revision_of(step: MigrationStep) -> str:
    """Return the id of the revision a step applies."""
    return str(step.to_revisions[0])  # type: ignore[attr-defined]  # both kinds of step have it


def file_of(step: MigrationStep) -> str:
    """Return the path of the revision's file."""
    return str(step.revision.path)  # type: ignore[attr-defined]  # upgrade steps have one


def _checksum(file: str) -> str:
    return hashlib.sha256(Path(file).read_bytes()).hexdigest()
