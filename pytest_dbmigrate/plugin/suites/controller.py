"""Controller of suites: starts a group of workers for each, and makes one run of them all."""

from __future__ import annotations

import contextlib
import gc
import marshal
import sys
from collections import Counter
from collections.abc import Generator
from types import SimpleNamespace
from typing import Any

import pytest

from pytest_dbmigrate.plugin.role import COVERAGE_VARIABLE, SUITE_VARIABLE
from pytest_dbmigrate.plugin.state import State
from pytest_dbmigrate.plugin.suites import table, worker, xdist_internals
from pytest_dbmigrate.plugin.suites.coverage import Measuring
from pytest_dbmigrate.plugin.suites.scheduler import SuiteScheduling
from pytest_dbmigrate.plugin.suites.xdist_internals import Engine
from pytest_dbmigrate.suites.plan import Plan
from pytest_dbmigrate.suites.turns import Turns

_RESTARTS = 4  # for each worker of a suite, as in xdist


class Controller:
    """The hooks of the process that runs no tests itself."""

    def __init__(self, state: State, plan: Plan, measured: Measuring | None) -> None:
        self._measured = measured
        self._config = state.config
        self._is_concurrent = state.settings.suites_mode == "concurrent"
        self._plan = plan
        self._turns = Turns(plan.names, None, self._is_concurrent)
        self._engine: Engine
        self._scheduling: SuiteScheduling | None = None
        self._numbers: dict[str, int] = {}
        self._started = Counter[str]()
        self._deaths = Counter[str]()
        self._has_told_deselected: set[str] = set()
        self._usage_error: tuple[str, ...] = ()
        self._exit: worker.Exit | None = None
        self._failures: dict[Any, Any] = {}
        self.times = table.Times()
        self.databases = Counter[str]()  # by suite

    @pytest.hookimpl(tryfirst=True)
    def pytest_configure(self, config: pytest.Config) -> None:
        """Set the first workers as `--tx`, before xdist reads it to make its session."""
        self._turns = Turns(self._plan.names, xdist_internals.at_once(config), self._is_concurrent)
        if config.option.dist == "no":
            config.option.dist = "load"
        config.option.tx = [
            f"popen//id={self._next_name(name)}//env:{SUITE_VARIABLE}={name}"
            for name in self._plan.names
            for _ in range(self._turns.at_start(name))
        ]
        config.add_cleanup(xdist_internals.import_no_warnings())

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionstart(self) -> None:
        """Freeze all objects so far for the garbage collector: no test runs in this process.

        pytest collects garbage twice at its end, which costs a tenth of a small run.
        """
        gc.freeze()

    def pytest_report_header(self) -> str:
        """Return the line with the names of the suites."""
        how = ", side by side" if self._is_concurrent else ""
        return f"suites: {', '.join(self._plan.names)}{how}"

    @pytest.hookimpl(optionalhook=True, tryfirst=True)
    def pytest_xdist_setupnodes(self, specs: list[Any]) -> None:
        """Replace xdist's handling of dead workers, and its status line while workers start."""
        if self._measured is not None:
            for spec in specs:
                spec.env[COVERAGE_VARIABLE] = self._measured.order()
        self._engine = Engine(self._config)
        one_by_one = self._turns.limit == 1
        self._engine.take_over(self._replace, self._status, one_by_one=one_by_one)

    @pytest.hookimpl(specname="pytest_xdist_setupnodes", optionalhook=True, trylast=True)
    def pytest_start_workers(self, specs: list[Any]) -> None:
        """Start the first workers, after other plugins have set the environment of each."""
        self._engine.start_together(specs)

    @pytest.hookimpl(tryfirst=True)
    def pytest_report_from_serializable(self, data: dict[str, Any]) -> None:
        """Unpack the report that a worker has sent as one piece, before other plugins read it."""
        piece = data.pop(worker.REPORT, None)
        if piece is not None:
            data.update(marshal.loads(piece))  # noqa: S302  # from a process of ours

    @pytest.hookimpl(optionalhook=True)
    def pytest_configure_node(self, node: Any) -> None:
        """Give each worker a number that is unique in the run, as in xdist: fixtures read it."""
        number = self._numbers.setdefault(node.gateway.id, len(self._numbers))
        node.workerinput["workerid"] = f"gw{number}"
        node.workerinput["workercount"] = self._turns.limit
        if self._config.option.maxfail:
            self._failures[node] = node.workerinput[worker.FAILURES] = node.gateway.newchannel()
        if getattr(self._config.option, "capture", "") == "no":
            channel = node.gateway.newchannel()
            channel.setcallback(_print)
            node.workerinput[worker.OUTPUT] = channel

    @pytest.hookimpl(optionalhook=True)
    def pytest_xdist_make_scheduler(self, config: pytest.Config, log: Any) -> SuiteScheduling:
        """Return the scheduler that knows suites."""
        self._scheduling = SuiteScheduling(config, self._engine, self._turns, log, self)
        self._engine.after_each_event(self._scheduling.begin_next)
        return self._scheduling

    @pytest.hookimpl(wrapper=True)
    def pytest_runtestloop(self, session: pytest.Session) -> Generator[None, object, object]:
        """End a run that was stopped as pytest ends it, with the same exit status."""
        try:
            with xdist_internals.interruption():
                return (yield)
        except xdist_internals.StopRun as stop:
            if self._usage_error:
                raise pytest.UsageError(*self._usage_error) from None
            if self._exit:
                if self._exit.is_exit:
                    pytest.exit(self._exit.said, returncode=self._exit.status)
                raise session.Interrupted(self._exit.said) from None
            if str(stop).startswith("stopping after") and session.testsfailed:
                session.shouldfail = str(stop)
                raise session.Failed(str(stop)) from None
            raise session.Interrupted(str(stop)) from None

    @pytest.hookimpl(optionalhook=True, tryfirst=True)
    def pytest_testnodedown(self, node: Any, error: object) -> None:
        """Stop the run if a worker ended because of a usage error, an exit or Ctrl-C."""
        output = getattr(node, "workeroutput", {})
        ending = worker.Ending.of(output)
        suite = self.suite_of(node)
        if ending.usage_error:
            self._usage_error = self._usage_error or ending.usage_error
            self._engine.stop("usage error")
        elif ending.exit:
            self._exit = self._exit or ending.exit
            output["exitstatus"] = int(pytest.ExitCode.TESTS_FAILED)  # 2 would be a crash to xdist
        elif error is None and not self._is_collected(suite) and not self._engine.is_stopping:
            status = output.get("exitstatus")
            self._engine.stop(
                f"suite {suite}: its worker ended before its tests were collected "
                f"(exit status {status})"
            )
        self._tell_deselected(suite, ending.deselected)

    @pytest.hookimpl(optionalhook=True, trylast=True)
    def pytest_handlecrashitem(self, report: pytest.TestReport) -> None:
        """Name the suite of a crashed test in JUnit's file, as its worker does for all others."""
        from _pytest.junitxml import xml_key

        xml = self._config.stash.get(xml_key, None)
        if xml is not None and report.failed:  # and not only to be rerun
            suite = self.suite_of(report.node)
            xml.node_reporter(report).add_property("suite", suite)

    @pytest.hookimpl(trylast=True)
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Count a report, and stop if pytest would: xdist ignores `-x` when a worker has died."""
        node = getattr(report, "node", None)
        if node is not None:
            suite = self.suite_of(node)
            self.times.heard(suite)
            self.databases[suite] += getattr(report, worker.DATABASES, 0)
        session = self._config.pluginmanager.getplugin("session")
        why = session.shouldfail or session.shouldstop
        if why:
            self._engine.stop(str(why))

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Write the table of suites."""
        rows = table.rows(
            self._plan, terminalreporter.stats, self.suite_of, self.times, self.databases
        )
        table.write(terminalreporter, rows)

    @pytest.hookimpl(trylast=True)
    def pytest_unconfigure(self) -> None:
        """Combine the coverage of all workers."""
        if self._measured is not None:
            self._measured.add_up()

    def suite_of(self, node: Any) -> str:
        """Return the name of a worker's suite."""
        return str(node.gateway.spec.env[SUITE_VARIABLE])

    def begins(self, suite: str, tests: int) -> None:
        """Note and announce that a suite's turn has come."""
        self.times.begin(suite)
        for node, channel in self._failures.items():
            if self.suite_of(node) == suite:
                with contextlib.suppress(OSError):  # the worker has just died
                    channel.send(self._config.pluginmanager.getplugin("session").testsfailed)
        terminal = self._config.pluginmanager.getplugin("terminalreporter")
        if terminal is not None and self._config.get_verbosity() >= 0 and tests:
            table.announce(terminal, f"suite {suite} ({_count(tests)})")

    def needs_workers(self, suite: str, number: int) -> None:
        """Start this many more workers for a suite."""
        like = next(it for it in self._engine.specs() if it.env[SUITE_VARIABLE] == suite)
        for _ in range(number):
            self._engine.start(like, self._next_name(suite))

    def _next_name(self, suite: str) -> str:
        number = self._started[suite]
        self._started[suite] += 1
        return suite if self._turns.share(suite) == 1 and not number else f"{suite}-{number}"

    def _is_collected(self, suite: str) -> bool:
        return self._scheduling is not None and self._scheduling.groups[suite].is_collected

    def _replace(self, node: Any) -> None:
        """Start another worker in place of a dead one, if its suite still needs it."""
        suite = self.suite_of(node)
        assert self._scheduling is not None
        group = self._scheduling.groups[suite]
        self._deaths[suite] += 1
        if self._engine.must_not_replace or group.is_drained:
            return
        if self._deaths[suite] > (self._restarts(suite) if group.tests is not None else 1):
            self._give_up(suite)
            return
        self._engine.start(node.gateway.spec, self._next_name(suite))

    def _restarts(self, suite: str) -> int:
        given = self._config.option.maxworkerrestart
        return _RESTARTS * self._turns.share(suite) if given is None else int(given)

    def _give_up(self, suite: str) -> None:
        assert self._scheduling is not None
        group = self._scheduling.groups[suite]
        group.is_given_up = True
        when = "" if group.tests is not None else " before its tests were collected"
        times = f"{self._deaths[suite]} times" if self._deaths[suite] > 1 else "once"
        report = pytest.CollectReport(
            nodeid=f"suite {suite}",
            outcome="failed",
            longrepr=f"suite {suite} was given up: its worker died {times}{when}",
            result=[],
        )
        self._config.hook.pytest_collectreport(report=report)

    def _tell_deselected(self, suite: str, number: int) -> None:
        """Count the deselected tests, once: each worker of a suite deselects the same."""
        terminal = self._config.pluginmanager.getplugin("terminalreporter")
        if not number or suite in self._has_told_deselected or terminal is None:
            return
        self._has_told_deselected.add(suite)
        # pytest counts the entries, and other plugins read their attributes
        terminal.stats.setdefault("deselected", []).extend([SimpleNamespace()] * number)

    def _status(self) -> str:
        scheduling = self._scheduling
        if scheduling is None or not scheduling.collection_is_completed:
            return f"collecting {len(self._plan.names)} suites ..."
        counts = {name: len(it.tests or ()) for name, it in scheduling.groups.items()}
        each = ", ".join(f"{name} {number}" for name, number in counts.items())
        return f"collected {_count(sum(counts.values()), 'item')}: {each}"


def _count(number: int, noun: str = "test") -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _print(text: str) -> None:
    sys.stdout.write(text)
    sys.stdout.flush()
