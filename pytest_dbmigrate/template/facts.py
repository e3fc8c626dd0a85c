"""Facts of a template: typed values, and JSON only in the control database.

Some are what a later run has to know to use or resume it, the others are what the user is told.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Literal

from pytest_dbmigrate.migrations.events import Entry
from pytest_dbmigrate.migrations.fingerprint import Digest, Manifest
from pytest_dbmigrate.schema.difference import Difference

Record = dict[str, Any]  # a value as JSON data
How = Literal["fresh", "rebuilt", "resumed", "unchanged"]


@dataclass(frozen=True)
class AppliedRevision:
    """A revision that is applied in a build: by which run, and when.

    `file` is its script, and `sources` are the digests of all files that it is made of.
    """

    revision: str
    environment: str
    file: str
    sources: dict[str, Digest]
    at: datetime
    seconds: float | None
    run: str

    @classmethod
    def from_entry(cls, entry: Entry) -> AppliedRevision:
        """Return what an event of the history tells of its revision."""
        event = entry.event
        file = next(iter(event.sources))
        return cls(
            event.revision, entry.environment, file, event.sources, entry.at, event.seconds,
            entry.run,
        )  # fmt: skip

    @classmethod
    def from_record(cls, record: Record) -> AppliedRevision:
        """Return the revision that `as_record` wrote."""
        return cls(**{**record, "at": datetime.fromisoformat(record["at"])})

    def as_record(self) -> Record:
        """Return the revision as JSON data."""
        return {**vars(self), "at": self.at.isoformat()}


def applied_from(records: Iterable[Record]) -> tuple[AppliedRevision, ...]:
    """Return the revisions in the JSON data of a build."""
    return tuple(AppliedRevision.from_record(it) for it in records)


@dataclass(frozen=True)
class ComparisonFacts:
    """Differences that the environments' comparisons with their models have found, each once.

    `unchecked` says why nothing was compared, `partly` why some environments were not.
    """

    differences: tuple[Difference, ...]
    unchecked: str = ""
    partly: str = ""

    @classmethod
    def from_record(cls, record: Record) -> ComparisonFacts:
        """Return the facts that `as_record` wrote."""
        found = tuple(Difference.from_record(it) for it in record["differences"])
        return cls(found, record["unchecked"], record["partly"])

    def as_record(self) -> Record:
        """Return the facts as JSON data."""
        return {**vars(self), "differences": [it.as_record() for it in self.differences]}


@dataclass(frozen=True)
class TemplateFacts:
    """How a run got its template, for the user.

    `revisions` counts all that are in effect, `applied` those of the build that made it, which
    took `seconds`. `reason` is why nothing could be resumed, and `unfinished` what had happened
    to the revision with which a resumed build begins.
    """

    how: How
    revisions: int
    applied: int
    seconds: float
    comparison: ComparisonFacts
    reason: str = ""
    unfinished: str = ""

    @classmethod
    def from_record(cls, record: Record) -> TemplateFacts:
        """Return the facts that `as_record` wrote."""
        return cls(**{**record, "comparison": ComparisonFacts.from_record(record["comparison"])})

    def as_record(self) -> Record:
        """Return the facts as JSON data."""
        return {**vars(self), "comparison": self.comparison.as_record()}


@dataclass(frozen=True)
class SealedFacts:
    """What the control database has of a sealed template.

    `is_checked` tells whether the schema was compared with the models. `applied` and `manifest`
    are there only if the template is kept for later runs.
    """

    template: TemplateFacts
    is_checked: bool
    applied: tuple[AppliedRevision, ...] = ()
    manifest: Manifest | None = None

    @classmethod
    def from_record(cls, record: Record) -> SealedFacts:
        """Return the facts that `as_record` wrote."""
        manifest = record["manifest"]
        return cls(
            TemplateFacts.from_record(record["template"]),
            record["is_checked"],
            applied_from(record["applied"]),
            Manifest(**manifest) if manifest else None,
        )

    def as_record(self) -> Record:
        """Return the facts as JSON data."""
        return {
            "template": self.template.as_record(),
            "is_checked": self.is_checked,
            "applied": [it.as_record() for it in self.applied],
            "manifest": vars(self.manifest) if self.manifest else None,
        }


@dataclass(frozen=True)
class Template:
    """A sealed template: the id of its build, and its facts."""

    build: str
    facts: TemplateFacts

    def unchanged(self) -> Template:
        """Return the template as a later run finds it."""
        return replace(self, facts=replace(self.facts, how="unchanged"))
