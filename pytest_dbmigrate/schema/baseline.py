"""Baseline: the text of the differences that a project accepts, one sentence a line. Pure.

A line is what `sentences.sentence` returns for a difference. Blank lines mean nothing. A line
that begins with `#` is a comment; one directly above a sentence stays with it when the text is
rewritten. A line that matches no difference is reported as stale.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

_MARK = "# pytest-dbmigrate: "
HEADER = (
    f"{_MARK}differences between the migrations and the models that are accepted.",
    "# Only others are errors. The fewer lines the better: a line that is no longer true is",
    "# named at the end of a run. To write the file anew: pytest --db-accept-drift",
    "# A comment directly above a line stays with it.",
)


@dataclass(frozen=True)
class Baseline:
    """The accepted lines, in the order of the text, each with the comments above it.

    `is_ours` tells whether the text can be rewritten safely: it begins as a baseline does, or
    has nothing to lose.
    """

    comments: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    is_ours: bool = True


@dataclass(frozen=True)
class Split:
    """Sorted lines: accepted differences, new ones, and accepted lines that match none."""

    known: tuple[str, ...]
    new: tuple[str, ...]
    stale: tuple[str, ...]


def line(sentence: str) -> str:
    """Return the line that accepts a sentence: never a comment, and always valid UTF-8."""
    text = " ".join(sentence.encode("utf-8", "backslashreplace").decode().split())
    return f"\\{text}" if text.startswith("#") else text


def parse(text: str) -> Baseline:
    """Return the baseline in a text."""
    found: dict[str, tuple[str, ...]] = {}
    above: list[str] = []
    lines = [" ".join(it.split()) for it in text.split("\n")]
    for it in lines:
        if it.startswith("#"):
            above += [it] * (it not in HEADER)
            continue
        if it:
            found[it] = (*found.get(it, ()), *above)
        above = []
    first = next((it for it in lines if it), "")
    return Baseline(found, is_ours=first.startswith(_MARK) or not found)


def render(sentences: Iterable[str], before: Baseline) -> str:
    """Return the text that accepts exactly these sentences, with the comments of `before`."""
    rows = [*HEADER, ""]
    for it in sorted({line(sentence) for sentence in sentences}):
        rows += [*before.comments.get(it, ()), it]
    return "\n".join(rows).rstrip("\n") + "\n"


def split(sentences: Iterable[str], baseline: Baseline) -> Split:
    """Return which of the sentences the baseline accepts, and which of its lines are stale."""
    found, accepted = {line(sentence) for sentence in sentences}, set(baseline.comments)
    return Split(
        known=tuple(sorted(found & accepted)),
        new=tuple(sorted(found - accepted)),
        stale=tuple(sorted(accepted - found)),
    )
