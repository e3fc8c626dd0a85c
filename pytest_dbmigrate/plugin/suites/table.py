"""Table of suites at the end of a run, and the line that announces each suite."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest

from pytest_dbmigrate.suites.plan import Plan, path_of

_ALWAYS = ("passed", "failed", "skipped")
_SOMETIMES = ("error", "xfailed", "xpassed", "rerun")
_TITLES = {"error": "errors", "rerun": "reruns"}
_COLOURS = {"passed": "green", "failed": "red", "error": "red"}


@dataclass
class Times:
    """The time at which each suite began, and that of its last report."""

    began: dict[str, float] = field(default_factory=dict)
    last: dict[str, float] = field(default_factory=dict)

    def begin(self, suite: str) -> None:
        """Note that a suite begins."""
        self.began[suite] = time.perf_counter()

    def heard(self, suite: str) -> None:
        """Note that a report of a suite has arrived."""
        self.last[suite] = time.perf_counter()

    def seconds(self, suite: str) -> float | None:
        """Return how long a suite took, None if it never ran."""
        if suite not in self.began or suite not in self.last:
            return None
        return self.last[suite] - self.began[suite]


@dataclass(frozen=True)
class Row:
    """One suite's line."""

    suite: str
    counts: Mapping[str, int]
    seconds: float | None
    databases: int


def rows(
    plan: Plan,
    stats: Mapping[str, Sequence[Any]],
    suite_of: Callable[[Any], str],
    times: Times,
    databases: Mapping[str, int],
) -> list[Row]:
    """Return a line for each suite, counted from what pytest's own summary counts."""
    counts = {name: Counter[str]() for name in plan.names}
    for category in (*_ALWAYS, *_SOMETIMES):
        for report in stats.get(category, ()):
            suite = _suite(report, plan, suite_of)
            if suite in counts:
                counts[suite][category] += 1
    return [
        Row(name, counts[name], times.seconds(name), databases.get(name, 0)) for name in plan.names
    ]


def _suite(report: Any, plan: Plan, suite_of: Callable[[Any], str]) -> str:
    node = getattr(report, "node", None)
    if node is not None:
        return suite_of(node)
    if report.nodeid.startswith("suite "):  # one that was given up
        return str(report.nodeid[len("suite ") :])
    owner = plan.suites.of_path(path_of(report.nodeid))
    return owner.name if owner else next(s.name for s in plan.suites.all if s.kind == "rest")


def announce(terminal: pytest.TerminalReporter, text: str) -> None:
    """Announce a suite, on a line between the files of the previous one and its own."""
    if terminal.currentfspath is not None:
        fill = getattr(terminal, "_write_progress_information_filling_space", None)
        if terminal.showfspath and fill is not None:
            fill()  # as pytest ends the line of a file
        terminal.ensure_newline()
        terminal.line("")
    if terminal.showfspath:  # each file's line begins with a line break
        terminal.write(text, bold=True)
    else:
        terminal.write_line(text, bold=True)


def write(terminal: Any, lines: list[Row]) -> None:
    """Write the table to pytest's reporter or a terminal writer, if any test has run.

    Except for the usual ones, empty columns are left out.
    """
    if not any(line.counts for line in lines):
        return
    columns = [
        *_ALWAYS,
        *(it for it in _SOMETIMES if any(line.counts.get(it) for line in lines)),
    ]
    width = max(5, *(len(line.suite) for line in lines))
    titles = [f"{_TITLES.get(it, it):>9}" for it in columns]
    separate = getattr(terminal, "write_sep", None) or terminal.sep
    separate("=", "suites")
    terminal.line(f"{'suite':{width}}{''.join(titles)}{'seconds':>9}{'databases':>11}")
    for line in lines:
        terminal.write(f"{line.suite:{width}}")
        for column in columns:
            number = line.counts.get(column, 0)
            colour = _COLOURS.get(column) if number else None
            terminal.write(f"{number:9}", **({colour: True} if colour else {}))
        seconds = "-" if line.seconds is None else f"{line.seconds:.2f}"
        terminal.line(f"{seconds:>9}{line.databases or '-':>11}")
