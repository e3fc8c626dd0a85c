"""The reports of tests: kept databases are named in them, and passwords taken out.

Registered when a run has to do with a database: one of unit tests alone does without.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import TYPE_CHECKING

import pytest

from pytest_dbmigrate.errors import DbmigrateError
from pytest_dbmigrate.plugin import redaction

if TYPE_CHECKING:
    from pytest_dbmigrate.plugin.state import State


_SECTION = "kept database"


class Reports:
    """The hooks that see each report before anybody else."""

    def __init__(self, state: State) -> None:
        self._state = state

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        """Name a kept database in the report, and take passwords out of it."""
        report = yield
        if self._state.has_session:
            _keep_database(self._state, item, report)
            redaction.redact_report(report, self._state.session().passwords())
        return report

    @pytest.hookimpl(wrapper=True)
    def pytest_make_collect_report(
        self,
    ) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
        """Take passwords out of the report of a module that could not be imported."""
        report = yield
        if self._state.has_session:
            redaction.redact_report(report, self._state.session().passwords())
        return report


def _keep_database(state: State, item: pytest.Item, report: pytest.TestReport) -> None:
    """Keep the database of a test that used one, if the settings say so.

    Decided when the test itself is over, so that its own report can name the database;
    or when its set-up failed, for then there is no other report.
    """
    if not _is_wanted(state, report):
        return
    session, lines = state.session(), list[str]()
    try:
        lines += [session.keep(item.name)] if session.is_leased else []
        if "migrated_db_factory" in getattr(item, "fixturenames", ()):
            lines += session.keep_additional()
    except DbmigrateError as error:
        lines.append(f"not kept: {error.what}")
    for line in lines:
        said = line or "not kept: this run has kept as many as it may"
        report.sections.append((_SECTION, said))


def _is_wanted(state: State, report: pytest.TestReport) -> bool:
    if state.settings.keep == "never":
        return False
    if report.when == "teardown" and not state.settings.shared:
        return False  # it is gone by now
    if state.settings.keep == "always":
        return report.when == "call" or report.failed
    return report.failed
