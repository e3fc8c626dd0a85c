"""Notes: what a run's processes write into its journal, a class for each kind of note.

They are values between the rooms that write them and the narrator that tells them, and JSON only
in the journal's file. A new kind of note is a new subclass here and a case in
`plugin/narrator.py`; nothing else lists them.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, fields
from typing import Any

from pytest_dbmigrate.errors import DbmigrateError, as_record, from_record

KINDS: dict[str, type[Note]] = {}  # each subclass adds itself


@dataclass(frozen=True)
class Note:
    """One line of the journal; its fields are strings, numbers, or tuples of strings."""

    def __init_subclass__(cls) -> None:
        KINDS[cls.__name__] = cls

    def facts(self) -> dict[str, Any]:
        """Return the fields as JSON data."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    @classmethod
    def from_facts(cls, facts: dict[str, Any]) -> Note:
        """Return the note of which these are the `facts`."""
        tuples = {name: tuple(it) for name, it in facts.items() if isinstance(it, list)}
        return cls(**(facts | tuples))


@dataclass(frozen=True)
class ChoosingServer(Note):
    """The kind of server is being chosen: asking Docker, or pulling an image, takes a while."""


@dataclass(frozen=True)
class StartingServer(Note):
    """A server of this kind is being started: `kept` if it may be one that runs already."""

    kind_of_server: str


@dataclass(frozen=True)
class ServerReady(Note):
    """The server answers; `reason` says why it is this one, where that is not obvious."""

    server: str
    reason: str
    seconds: float


@dataclass(frozen=True)
class WaitingForBuilder(Note):
    """Another process applies migrations to what this one needs."""

    holder: str


@dataclass(frozen=True)
class MigrationsBegun(Note):
    """The migrations are about to be read; counting starts over."""


@dataclass(frozen=True)
class UpgradePlanned(Note):
    """The number of revisions to apply in an environment; a single one has an empty name."""

    environment: str
    total: int


@dataclass(frozen=True)
class StepPrepared(Note):
    """One step of `dbmigrate_before` is done."""

    step: str
    seconds: float


@dataclass(frozen=True)
class RevisionStarted(Note):
    """A revision is being applied."""

    revision: str


@dataclass(frozen=True)
class RevisionDone(Note):
    """A revision has been applied."""

    revision: str
    seconds: float


@dataclass(frozen=True)
class MigrationsPrinted(Note):
    """What env.py and the revisions of one environment wrote to their output."""

    output: str


@dataclass(frozen=True)
class ClusterChanged(Note):
    """Roles and other things for the whole server are new since the migrations began.

    `is_sure` if nobody but the migrations can have made them; `stays` if the run's end
    leaves them there.
    """

    things: tuple[str, ...]
    is_sure: bool
    stays: bool


@dataclass(frozen=True)
class TemplateReady(Note):
    """The template is migrated and compared with the models.

    `how` is `fresh`, `rebuilt`, `resumed` or `unchanged`, and `reason` why it was rebuilt;
    `unfinished` names the revision that an earlier run has not completed. `differences` are
    those that nothing accepts, `accepted` counts the others; `unchecked` says why nothing was
    compared, `partly` why some of it was not.
    """

    how: str
    reason: str
    unfinished: str
    revisions: int
    applied: int
    seconds: float
    differences: tuple[str, ...]
    accepted: int
    has_baseline: bool
    unchecked: str
    partly: str


@dataclass(frozen=True)
class BaselineStale(Note):
    """The baseline at `path` has lines that match no difference."""

    path: str
    lines: tuple[str, ...]


@dataclass(frozen=True)
class BaselineWritten(Note):
    """The run accepts the differences; `summary` says what happened to the file."""

    summary: str


@dataclass(frozen=True)
class DatabaseFailed(Note):
    """There is no database for this process's tests."""

    error: DbmigrateError

    def facts(self) -> dict[str, Any]:
        """Return the error as its record."""
        return {"error": as_record(self.error)}

    @classmethod
    def from_facts(cls, facts: dict[str, Any]) -> DatabaseFailed:
        """Return the note with the error restored."""
        return cls(from_record(facts["error"]))


@dataclass(frozen=True)
class ConnectionsLeaked(Note):
    """A test has left connections to its database open."""

    test: str
    connections: tuple[str, ...]


@dataclass(frozen=True)
class DatabaseKept(Note):
    """A test's database is kept when the run ends; `command` opens it."""

    command: str


def to_line(note: Note) -> str:
    """Return the note as one line of JSON, without a line break."""
    return json.dumps({"kind": type(note).__name__, **note.facts()})


def from_line(line: str | bytes) -> Note:
    """Return the note that `to_line` wrote. Raises `KeyError` for a kind that is not known."""
    facts = json.loads(line)
    return KINDS[facts.pop("kind")].from_facts(facts)
