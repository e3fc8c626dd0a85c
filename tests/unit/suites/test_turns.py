"""How many workers each suite has, and when."""

from __future__ import annotations

import pytest

from pytest_dbmigrate.suites.turns import Turns

NAMES = ("unit", "integration", "e2e")


def in_turn(at_once: int | None) -> Turns:
    return Turns(NAMES, at_once, is_concurrent=False)


def side_by_side(at_once: int | None) -> Turns:
    return Turns(NAMES, at_once, is_concurrent=True)


def test_in_turns_only_the_first_suite_starts_with_all_its_workers() -> None:
    assert [in_turn(None).at_start(name) for name in NAMES] == [1, 1, 1]
    assert [in_turn(4).at_start(name) for name in NAMES] == [4, 1, 1]


def test_in_turns_a_suite_waits_for_the_one_before_it() -> None:
    assert in_turn(4).may_begin("unit", [])
    assert not in_turn(4).may_begin("integration", ["unit"])


def test_a_suite_grows_in_its_turn_but_never_beyond_its_tests() -> None:
    assert in_turn(4).missing("integration", workers=1, tests=100) == 3
    assert in_turn(4).missing("integration", workers=1, tests=2) == 1
    assert in_turn(4).missing("integration", workers=1, tests=0) == 0
    assert in_turn(None).missing("integration", workers=1, tests=100) == 0


def test_tests_are_given_out_so_that_late_workers_find_some() -> None:
    assert in_turn(4).chunk("integration", 160) == 10
    assert in_turn(4).chunk("integration", 3) == 1


def test_side_by_side_each_suite_has_a_worker_if_no_number_is_given() -> None:
    assert [side_by_side(None).at_start(name) for name in NAMES] == [1, 1, 1]
    assert side_by_side(None).may_begin("e2e", ["unit", "integration"])


@pytest.mark.parametrize(
    ("at_once", "shares"), [(1, [1, 1, 1]), (3, [1, 1, 1]), (4, [2, 1, 1]), (8, [3, 3, 2])]
)
def test_side_by_side_suites_share_the_workers(at_once: int, shares: list[int]) -> None:
    assert [side_by_side(at_once).at_start(name) for name in NAMES] == shares


def test_never_more_tests_run_at_once_than_was_said() -> None:
    assert side_by_side(2).may_begin("integration", ["unit"])
    assert not side_by_side(2).may_begin("e2e", ["unit", "integration"])
    assert side_by_side(4).may_begin("e2e", ["unit", "integration"])
    assert not side_by_side(1).may_begin("integration", ["unit"])
