"""Baseline: the text of accepted differences is parsed, compared and rewritten."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_dbmigrate.schema.baseline import Baseline, Split, line, parse, render, split

HEADER = """\
# pytest-dbmigrate: differences between the migrations and the models that are accepted.
# Only others are errors. The fewer lines the better: a line that is no longer true is
# named at the end of a run. To write the file anew: pytest --db-accept-drift
# A comment directly above a line stays with it.
"""
ONE, TWO = "the models have table one; no migration adds it", "the migrations leave table two"


def test_each_sentence_is_a_line_sorted_and_once() -> None:
    assert render([TWO, ONE, TWO], Baseline()) == f"{HEADER}\n{TWO}\n{ONE}\n"


def test_a_text_without_differences_is_the_header() -> None:
    assert render([], Baseline()) == HEADER


def test_comments_and_blank_lines_accept_nothing() -> None:
    assert list(parse(f"{HEADER}\n\n  # {ONE}\n\t\n{TWO}\n").comments) == [TWO]


@pytest.mark.parametrize(
    "text",
    [f"{ONE}\r\n{TWO}\r\n", f"  {ONE}\t\n{TWO}", f"{ONE}\n\n{TWO}\n{ONE}\n"],
    ids=["carriage returns", "spaces", "twice"],
)
def test_order_and_whitespace_of_lines_do_not_matter(text: str) -> None:
    assert split([ONE, TWO], parse(text)) == Split(known=(TWO, ONE), new=(), stale=())


def test_known_new_and_stale_lines_are_separated() -> None:
    baseline = parse(f"{HEADER}\n{ONE}\nthe modles have table typo\n")
    assert split([TWO, ONE], baseline) == Split(
        known=(ONE,), new=(TWO,), stale=("the modles have table typo",)
    )


def test_a_comment_stays_with_the_line_below_it() -> None:
    text = f"{HEADER}\n# a heading\n\n# until the shop\n# is closed\n{ONE}\n# and this\n{TWO}\n"
    assert render([ONE, "a table"], parse(text)) == (
        f"{HEADER}\na table\n# until the shop\n# is closed\n{ONE}\n"
    )


def test_all_comments_of_a_repeated_line_are_kept() -> None:
    assert render([ONE], parse(f"# first\n{ONE}\n# second\n{ONE}\n")) == (
        f"{HEADER}\n# first\n# second\n{ONE}\n"
    )


def test_the_header_is_not_a_comment_of_the_first_line() -> None:
    assert render([ONE], parse(f"{HEADER}{ONE}\n")) == f"{HEADER}\n{ONE}\n"


@pytest.mark.parametrize(
    ("text", "is_ours"),
    [
        ("", True),
        ("# a plan\n", True),
        (f"\n{HEADER}{ONE}\n", True),
        (f"{HEADER.splitlines()[0]}\n<<<<<<< HEAD\n", True),
        (f"{ONE}\n", False),
        ("# a plan\nimport os\n", False),
        (f"import os\n{HEADER}", False),
    ],
)
def test_a_baseline_is_recognized_by_its_first_line(text: str, is_ours: bool) -> None:
    assert parse(text).is_ours is is_ours


@pytest.mark.parametrize(
    ("sentence", "said"),
    [
        ("AddView on  person:\n\tselect 1 ", "AddView on person: select 1"),
        ("# a view", "\\# a view"),
        ("comment \udc80", "comment \\udc80"),
    ],
)
def test_the_line_of_a_sentence_can_be_parsed(sentence: str, said: str) -> None:
    assert line(sentence) == said
    assert list(parse(said).comments) == [said]


TEXTS = st.text(max_size=20).filter(lambda text: text.strip())


@given(st.lists(TEXTS), st.lists(TEXTS))
def test_a_rendered_text_accepts_exactly_the_given_sentences(
    sentences: list[str], others: list[str]
) -> None:
    baseline = parse(render(sentences, Baseline()))
    assert split(sentences, baseline).new == split(sentences, baseline).stale == ()
    only_here = {line(it) for it in sentences} - {line(it) for it in others}
    assert set(split(others, baseline).stale) == only_here


@given(st.text())
def test_writing_twice_changes_nothing(text: str) -> None:
    before = parse(text)
    once = render(before.comments, before)
    assert render(parse(once).comments, parse(once)) == once
