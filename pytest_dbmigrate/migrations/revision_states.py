"""Revision states, folded from the events and from what the server says now.

The model is Zitadel's migration system: an event is appended when a migration starts, and
another when it is done or has failed. There a migration that was started and whose process
died had to be cleaned up by hand; here its owner's lock tells that it is dead.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from pytest_dbmigrate.migrations.events import Entry

State = Literal["pending", "started", "done", "failed", "stuck"]


@dataclass(frozen=True)
class RevisionState:
    """A revision's state, and the event that tells of it; a pending one has none."""

    revision: str
    state: State
    entry: Entry | None = None


def fold(
    entries: Iterable[Entry], *, applied: Collection[str] | None, owner_lives: bool
) -> dict[str, RevisionState]:
    """Return the state of each revision that has events, by revision.

    The events' numbers give their order; no clock does. `applied` is what is in effect by the
    database's own version table, which no event contradicts; None if it cannot be asked, and
    then the events are believed. `owner_lives` tells whether whoever works on it is alive.
    """
    latest: dict[str, Entry] = {}
    done: dict[str, Entry] = {}
    for entry in _in_order(entries):
        latest[entry.event.revision] = entry
        if entry.event.kind == "done":
            done[entry.event.revision] = entry
    believed = done if applied is None else applied
    return {
        revision: RevisionState(revision, "done", done.get(revision, entry))
        if revision in believed
        else RevisionState(revision, _unfinished_state(entry, owner_lives=owner_lives), entry)
        for revision, entry in latest.items()
    }


def _unfinished_state(entry: Entry, *, owner_lives: bool) -> State:
    if entry.event.kind == "failed":
        return "failed"
    if entry.event.kind == "done":
        return "pending"  # done, and rolled back with a transaction around it
    return "started" if owner_lives else "stuck"


def applied(entries: Sequence[Entry], heads: Collection[str]) -> list[str]:
    """Return the revisions of a build that are in effect, in the order they came to be.

    `heads` is what the version table says. The last of them in the order of events was
    committed last, so what was done before it is in effect; what came after it is not.
    """
    order = list(dict.fromkeys(entry.event.revision for entry in reversed(_in_order(entries))))[
        ::-1
    ]
    done = {entry.event.revision for entry in entries if entry.event.kind == "done"}
    last = max((at for at, revision in enumerate(order) if revision in heads), default=-1)
    return [it for at, it in enumerate(order) if at <= last and (it in done or it in heads)]


def beyond_rollback(entries: Iterable[Entry], in_effect: Collection[str]) -> str:
    """Return the revision that left something behind and is not done, or nothing.

    It committed on its own (an `autocommit_block`, say) before it was cut short or failed.
    """
    for entry in _in_order(entries):
        if not entry.event.is_transactional and entry.event.revision not in in_effect:
            return entry.event.revision
    return ""


def _in_order(entries: Iterable[Entry]) -> list[Entry]:
    return sorted(entries, key=lambda entry: entry.id)
