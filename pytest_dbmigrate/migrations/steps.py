"""Steps of `dbmigrate_before`: their names in the history and on the terminal."""

from __future__ import annotations

from pathlib import Path

BEFORE = "dbmigrate_before"  # the environment under which the history has these steps
_LABEL = 40  # characters


def is_file(step: str) -> bool:
    """Whether a step is a file of SQL."""
    return step.endswith(".sql") and Path(step).is_absolute()


def label(step: str) -> str:
    """Return a short name for a step: a file's name, or the beginning of its text."""
    short = Path(step).name if is_file(step) else " ".join(step.split())
    return short if len(short) <= _LABEL else f"{short[: _LABEL - 4]} ..."
