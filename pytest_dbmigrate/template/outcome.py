"""The template: made once in a run, under a lock, and sealed last."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pytest_dbmigrate.databases import names
from pytest_dbmigrate.databases.control import Control, Holder
from pytest_dbmigrate.errors import DbmigrateError, as_record, from_record

Make = Callable[[], tuple[str, dict[str, Any]]]


def ensure(
    control: Control,
    make: Make,
    patience: float = 600.0,
    waiting: Callable[[Holder], None] = lambda _: None,
) -> tuple[str, dict[str, Any]]:
    """Return the sealed template's name and its facts, making or finding it if need be.

    `make` returns a build and its facts. Of several processes one calls it and the others
    wait; what it raises is raised here, and in every other process of the run, without
    another attempt.
    """
    with control.building(patience, waiting):
        outcome = control.outcome()
        if outcome is None:
            outcome = _outcome(make)
            control.record(outcome)
        if "error" in outcome:
            raise from_record(outcome["error"])
        control.use(outcome["build"])
    return names.template(outcome["build"]), outcome["facts"]


def _outcome(make: Make) -> dict[str, Any]:
    try:
        build, facts = make()
    except DbmigrateError as error:
        return {"error": as_record(error)}
    return {"build": build, "facts": facts}
