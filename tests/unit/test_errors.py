"""Each error says what failed, what was tried, what to do; and survives every trip."""

from __future__ import annotations

import json
import pickle
from dataclasses import fields
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_dbmigrate.errors import (
    DatabaseError,
    DbmigrateError,
    DriftError,
    MigrationError,
    RevisionError,
    ServerError,
    SettingError,
    WrongDatabaseError,
    as_record,
    from_record,
    mark_position,
)

KINDS = (
    DbmigrateError,
    SettingError,
    ServerError,
    DatabaseError,
    MigrationError,
    WrongDatabaseError,
    RevisionError,
    DriftError,
)
VALUES: dict[Any, st.SearchStrategy[Any]] = {
    "str": st.text(),
    "int": st.integers(),
    "tuple[str, ...]": st.lists(st.text()).map(tuple),
}
ERRORS = st.sampled_from(KINDS).flatmap(
    lambda kind: st.builds(kind, **{field.name: VALUES[field.type] for field in fields(kind)})
)
SQL = st.text(st.sampled_from("abc \t\n"), max_size=60)


@given(ERRORS)
def test_an_error_survives_a_trip_through_json(error: DbmigrateError) -> None:
    back = from_record(json.loads(json.dumps(as_record(error))))
    assert (type(back), as_record(back)) == (type(error), as_record(error))


@given(ERRORS)
def test_an_error_survives_pickling(error: DbmigrateError) -> None:
    back = pickle.loads(pickle.dumps(error))
    assert (type(back), as_record(back)) == (type(error), as_record(error))


@pytest.mark.parametrize("kind", KINDS)
def test_an_error_that_knows_one_sentence_says_no_more_than_it_must(
    kind: type[DbmigrateError],
) -> None:
    first, *rest = kind("it failed").lines()
    assert first == "it failed"
    assert rest == (
        ["  left applied: nothing; 0 revisions are not applied"] if kind is RevisionError else []
    )


def test_an_error_says_what_failed_what_was_tried_and_what_to_do() -> None:
    error = DbmigrateError("no server", tried=("docker", "embedded"), todo=("start one", "or not"))
    assert str(error).splitlines() == [
        "no server",
        "  tried: docker",
        "         embedded",
        "  to do: start one",
        "         or not",
    ]


def test_a_server_error_ends_with_the_servers_log() -> None:
    error = ServerError("it died", tried=("starting it",), log="LOG:  one\nFATAL:  two\n")
    assert str(error).splitlines() == [
        "it died",
        "  tried: starting it",
        "  the end of the server's log:",
        "    LOG:  one",
        "    FATAL:  two",
    ]


def test_a_migration_error_ends_with_the_last_twenty_lines_of_the_output() -> None:
    output = "\n".join(f"line {number}" for number in range(1, 31))
    assert MigrationError("it died", todo=("look",), output=output).lines() == [
        "it died",
        "  to do: look",
        "  env.py and the migrations printed:",
        *(f"    line {number}" for number in range(11, 31)),
    ]


def test_a_drift_error_lists_the_differences() -> None:
    error = DriftError("they differ", differences=("one", "two"), todo=("mend them",))
    assert str(error).splitlines() == ["they differ", "  - one", "  - two", "  to do: mend them"]


def test_a_revision_error_shows_the_place_the_statement_and_what_the_server_said() -> None:
    error = RevisionError(
        "revision 0003 failed",
        todo=("fix the revision and run the tests again",),
        output="INFO running",
        revision="0003",
        file="migrations/versions/0003_key.py",
        line=17,
        statement="ALTER TABLE issuer\n    ADD kee textt",
        position=32,
        message='type "textt" does not exist',
        detail="It never did.",
        hint="Say text.",
        applied=("0002",),
        pending=3,
    )
    assert str(error).splitlines() == [
        "revision 0003 failed",
        "  file: migrations/versions/0003_key.py:17",
        "  sql: ALTER TABLE issuer",
        "           ADD kee textt",
        "                   ^",
        '  server: type "textt" does not exist',
        "  detail: It never did.",
        "  hint: Say text.",
        "  left applied: up to 0002; 3 revisions are not applied",
        "  to do: fix the revision and run the tests again",
        "  env.py and the migrations printed:",
        "    INFO running",
    ]


def test_a_revision_error_without_a_statement_is_the_scripts_own() -> None:
    error = RevisionError(
        "revision 0003 failed", file="0003.py", message="ValueError: no", pending=1
    )
    assert str(error).splitlines() == [
        "revision 0003 failed",
        "  file: 0003.py",
        "  error: ValueError: no",
        "  left applied: nothing; 1 revision is not applied",
    ]


@given(before=SQL, place=st.sampled_from("abc"), after=SQL)
def test_the_caret_stands_below_the_position(before: str, place: str, after: str) -> None:
    shown = mark_position(before + place.upper() + after, len(before) + 1)
    row = next(n for n, line in enumerate(shown) if line.strip() == "^")
    assert shown[row - 1][len(shown[row]) - 1] == place.upper()


def test_a_long_statement_is_cut_to_the_lines_around_the_position() -> None:
    lines = [f"line {number}" for number in range(1, 11)]
    position = "\n".join(lines).index("line 6") + 1
    assert mark_position("\n".join(lines), position) == [
        "...",
        "line 3",
        "line 4",
        "line 5",
        "line 6",
        "^",
        "line 7",
        "line 8",
        "line 9",
        "...",
    ]


def test_a_long_statement_without_a_position_is_cut_after_24_lines() -> None:
    lines = [f"line {number}" for number in range(1, 31)]
    assert mark_position("\n".join(lines), 0) == [*lines[:24], "..."]


def test_a_position_past_the_end_of_the_statement_is_not_marked() -> None:
    assert mark_position("select (", 9) == ["select ("]


def test_the_margin_of_a_statement_within_a_script_is_left_out() -> None:
    statement = "\n        select 1\n          fromm item\n        "
    assert mark_position(statement, statement.index("item") + 1) == [
        "select 1",
        "  fromm item",
        "        ^",
    ]
    assert mark_position(statement, 0) == ["select 1", "  fromm item"]
