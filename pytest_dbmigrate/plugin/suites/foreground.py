"""Suites in the foreground: one after another, as ordinary runs that have this terminal.

For `--pdb`, `-n0` and wherever else workers cannot serve.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from pytest_dbmigrate.plugin.role import (
    COVERAGE_VARIABLE,
    FOREGROUND_VARIABLE,
    RUN_VARIABLE,
    SUITE_VARIABLE,
    ForegroundOrder,
)
from pytest_dbmigrate.plugin.state import State
from pytest_dbmigrate.plugin.suites import table
from pytest_dbmigrate.plugin.suites.coverage import Measuring
from pytest_dbmigrate.plugin.suites.foreground_child import SuiteReport
from pytest_dbmigrate.suites.plan import Plan

_OPTIONS = {
    "usepdb": "--pdb",
    "trace": "--trace",
    "collectonly": "--collect-only",
    "setuponly": "--setup-only",
    "setupshow": "--setup-show",
    "setupplan": "--setup-plan",
}
_RUN_NOTHING = ("collectonly", "setupplan")
_PYTEST = "import sys; sys.path[:] = {path!r}; import pytest; sys.exit(pytest.main())"
_ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_SERIOUS = (
    pytest.ExitCode.INTERRUPTED,
    pytest.ExitCode.INTERNAL_ERROR,
    pytest.ExitCode.USAGE_ERROR,
)


def reason(config: pytest.Config) -> str | None:
    """Return the option that workers cannot serve, or None."""
    namespace = config.known_args_namespace
    given = next((text for it, text in _OPTIONS.items() if getattr(namespace, it, False)), None)
    if given is None and getattr(namespace, "numprocesses", None) == 0:
        given = "-n0"
    return None if given is None else f"{given} was given"


class Foreground:
    """Runs each suite in a child process that has this terminal, and adds up the results."""

    def __init__(self, state: State, plan: Plan, why: str, measured: Measuring | None) -> None:
        self._measured = measured
        self._state = state
        self._plan = plan
        self._why = why
        self._failed = 0
        self._begun_with: tuple[str, ...] = ()
        self._heard: list[int] = []  # signals
        # the children measure; pytest-cov in this process would erase their data first
        state.config.known_args_namespace.cov_source = []

    @pytest.hookimpl(tryfirst=True)
    def pytest_cmdline_main(self, config: pytest.Config) -> int:
        """Run all suites, and return their combined exit status."""
        _need_junitparser(config)
        if self._state.hooks.places("pytest_dbmigrate_server") and not self._state.is_inert:
            self._state.settle_server()
        capture = config.pluginmanager.getplugin("capturemanager")
        if capture is not None:
            capture.suspend_global_capture(in_=True)  # a debugger reads from the terminal
        from _pytest.config import create_terminal_writer

        terminal = create_terminal_writer(config)
        terminal.line(
            f"dbmigrate: suites {', '.join(self._plan.names)} run one after another in the "
            f"foreground: {self._why}"
        )
        with tempfile.TemporaryDirectory(prefix="dbm-suites-") as name:
            folder = Path(name)
            statuses = self._run_all(config, folder, terminal)
            _merge_junit(config, folder)
            if not any(getattr(config.option, it, False) for it in _RUN_NOTHING):
                terminal.line("")
                table.write(terminal, _rows(self._plan, folder))
        if self._measured is not None:
            self._measured.add_up()
        for number in self._heard:
            if number != signal.SIGINT:
                os.kill(os.getpid(), number)  # die of the signal, as is expected
        return combined([*statuses, *(pytest.ExitCode.INTERRUPTED for _ in self._heard)])

    def _run_all(self, config: pytest.Config, folder: Path, terminal: Any) -> list[int]:
        statuses: list[int] = []
        for name in self._plan.names:
            if self._heard or _is_enough(config, statuses, self._failed):
                break
            terminal.line("")
            terminal.sep("=", f"suite {name}", bold=True)
            terminal.flush()
            statuses.append(self._run(config, folder, name))
            report = SuiteReport.read(folder, name)
            died = "" if self._heard else _death(statuses[-1], report)
            if died:
                terminal.line("")
                terminal.line(f"suite {name}: its process {died}", red=True)
                statuses[-1] = pytest.ExitCode.TESTS_FAILED
            self._failed += report.failed if report else bool(died)
            self._begun_with = self._begun_with or (report.begun_with if report else ())
        return statuses

    def _run(self, config: pytest.Config, folder: Path, name: str) -> int:
        """Return the exit status of one suite's run, negative for a signal."""
        maxfail = getattr(config.option, "maxfail", 0) or 0
        order = ForegroundOrder(
            str(folder),
            self._plan.names.index(name),
            is_last=name == self._plan.names[-1],
            maxfail=max(1, maxfail - self._failed) if maxfail else 0,
            begun_with=self._begun_with,
        )
        environ = {
            **os.environ,
            SUITE_VARIABLE: name,
            RUN_VARIABLE: str(self._state.run().folder),
            FOREGROUND_VARIABLE: order.as_text(),
        }
        if self._measured is not None:
            environ[COVERAGE_VARIABLE] = self._measured.order()
        command = [sys.executable, "-c", _PYTEST.format(path=sys.path)]
        command += [str(it) for it in config.invocation_params.args]
        process = subprocess.Popen(command, env=environ)
        with _forwarding_signals(process, self._heard):
            return process.wait()


def combined(statuses: list[int]) -> int:
    """Return the one exit status of several runs: 5 only if there was no test in any of them."""
    for status in _SERIOUS:
        if status in statuses:
            return int(status)
    some = [it for it in statuses if it != pytest.ExitCode.NO_TESTS_COLLECTED]
    if not some:
        return int(pytest.ExitCode.NO_TESTS_COLLECTED)
    known = [it for it in some if it > pytest.ExitCode.NO_TESTS_COLLECTED]  # pytest.exit()
    return known[0] if known else int(any(some))


def _death(status: int, report: SuiteReport | None) -> str:
    """Return how a process has ended that could not tell what came of its tests."""
    if status < 0:
        return f"was ended by {signal.Signals(-status).name}"
    if report is None and status in (pytest.ExitCode.OK, pytest.ExitCode.INTERNAL_ERROR):
        return f"ended in the middle of its tests (exit status {status})"
    return ""


def _is_enough(config: pytest.Config, statuses: list[int], failed: int) -> bool:
    """Whether a single process would have stopped by now."""
    maxfail = getattr(config.option, "maxfail", 0) or 0
    last = statuses[-1] if statuses else 0
    return last in _SERIOUS or last > pytest.ExitCode.NO_TESTS_COLLECTED or 0 < maxfail <= failed


def _rows(plan: Plan, folder: Path) -> list[table.Row]:
    reports = {name: SuiteReport.read(folder, name) for name in plan.names}
    return [
        table.Row(name, it.counts, it.seconds, it.databases) if it else table.Row(name, {}, None, 0)
        for name, it in reports.items()
    ]


def _need_junitparser(config: pytest.Config) -> None:
    """Raise `pytest.UsageError` before any test runs if JUnit's files could not be merged."""
    if getattr(config.option, "xmlpath", None) and find_spec("junitparser") is None:
        raise pytest.UsageError(
            "dbmigrate: --junitxml of suites in the foreground needs junitparser: "
            "pip install 'pytest-dbmigrate[xdist]'"
        )


def _merge_junit(config: pytest.Config, folder: Path) -> None:
    """Write JUnit's file, with the test suites of all the files that the children wrote."""
    path = getattr(config.option, "xmlpath", None)
    if not path:
        return
    from junitparser import JUnitXml

    merged = JUnitXml("pytest tests")
    for file in sorted(folder.glob("*.xml"), key=lambda it: it.stat().st_mtime):
        for suite in JUnitXml.fromfile(str(file)):
            # `append` keeps the suite's own time
            merged.append(suite)  # type: ignore[no-untyped-call]
    target = Path(os.path.expandvars(path)).expanduser()
    target.parent.mkdir(parents=True, exist_ok=True)
    merged.write(str(target))


@contextlib.contextmanager
def _forwarding_signals(process: subprocess.Popen[bytes], heard: list[int]) -> Iterator[None]:
    """Note the signals that end a run, and forward them to the child, but for SIGINT.

    At Ctrl-C the terminal sends SIGINT to the child as well; a second one would cut its end short.
    """

    def hear(number: int, _frame: object) -> None:
        heard.append(number)
        if number != signal.SIGINT:
            process.send_signal(number)

    before = {number: signal.signal(number, hear) for number in _ENDING}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
