"""The reports of tests: kept databases are named in them, and passwords taken out.

Registered when a run has to do with a database: one of unit tests alone does without.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import TYPE_CHECKING

import pytest

from pytest_dbmigrate.plugin import kept, secrecy

if TYPE_CHECKING:
    from pytest_dbmigrate.plugin.state import State


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
            kept.decide(self._state, item, report)
            secrecy.redact_report(report, self._state.session().passwords())
        return report

    @pytest.hookimpl(wrapper=True)
    def pytest_make_collect_report(
        self,
    ) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
        """Take passwords out of the report of a module that could not be imported."""
        report = yield
        if self._state.has_session:
            secrecy.redact_report(report, self._state.session().passwords())
        return report
