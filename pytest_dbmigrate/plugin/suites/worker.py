"""Worker of one suite: sends the controller what xdist's protocol leaves out."""

from __future__ import annotations

import contextlib
import marshal
import os
import sys
import threading
from collections.abc import Generator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import pytest

from pytest_dbmigrate.plugin.state import State

OUTPUT = "dbmigrate_output"  # in xdist's workerinput: where standard output goes with -s
FAILURES = "dbmigrate_failures"  # there too: the channel for the number of earlier failures
REPORT = "dbmigrate_report"  # the only key of what xdist sends: a whole report
ENDING = "dbmigrate_ending"  # in xdist's workeroutput: the `Ending`, as its record
DATABASES = "dbmigrate_databases"  # in a report: how many were taken since the one before
_PLAIN_IN_REPORTS = {"nodeid", "location", "keywords", "outcome", "longrepr", "when", "sections"}
_PLAIN = (bool, int, float, complex, str, bytes)  # what execnet can carry, besides None


@dataclass(frozen=True)
class Exit:
    """Why a worker was stopped: by `pytest.exit()` if `is_exit`, else by Ctrl-C."""

    is_exit: bool
    said: str
    status: int | None


@dataclass
class Ending:
    """How a worker has ended, which xdist does not tell its controller."""

    deselected: int = 0
    usage_error: tuple[str, ...] = ()
    exit: Exit | None = None

    @classmethod
    def of(cls, output: Mapping[str, Any]) -> Ending:
        """Return the ending in xdist's workeroutput; that of a worker that died is empty."""
        record = output.get(ENDING)
        if record is None:
            return cls()
        stopped = record["exit"]
        return cls(
            record["deselected"], tuple(record["usage_error"]), Exit(**stopped) if stopped else None
        )


class Worker:
    """The hooks of a suite's worker."""

    def __init__(self, state: State, suite: str) -> None:
        self._state = state
        self._suite = suite
        self._ending = Ending()
        self._session: pytest.Session | None = None
        self._reported_databases = 0

    @staticmethod
    def keep_coverage(config: pytest.Config) -> None:
        """Make pytest-cov add to the data of finished workers, not erase it."""
        config.known_args_namespace.cov_append = True

    @pytest.hookimpl(tryfirst=True)
    def pytest_configure(self, config: pytest.Config) -> None:
        """Send the tests' output to the controller with -s, and explain a `breakpoint()`."""
        channel = config.workerinput.get(OUTPUT)  # type: ignore[attr-defined]  # xdist's
        if channel is not None:
            _forward_output(channel)
        if not os.environ.get("PYTHONBREAKPOINT"):
            sys.breakpointhook = self._explain_breakpoint

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionstart(self, session: pytest.Session) -> None:
        """Prepare the session, before other plugins do."""
        self._session = session
        _count_earlier_failures(session)
        _save_coverage(session.config)
        terminal = session.config.pluginmanager.getplugin("terminalreporter")
        if terminal is not None and OUTPUT in session.config.workerinput:  # type: ignore[attr-defined]
            terminal._tw._file = open(os.devnull, "w", encoding="utf-8")  # noqa: SLF001, SIM115

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_collection(self) -> Generator[None, object, object]:
        """Remember a usage error, which xdist would take for a worker without tests."""
        try:
            return (yield)
        except pytest.UsageError as error:
            self._ending.usage_error = tuple(str(it) for it in error.args)
            raise

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_report_to_serializable(self) -> Generator[None, Any, Any]:
        """Send a report as one piece; values that no message can carry, such as a Decimal, as text.

        execnet would write it value by value, which takes as long as a small test.
        """
        data = yield
        for name in data.keys() - _PLAIN_IN_REPORTS:
            data[name] = _plain(data[name])
        try:
            return {REPORT: marshal.dumps(data)}
        except ValueError:  # a kind of text of the project's own, in a name or a reason
            return {REPORT: marshal.dumps(_plain(data))}

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(self) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        """Add to each report the number of databases taken since the previous one.

        A total at the end would be lost if the worker dies, or is stopped by `-x`.
        """
        report = yield
        taken = self._state.session().taken if self._state.has_session else 0
        if taken > self._reported_databases:
            setattr(report, DATABASES, taken - self._reported_databases)
            self._reported_databases = taken
        return report

    def pytest_deselected(self, items: list[pytest.Item]) -> None:
        """Count deselected tests, which xdist does not report to the controller."""
        self._ending.deselected += len(items)

    def pytest_keyboard_interrupt(self, excinfo: pytest.ExceptionInfo[BaseException]) -> None:
        """Record `pytest.exit()` or Ctrl-C, so that it is not taken for a crash."""
        is_exit = isinstance(excinfo.value, pytest.exit.Exception)
        said = str(excinfo.value) if is_exit else f"KeyboardInterrupt in suite {self._suite}"
        self._ending.exit = Exit(is_exit, said, getattr(excinfo.value, "returncode", None))
        if self._session is not None:
            self._session.shouldstop = said

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Send the controller how this worker ended."""
        session.config.workeroutput[ENDING] = asdict(self._ending)  # type: ignore[attr-defined]  # xdist's

    def _explain_breakpoint(self, *_arguments: Any, **_named: Any) -> None:
        __tracebackhide__ = True
        pytest.fail(
            f"breakpoint() in a worker of suite {self._suite}, which has no terminal: "
            f"say --pdb, or --db-suite={self._suite} to run it in the foreground"
        )


def _plain(value: Any) -> Any:
    """Return the value with everything in it that is not of a plain type as text."""
    kind = type(value)
    if value is None or kind in _PLAIN:
        return value
    if kind in (list, tuple, set, frozenset):
        return kind(map(_plain, value))
    if isinstance(value, dict):
        return {_plain(key): _plain(it) for key, it in value.items()}
    return str(value)


def _count_earlier_failures(session: pytest.Session) -> None:
    """Make `-x` and `--maxfail` count the failures of earlier suites, too."""

    def add(number: int) -> None:
        session.testsfailed += number

    channel = session.config.workerinput.get(FAILURES)  # type: ignore[attr-defined]  # xdist's
    if channel is not None:
        channel.setcallback(add)


def _save_coverage(config: pytest.Config) -> None:
    """Save what pytest-cov has measured while conftest files were imported.

    In a worker it starts over when the session starts, and would lose that.
    """
    coverage = config.pluginmanager.getplugin("_cov")
    measuring = getattr(getattr(coverage, "cov_controller", None), "cov", None)
    if measuring is not None and not getattr(config.option, "no_cov", False):
        measuring.stop()
        measuring.save()


def _forward_output(channel: Any) -> None:
    """Send what is written to standard output from now on; xdist's workers have none."""
    # Descriptor 1 becomes the end of a pipe, so output of subprocesses is sent, too.
    reading, writing = os.pipe()
    os.dup2(writing, 1)
    os.close(writing)

    def forward() -> None:
        with contextlib.suppress(OSError):  # the controller is gone
            while data := os.read(reading, 65536):
                channel.send(data.decode(errors="replace"))

    threading.Thread(target=forward, daemon=True).start()
