"""Child of a run in the foreground: one suite's own run, and its report for the parent."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import pytest

from pytest_dbmigrate.plugin.role import ForegroundOrder
from pytest_dbmigrate.plugin.state import State


@dataclass(frozen=True)
class SuiteReport:
    """What came of one suite's own run; JSON only in its file.

    `begun_with` are the tests that had failed before the first suite began, `counts` those of
    each category of pytest's summary, and `databases` is how many the tests have taken.
    """

    failed: int
    begun_with: tuple[str, ...]
    counts: Mapping[str, int]
    seconds: float
    databases: int

    @classmethod
    def read(cls, folder: Path, suite: str) -> SuiteReport | None:
        """Return the report of a suite, None if it has died or has not run."""
        try:
            record = json.loads((folder / f"{suite}.json").read_text())
        except FileNotFoundError:
            return None
        return cls(**{**record, "begun_with": tuple(record["begun_with"])})

    def write(self, folder: Path, suite: str) -> None:
        """Write the report for the parent."""
        (folder / f"{suite}.json").write_text(json.dumps(asdict(self)))


class Child:
    """The hooks of the run of one suite in the foreground, where it differs from a plain run."""

    def __init__(self, state: State, order: ForegroundOrder) -> None:
        self._state = state
        self._folder = Path(order.folder)
        self._maxfail = order.maxfail
        self._begun_with = order.begun_with
        self._began = time.perf_counter()
        namespace = state.config.known_args_namespace
        namespace.cov_append = getattr(namespace, "cov_append", False) or order.index > 0
        if not order.is_last:  # the last one reports what all have measured
            namespace.cov_report = {"": None}
            namespace.cov_fail_under = 0

    @pytest.hookimpl(tryfirst=True)
    def pytest_configure(self, config: pytest.Config) -> None:
        """Write reports beside those of other suites, not over them; share their `--maxfail`."""
        if getattr(config.option, "xmlpath", None):
            config.option.xmlpath = str(self._folder / f"{self._state.role.suite}.xml")
        page = getattr(config.option, "htmlpath", None)
        if page:  # of pytest-html
            path = Path(page)
            config.option.htmlpath = str(path.with_stem(f"{path.stem}-{self._state.role.suite}"))
        if self._maxfail:
            config.option.maxfail = self._maxfail

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionstart(self, session: pytest.Session) -> None:
        """Note what failed in the previous run, before the first suite changes pytest's cache."""
        cached = session.config.pluginmanager.getplugin("lfplugin")
        if not self._begun_with and cached is not None:
            self._begun_with = tuple(str(it) for it in cached.lastfailed)

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Write the report of this run for the parent."""
        terminal = session.config.pluginmanager.getplugin("terminalreporter")
        stats = terminal.stats if terminal is not None else {}
        report = SuiteReport(
            failed=session.testsfailed,
            begun_with=self._begun_with,
            counts={category: len(reports) for category, reports in stats.items()},
            seconds=time.perf_counter() - self._began,
            databases=self._state.session().taken if self._state.has_session else 0,
        )
        report.write(self._folder, self._state.role.suite)
