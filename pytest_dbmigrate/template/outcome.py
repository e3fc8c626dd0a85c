"""Outcome of a run: one process makes or finds the template, all processes of the run share it."""

from __future__ import annotations

from collections.abc import Callable

from pytest_dbmigrate.databases import names, turn
from pytest_dbmigrate.databases.control import Control
from pytest_dbmigrate.databases.turn import Holder, Outcome
from pytest_dbmigrate.errors import DbmigrateError


def ensure(
    control: Control,
    make: Callable[[], str],
    patience: float = 600.0,
    waiting: Callable[[Holder], None] = lambda _: None,
) -> str:
    """Return the name of the sealed template; one process of the run makes or finds it.

    `make` returns the id of a build. One process calls it while the others wait. It raises
    what `make` raises; the others raise the same error, read from its record, without another
    attempt.
    """
    with turn.building(control, patience, waiting):
        known = turn.outcome(control)
        if known is None:
            build = _first(control, make)
        elif known.error is not None:
            raise known.error
        else:
            build = known.build
        control.use(build)
    return names.template(build)


def _first(control: Control, make: Callable[[], str]) -> str:
    """Build the template, and record its build or the error. Returns the build."""
    try:
        build = make()
    except DbmigrateError as error:  # with its traceback and cause, which a record cannot hold
        turn.record(control, Outcome(error=error))
        raise
    turn.record(control, Outcome(build))
    return build
