"""Reports of tests: kept databases are named in them, and passwords are taken out.

Registered when a process first has to do with a database: a run of unit tests does without.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import TYPE_CHECKING

import pytest

from pytest_dbmigrate.errors import DbmigrateError
from pytest_dbmigrate.plugin import redaction

if TYPE_CHECKING:
    from pytest_dbmigrate.session import Session

_SECTION = "kept database"


class Reports:
    """The hooks that change each report before other plugins see it."""

    def __init__(self, session: Session) -> None:
        self._session = session

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        """Name kept databases in the report, and take passwords out of it."""
        report = yield
        if self._keeps_after(report):
            report.sections += [(_SECTION, line) for line in self._keep(item)]
        redaction.redact_report(report, self._session.passwords())
        return report

    @pytest.hookimpl(wrapper=True)
    def pytest_make_collect_report(
        self,
    ) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
        """Take passwords out of the report of a module that could not be imported."""
        report = yield
        redaction.redact_report(report, self._session.passwords())
        return report

    def _keeps_after(self, report: pytest.TestReport) -> bool:
        """Whether the test's databases are to be kept, as the settings have it.

        Decided when the test itself is over, so that its own report can name them;
        or when its set-up failed, for then there is no other report.
        """
        settings = self._session.settings
        if settings.keep == "never":
            return False
        if report.when == "teardown" and not settings.shared:
            return False  # already dropped
        if settings.keep == "always":
            return report.when == "call" or report.failed
        return report.failed

    def _keep(self, item: pytest.Item) -> list[str]:
        """Keep the test's databases; return the commands that open them, or why one is not kept."""
        commands: list[str] = []
        try:
            if self._session.is_leased:
                commands.append(self._session.keep(item.name))
            if "migrated_db_factory" in getattr(item, "fixturenames", ()):
                commands += self._session.keep_additional()
        except DbmigrateError as error:
            commands.append(f"not kept: {error.what}")
        return [it or "not kept: this run has kept as many as it may" for it in commands]
