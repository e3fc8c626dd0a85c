"""What the user reads: the header, the progress, and the summary of what went wrong."""

from __future__ import annotations

import contextlib
import shutil
import time
from typing import TYPE_CHECKING, Any

import pytest

from pytest_dbmigrate.errors import DbmigrateError, from_record

if TYPE_CHECKING:
    from pytest_dbmigrate.runs.run import Run

_NAME = "dbmigrate"
_PLAIN_EVERY = 5.0  # seconds between two lines of progress in a log


class Narrator:
    """Tells the run's journal on the terminal, as it is written by any process of the run."""

    def __init__(
        self, config: pytest.Config, *, shows: bool, is_captured: bool, accepts: bool = False
    ) -> None:
        """`is_captured` tells whether this process captures the output of tests.

        `accepts` tells whether the run is to write the baseline.
        """
        self._config = config
        self._shows = shows
        self._is_captured = is_captured
        self._run: Run | None = None
        self._offset = 0
        self._total = self._done = 0
        self._told_at = 0.0
        self._is_updating = False
        self._failure: DbmigrateError | None = None
        self._differences: list[str] = []
        self._leaks: list[dict[str, Any]] = []
        self._kept: list[str] = []
        self._gone: dict[str, Any] | None = None
        self._unwritten = "no test of this run has asked for the database" if accepts else ""

    def follow(self, run: Run, *, only_what_is_new: bool = False) -> None:
        """Begin to tell the journal of a run."""
        self._run = run
        if only_what_is_new:
            _, self._offset = run.notes()
        run.listen(self.show)

    def show(self) -> None:
        """Tell what has been noted since the last call."""
        has_terminal = self._config.pluginmanager.hasplugin("terminalreporter")
        if self._run is None or not self._shows or not has_terminal:
            return  # what is noted before there is a terminal is told later
        notes, self._offset = self._run.notes(self._offset)
        for note in notes:
            tell = getattr(self, "_tell_" + note["kind"], None)
            if tell is not None:
                tell(note)

    def summarize(self, terminal: pytest.TerminalReporter) -> None:
        """Write the section that explains why there was no database, leaks, kept databases."""
        self.show()
        if self._failure is not None:
            self._explain(self._failure, terminal)
        if self._differences:
            terminal.write_sep("=", f"{_NAME}: the schema differs from the models", yellow=True)
            _write_lines(terminal, [f"- {sentence}" for sentence in self._differences])
        if self._gone is not None:
            title = f"{_NAME}: the baseline names differences that no longer occur"
            terminal.write_sep("=", title, yellow=True)
            remove = f"remove them from {self._gone['path']}, or run once with --db-accept-drift"
            _write_lines(terminal, [*(f"- {it}" for it in self._gone["lines"]), remove])
        if self._unwritten:
            terminal.write_sep("=", f"{_NAME}: the baseline was not written", yellow=True)
            terminal.write_line(self._unwritten)
        if self._leaks:
            terminal.write_sep("=", f"{_NAME}: connections left open", yellow=True)
            for leak in self._leaks:
                _write_lines(terminal, [leak["test"], *(f"  {it}" for it in leak["connections"])])
        if self._kept:
            terminal.write_sep("=", f"{_NAME}: kept databases")
            _write_lines(terminal, [*self._kept, "end them: python -m pytest_dbmigrate stop"])

    def _explain(self, failure: DbmigrateError, terminal: pytest.TerminalReporter) -> None:
        terminal.write_sep("=", f"{_NAME}: no database", red=True, bold=True)
        first, *rest = failure.lines()
        terminal.write_line(first, red=True, bold=True)
        _write_lines(terminal, rest)

    def _tell_choosing(self, _note: dict[str, Any]) -> None:
        self._update("looking for a server ...")

    def _tell_starting(self, note: dict[str, Any]) -> None:
        self._update(f"starting a server ({note['kind_of_server']}) ...")

    def _tell_server(self, note: dict[str, Any]) -> None:
        why = f"; {note['reason']}" if note["reason"] else ""
        self._line(f"{note['server']}, ready in {note['seconds']:.2f} s{why}")

    def _tell_migrating(self, _note: dict[str, Any]) -> None:
        self._total = self._done = 0
        self._update("reading the migrations ...")

    def _tell_plan(self, note: dict[str, Any]) -> None:
        self._total += note["total"]
        if note["environment"] and note["total"] and self._config.get_verbosity() > 0:
            self._line(f"environment {note['environment']}")

    def _tell_started(self, note: dict[str, Any]) -> None:
        text = f"revision {self._done + 1} of {self._total}: {note['revision']}"
        if self._update(text):
            return
        now = time.monotonic()
        self._told_at = self._told_at or now
        if now - self._told_at > _PLAIN_EVERY:  # a log that cannot be rewritten
            self._told_at = now
            self._line(text)

    def _tell_prepared(self, note: dict[str, Any]) -> None:
        if self._config.get_verbosity() > 0:
            self._line(f"before: {note['revision']} ({note['seconds'] * 1000:.0f} ms)")

    def _tell_done(self, note: dict[str, Any]) -> None:
        self._done += 1
        if self._config.get_verbosity() > 0:
            width = len(str(self._total))
            self._line(
                f"{self._done:{width}}/{self._total} {note['revision']} "
                f"({note['seconds'] * 1000:.0f} ms)"
            )

    def _tell_waiting(self, note: dict[str, Any]) -> None:
        self._line(f"waiting for {note['holder']}, which applies migrations ...")

    def _tell_printed(self, note: dict[str, Any]) -> None:
        if self._config.get_verbosity() > 1:
            lines = [f"  {line}".rstrip() for line in note["output"].strip("\n").splitlines()]
            self._line("\n".join(["env.py and the migrations printed:", *lines]))

    def _tell_cluster(self, note: dict[str, Any]) -> None:
        who = "the migrations made, for the whole server"
        if not note["is_sure"]:
            who = "new on the whole server since the migrations began"
        self._line(f"{who}: {', '.join(note['things'])}")
        if note["stays"]:
            page = "docs/reference/migrations.md (Roles)"
            self._line(f"it stays when the run ends: guard it, see {page}")

    def _tell_checked(self, note: dict[str, Any]) -> None:
        self._differences = note["differences"]
        self._unwritten = self._unwritten and note["unchecked"]
        self._line(f"{_came_to_be(note)}; {_compared(note)}")

    def _tell_gone(self, note: dict[str, Any]) -> None:
        self._gone = note

    def _tell_accepted(self, note: dict[str, Any]) -> None:
        self._line(note["line"], bold=True)

    def _tell_failed(self, note: dict[str, Any]) -> None:
        if self._failure is None:
            self._failure = from_record(note["error"])
            self._unwritten = self._unwritten and "there was no database"
            self._line(f"{self._failure.what} (explained at the end)", red=True)

    def _tell_leaked(self, note: dict[str, Any]) -> None:
        self._leaks.append(note)

    def _tell_kept(self, note: dict[str, Any]) -> None:
        if note["line"] not in self._kept:  # each failed subtest of a test names the same one
            self._kept.append(note["line"])

    def _line(self, text: str, **markup: bool) -> None:
        """Write a line that stays; with -q, only one that stands out."""
        with self._terminal() as terminal:
            if terminal is None or (terminal.verbosity < 0 and not markup):
                return
            if self._is_updating:
                terminal.rewrite("", erase=True)
                terminal.write("\r")
                self._is_updating = False
            elif terminal.currentfspath is None and terminal._tw.width_of_current_line:  # noqa: SLF001
                terminal.line("")  # under xdist: points of tests, which belong to no file's line
            terminal.ensure_newline()
            terminal.write_line(f"{_NAME}: {text}", **markup)

    def _update(self, text: str) -> bool:
        """Write a line that the next one replaces; return False where none can be replaced."""
        with self._terminal() as terminal:
            if terminal is None or not terminal.isatty or terminal.verbosity < 0:
                return False
            if not self._is_updating:
                terminal.ensure_newline()
            self._is_updating = True
            width = max(20, (shutil.get_terminal_size().columns or 80) - 1)
            terminal.rewrite(f"{_NAME}: {text}"[:width], erase=True)
            return True

    @contextlib.contextmanager
    def _terminal(self) -> Any:
        """Yield the terminal reporter outside of pytest's capture, or None without one."""
        manager = self._config.pluginmanager
        terminal = manager.getplugin("terminalreporter")
        capture = manager.getplugin("capturemanager")
        if capture is None or not self._is_captured:
            yield terminal
            return
        with capture.global_and_fixture_disabled():
            yield terminal


def _came_to_be(note: dict[str, Any]) -> str:
    """Return in words how the template was made, or found."""
    count = "1 revision" if note["revisions"] == 1 else f"{note['revisions']} revisions"
    if note["how"] == "unchanged":
        return f"unchanged: {count}"
    if note["how"] == "resumed":
        after = f" ({note['unfinished']})" if note["unfinished"] else ""
        now = f"{note['applied']} of {note['revisions']} applied now"
        return f"resumed: {now}{after} in {note['seconds']:.2f} s"
    why = f"{note['reason']}; " if note["reason"] else ""
    return f"{note['how']}: {why}{count} applied in {note['seconds']:.2f} s"


def _compared(note: dict[str, Any]) -> str:
    """Return in words what the comparison with the models has found."""
    if note["unchecked"]:
        return f"not compared with the models: {note['unchecked']}"
    return _found(note) + (f" (not compared: {note['partly']})" if note["partly"] else "")


def _found(note: dict[str, Any]) -> str:
    accepted = note["accepted"]
    total = accepted + len(note["differences"])
    if not total:
        return "the schema matches the models"
    said = f"{total} {'difference' if total == 1 else 'differences'} to the models"
    if not note["has_baseline"]:
        return said
    if total == 1:
        return f"{said}, {'' if accepted else 'not '}in the baseline"
    how_many = "all" if accepted == total else f"{accepted or 'none'} of them"
    return f"{said}, {how_many} in the baseline"


def _write_lines(terminal: pytest.TerminalReporter, lines: list[str]) -> None:
    for line in lines:
        terminal.write_line(line)
