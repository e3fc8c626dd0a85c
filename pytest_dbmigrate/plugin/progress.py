"""Progress of the database under pytest-xdist, told by the controller, which runs no tests."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pytest_dbmigrate.plugin.narrator import Narrator

_TELL_EVERY = 0.1  # seconds


class ProgressTeller:
    """Tells what the workers do to the database.

    Until the first report arrives, pytest writes nothing and a thread of ours does the
    telling, so that long migrations are not a long silence; from then on, each report
    is an occasion.
    """

    def __init__(self, narrator: Narrator, plugins: pytest.PytestPluginManager) -> None:
        self._narrator = narrator
        self._plugins = plugins
        self._has_reports = threading.Event()
        self._looked_at = 0.0
        self._teller = threading.Thread(target=self._tell, daemon=True)

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self) -> None:
        """Begin to tell."""
        self._teller.start()

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Print new notes, at most ten times a second: reading at each report costs too much."""
        self._end_teller()
        now = time.monotonic()
        if now - self._looked_at < _TELL_EVERY:
            return
        self._looked_at = now
        terminal = self._plugins.getplugin("terminalreporter")
        before = getattr(terminal, "currentfspath", None)
        self._narrator.show()
        if before is not None and terminal.showfspath and terminal.currentfspath is None:
            terminal.write_fspath_result(report.nodeid, "")  # the line of a file was cut short

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self) -> None:
        """End the thread if there was no report at all."""
        self._end_teller()

    def _tell(self) -> None:
        while not self._has_reports.wait(_TELL_EVERY):
            self._narrator.show()

    def _end_teller(self) -> None:
        self._has_reports.set()
        if self._teller.is_alive():
            self._teller.join()
