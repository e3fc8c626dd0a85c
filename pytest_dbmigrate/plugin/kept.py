"""Which tests' databases are kept, and how the report tells of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pytest_dbmigrate.errors import DbmigrateError

if TYPE_CHECKING:
    from pytest_dbmigrate.plugin.state import State

_SECTION = "kept database"


def decide(state: State, item: pytest.Item, report: pytest.TestReport) -> None:
    """Keep the database of a test that used one, if the settings say so.

    Decided when the test itself is over, so that its own report can name the database;
    or when its set-up failed, for then there is no other report.
    """
    if not state.session().is_leased or not _is_wanted(state, report):
        return
    try:
        line = state.session().keep(item.name)
    except DbmigrateError as error:
        line = f"not kept: {error.what}"
    report.sections.append((_SECTION, line or "not kept: this run has kept as many as it may"))


def _is_wanted(state: State, report: pytest.TestReport) -> bool:
    if state.settings.keep == "never":
        return False
    if report.when == "teardown" and not state.settings.shared:
        return False  # it is gone by now
    if state.settings.keep == "always":
        return report.when == "call" or report.failed
    return report.failed
