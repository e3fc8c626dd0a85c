"""Each revision's state, in whatever order its events are read, whatever clocks say."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime, timezone
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_dbmigrate.migrations import revision_states
from pytest_dbmigrate.migrations.events import Entry, Event, EventKind
from pytest_dbmigrate.migrations.revision_states import RevisionState, State

NOON = datetime(2026, 1, 1, 12, tzinfo=timezone.utc)
NAMES = ["0001", "0002", "0003", "0004"]
NO_EVENTS: list[Entry] = []


def history(*told: str, at: datetime = NOON) -> list[Entry]:
    """Return entries from words like `0001 started`; a third word says `beyond` a transaction."""
    entries = []
    for number, words in enumerate(told, 1):
        revision, kind, *more = words.split()
        event = Event(revision, as_kind(kind), "c0ffee", is_transactional=not more)
        entries.append(Entry(number, event, at, "0a1b2c3d", "host", 1))
    return entries


def as_kind(word: str) -> EventKind:
    """Return the kind of event that a word names."""
    (found,) = (kind for kind in get_args(EventKind) if kind == word)
    return found  # type: ignore[no-any-return]


def states(
    entries: Iterable[Entry], applied: Iterable[str] | None = None, *, owner_lives: bool = False
) -> dict[str, str]:
    """Return the name of each revision's state."""
    known = None if applied is None else set(applied)
    folded = revision_states.fold(entries, applied=known, owner_lives=owner_lives)
    return {revision: it.state for revision, it in folded.items()}


@st.composite
def histories(draw: st.DrawFn) -> list[Entry]:
    """Any events, their numbers in any order of arrival, their clocks anywhere."""
    numbers = draw(st.lists(st.integers(1, 10**6), unique=True, max_size=25))
    return [
        Entry(
            number,
            Event(
                draw(st.sampled_from(NAMES)),
                draw(st.sampled_from(get_args(EventKind))),
                "c0ffee",
                is_transactional=draw(st.booleans()),
            ),
            draw(st.datetimes(timezones=st.just(timezone.utc))),
            draw(st.sampled_from(["0a1b2c3d", "4e5f6071"])),
            "host",
            draw(st.integers(1, 9)),
        )
        for number in numbers
    ]


@st.composite
def upgrades(draw: st.DrawFn) -> tuple[list[Entry], list[str], list[str]]:
    """What upgrades of one build write, some killed or failed on their way, and what is left.

    Returns the events, the heads that the version table has at the end, and the revisions
    that are in effect, in their order. The scripts are one line of revisions; each has a
    transaction of its own.
    """
    told: list[str] = []
    in_effect: list[str] = []
    scripts = draw(st.lists(st.sampled_from(NAMES), unique=True))
    for _ in range(draw(st.integers(0, 4))):
        if in_effect and told[-1] == f"{in_effect[-1]} started":
            told.append(f"{in_effect[-1]} done")  # a run that goes on writes down what it finds
        for revision in scripts[len(in_effect) :]:
            told.append(f"{revision} started")
            how = draw(st.sampled_from(["well", "well", "well", "fails", "killed", "cut short"]))
            if how in ("well", "killed"):
                in_effect.append(revision)
            if how == "well":
                told.append(f"{revision} done")
                continue
            if how == "fails":
                told.append(f"{revision} failed")
            break
    return history(*told), in_effect[-1:], in_effect


def oracle(
    entries: Sequence[Entry], applied: set[str] | None, *, owner_lives: bool
) -> dict[str, str]:
    """Return what each revision's state has to be: the events are played one after the other."""
    last: dict[str, str] = {}
    ever_done = set()
    for number in sorted(entry.id for entry in entries):
        (entry,) = (it for it in entries if it.id == number)
        last[entry.event.revision] = entry.event.kind
        if entry.event.kind == "done":
            ever_done.add(entry.event.revision)
    words = {
        "started": "started" if owner_lives else "stuck",
        "failed": "failed",
        "done": "pending",
    }
    in_effect = ever_done if applied is None else applied
    return {it: "done" if it in in_effect else words[kind] for it, kind in last.items()}


APPLIED = st.none() | st.sets(st.sampled_from([*NAMES, "without events"]))


@given(histories(), APPLIED, st.booleans())
def test_every_history_is_folded_as_it_is_when_it_is_played(
    entries: list[Entry], applied: set[str] | None, owner_lives: bool
) -> None:
    expected = oracle(entries, applied, owner_lives=owner_lives)
    assert states(entries, applied, owner_lives=owner_lives) == expected


@given(st.data(), histories(), APPLIED, st.booleans())
def test_the_order_in_which_events_are_read_does_not_matter(
    data: st.DataObject, entries: list[Entry], applied: set[str] | None, owner_lives: bool
) -> None:
    shuffled = data.draw(st.permutations(entries))
    first = revision_states.fold(entries, applied=applied, owner_lives=owner_lives)
    second = revision_states.fold(shuffled, applied=applied, owner_lives=owner_lives)
    assert list(first.items()) == list(second.items())
    heads = applied or set()
    assert revision_states.applied(entries, heads) == revision_states.applied(shuffled, heads)
    assert revision_states.beyond_rollback(entries, heads) == revision_states.beyond_rollback(
        shuffled, heads
    )


@given(st.data(), histories(), APPLIED, st.booleans())
def test_no_clock_matters(
    data: st.DataObject, entries: list[Entry], applied: set[str] | None, owner_lives: bool
) -> None:
    clock = st.datetimes(timezones=st.just(timezone.utc))
    moved = [replace(entry, at=data.draw(clock)) for entry in entries]
    assert states(entries, applied, owner_lives=owner_lives) == states(
        moved, applied, owner_lives=owner_lives
    )
    heads = applied or set()
    assert revision_states.applied(entries, heads) == revision_states.applied(moved, heads)
    assert revision_states.beyond_rollback(entries, heads) == revision_states.beyond_rollback(
        moved, heads
    )


@given(histories(), APPLIED, st.booleans())
def test_every_revision_with_events_has_one_of_the_five_states(
    entries: list[Entry], applied: set[str] | None, owner_lives: bool
) -> None:
    found = states(entries, applied, owner_lives=owner_lives)
    assert set(found) == {entry.event.revision for entry in entries}
    assert set(found.values()) <= {*get_args(State)}
    assert {*get_args(State)} == {"pending", "started", "done", "failed", "stuck"}


@given(histories(), st.sets(st.sampled_from(NAMES)), st.booleans())
def test_a_revision_is_done_if_and_only_if_it_is_in_effect(
    entries: list[Entry], applied: set[str], owner_lives: bool
) -> None:
    found = states(entries, applied, owner_lives=owner_lives)
    assert {it for it, named in found.items() if named == "done"} == applied & found.keys()


@given(histories(), APPLIED)
def test_only_a_dead_owner_leaves_a_revision_stuck_and_only_a_living_one_is_at_work(
    entries: list[Entry], applied: set[str] | None
) -> None:
    alive = states(entries, applied, owner_lives=True)
    dead = states(entries, applied, owner_lives=False)
    assert "stuck" not in alive.values()
    assert "started" not in dead.values()
    assert {it: "stuck" if named == "started" else named for it, named in alive.items()} == dead


@given(histories(), APPLIED, st.booleans())
def test_the_event_that_tells_of_a_state_is_one_of_the_revisions_own(
    entries: list[Entry], applied: set[str] | None, owner_lives: bool
) -> None:
    for revision, it in revision_states.fold(
        entries, applied=applied, owner_lives=owner_lives
    ).items():
        own = [entry for entry in entries if entry.event.revision == revision]
        done = [entry for entry in own if entry.event.kind == "done"]
        newest = max(done if it.state == "done" and done else own, key=lambda entry: entry.id)
        assert it == RevisionState(revision, it.state, newest)


@given(histories())
def test_a_second_start_changes_no_state(entries: list[Entry]) -> None:
    for entry in [entry for entry in entries if entry.event.kind == "started"]:
        again = replace(entry, id=2 * 10**6, at=NOON)
        before = states([*entries], owner_lives=False)
        after = states([*entries, again], owner_lives=False)
        expected = "done" if before[entry.event.revision] == "done" else "stuck"
        assert after == {**before, entry.event.revision: expected}


@given(upgrades())
def test_what_is_in_effect_after_upgrades_is_found_from_the_events_and_the_heads(
    upgraded: tuple[list[Entry], list[str], list[str]],
) -> None:
    entries, heads, in_effect = upgraded
    assert revision_states.applied(entries, heads) == in_effect


@given(upgrades(), st.booleans())
def test_after_upgrades_what_is_in_effect_is_done_and_nothing_else_is(
    upgraded: tuple[list[Entry], list[str], list[str]], owner_lives: bool
) -> None:
    entries, heads, in_effect = upgraded
    found = states(entries, revision_states.applied(entries, heads), owner_lives=owner_lives)
    assert [it for it in found if found[it] == "done"] == in_effect
    assert "pending" not in found.values()


@given(histories(), st.sets(st.sampled_from([*NAMES, "without events"])))
def test_every_head_with_events_is_in_effect_and_nothing_is_named_twice(
    entries: list[Entry], heads: set[str]
) -> None:
    found = revision_states.applied(entries, heads)
    known = {entry.event.revision for entry in entries}
    done = {entry.event.revision for entry in entries if entry.event.kind == "done"}
    assert heads & known <= set(found) <= done | heads & known
    assert len(found) == len(set(found))
    assert not found or found[-1] in heads


@given(histories(), st.sets(st.sampled_from(NAMES)))
def test_what_was_left_behind_outside_of_a_transaction_is_named_if_it_is_not_in_effect(
    entries: list[Entry], in_effect: set[str]
) -> None:
    committed = {it.event.revision for it in entries if not it.event.is_transactional} - in_effect
    found = revision_states.beyond_rollback(entries, in_effect)
    assert found in committed or (found == "" and not committed)


@pytest.mark.parametrize(
    ("told", "alive", "dead"),
    [
        (["0001 started"], "started", "stuck"),
        (["0001 started", "0001 done"], "done", "done"),
        (["0001 started", "0001 failed"], "failed", "failed"),
        (["0001 started", "0001 started"], "started", "stuck"),
        (["0001 started", "0001 failed", "0001 started"], "started", "stuck"),
        (["0001 started", "0001 failed", "0001 started", "0001 done"], "done", "done"),
        (["0001 started", "0001 done", "0001 started"], "done", "done"),
        (["0001 started", "0001 done", "0001 failed"], "done", "done"),
    ],
)
def test_where_the_database_cannot_be_asked_the_events_are_believed(
    told: list[str], alive: str, dead: str
) -> None:
    assert states(history(*told), owner_lives=True) == {"0001": alive}
    assert states(history(*told), owner_lives=False) == {"0001": dead}


@pytest.mark.parametrize(
    ("told", "in_effect", "named"),
    [
        (["0001 started"], True, "done"),  # killed between the commit and the event
        (["0001 started"], False, "stuck"),
        (["0001 started", "0001 failed"], True, "done"),  # the failure came after the commit
        (["0001 started", "0001 failed"], False, "failed"),
        (["0001 started", "0001 done"], True, "done"),
        (["0001 started", "0001 done"], False, "pending"),  # rolled back with env.py's own
        (["0001 started", "0001 done", "0001 started"], False, "stuck"),
        (["0001 started", "0001 done", "0001 started"], True, "done"),
    ],
)
def test_what_the_version_table_says_is_stronger_than_the_events(
    told: list[str], in_effect: bool, named: str
) -> None:
    assert states(history(*told), ["0001"] if in_effect else []) == {"0001": named}


def test_a_revision_without_events_has_no_state() -> None:
    assert states(NO_EVENTS, ["0001"]) == {}
    assert states(history("0002 started"), ["0001"]) == {"0002": "stuck"}


def test_a_build_that_was_cut_short_has_done_revisions_and_a_stuck_one() -> None:
    entries = history("0001 started", "0001 done", "0002 started", "0002 done", "0003 started")
    assert states(entries, ["0001", "0002"]) == {"0001": "done", "0002": "done", "0003": "stuck"}


def test_the_event_of_a_done_revision_is_that_of_its_end() -> None:
    entries = history("0001 started", "0001 done", "0001 started")
    assert revision_states.fold(entries, applied=None, owner_lives=True) == {
        "0001": RevisionState("0001", "done", entries[1])
    }


def test_the_event_of_a_revision_whose_end_was_not_written_down_is_that_of_its_start() -> None:
    entries = history("0001 started")
    assert revision_states.fold(entries, applied={"0001"}, owner_lives=False) == {
        "0001": RevisionState("0001", "done", entries[0])
    }


def test_the_event_of_an_unfinished_revision_is_the_last_one() -> None:
    entries = history("0001 started", "0001 failed", "0001 started")
    assert revision_states.fold(entries, applied=set(), owner_lives=False) == {
        "0001": RevisionState("0001", "stuck", entries[2])
    }


LINE = ("0001 started", "0001 done", "0002 started", "0002 done", "0003 started")


@pytest.mark.parametrize(
    ("told", "heads", "in_effect"),
    [
        (LINE, [], []),  # env.py's own transaction took all of it back
        (LINE, ["0002"], ["0001", "0002"]),
        (LINE, ["0003"], ["0001", "0002", "0003"]),  # killed after the commit
        ((*LINE, "0003 failed"), ["0002"], ["0001", "0002"]),
        ((*LINE, "0003 failed", "0003 started"), ["0002"], ["0001", "0002"]),
        (LINE, ["base"], []),  # the head of the template that it was copied from
        (LINE, ["base", "0002"], ["0001", "0002"]),  # a branch beside
        ((), ["0001"], []),
    ],
)
def test_what_was_done_before_the_last_head_is_in_effect_in_its_order(
    told: tuple[str, ...], heads: list[str], in_effect: list[str]
) -> None:
    assert revision_states.applied(history(*told), heads) == in_effect


def test_two_branches_are_in_effect_up_to_both_of_their_heads() -> None:
    told = ("a1 started", "a1 done", "b1 started", "b1 done", "a2 started", "a2 done", "b2 started")
    assert revision_states.applied(history(*told), ["a2", "b1"]) == ["a1", "b1", "a2"]


def test_a_revision_that_was_rolled_back_and_done_again_is_at_its_second_place() -> None:
    told = ("0001 started", "0001 done", "0000 started", "0000 done", "0001 started", "0001 done")
    assert revision_states.applied(history(*told), ["0001"]) == ["0000", "0001"]


@pytest.mark.parametrize(
    ("told", "in_effect", "named"),
    [
        (["0001 started"], [], ""),
        (["0001 started beyond"], [], "0001"),
        (["0001 started", "0001 started beyond"], [], "0001"),
        (["0001 started", "0001 started beyond", "0001 failed beyond"], [], "0001"),
        (["0001 started", "0001 started beyond", "0001 done beyond"], ["0001"], ""),
        (["0001 started beyond", "0001 done beyond", "0002 failed beyond"], ["0001"], "0002"),
        (["0002 started beyond", "0001 started beyond"], [], "0002"),
    ],
)
def test_a_revision_that_committed_on_its_own_and_is_not_done_is_beyond_rollback(
    told: list[str], in_effect: list[str], named: str
) -> None:
    assert revision_states.beyond_rollback(history(*told), in_effect) == named
