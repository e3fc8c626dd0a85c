"""The template: built once under a lock in a scratch name, sealed last."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pytest_dbmigrate.databases import names
from pytest_dbmigrate.databases.control import Control
from pytest_dbmigrate.dsn import Dsn
from pytest_dbmigrate.errors import DbmigrateError, as_record, from_record

Build = Callable[[Dsn], dict[str, Any]]


def ensure(control: Control, run_id: str, build: Build) -> tuple[str, dict[str, Any]]:
    """Return the sealed template's name and what `build` returned, building it if needed.

    Of several processes one builds and the others wait. What `build` raises is raised
    here, and in every other process of the run, without another attempt.
    """
    with control.building():
        outcome = control.outcome()
        if outcome is None:
            outcome = _build(control, run_id, build)
    if "error" in outcome:
        raise from_record(outcome["error"])
    return outcome["template"], outcome["facts"]


def _build(control: Control, run_id: str, build: Build) -> dict[str, Any]:
    scratch, sealed = names.scratch(run_id), names.template(run_id)
    for name in (scratch, sealed):
        control.drop(name)  # left by a build that was killed
    control.register(scratch, "build")
    control.register(sealed, "template")
    control.create(scratch)
    outcome: dict[str, Any]
    try:
        outcome = {"template": sealed, "facts": build(control.dsn.at(scratch))}
    except DbmigrateError as error:
        outcome = {"error": as_record(error)}
        control.drop(scratch)
    else:
        control.rename(scratch, sealed)
        control.seal(sealed)
    control.record(outcome)
    return outcome
