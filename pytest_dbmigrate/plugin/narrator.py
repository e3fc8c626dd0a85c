"""Narrator: progress and summary of a run on the terminal, in the words that the user reads.

It follows the run's journal, whichever process wrote it; under pytest-xdist it is the controller's.
"""

from __future__ import annotations

import contextlib
import shutil
import time
from typing import TYPE_CHECKING, Any

import pytest

from pytest_dbmigrate.errors import DbmigrateError
from pytest_dbmigrate.runs import notes
from pytest_dbmigrate.runs.notes import Note

if TYPE_CHECKING:
    from pytest_dbmigrate.runs.run import Run

_NAME = "dbmigrate"
_PLAIN_EVERY = 5.0  # seconds between two lines of progress in a log


class Narrator:
    """Tells the notes of a run's journal, each once, and keeps what belongs in the summary."""

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
        self._differences: tuple[str, ...] = ()
        self._leaks: list[notes.ConnectionsLeaked] = []
        self._kept: list[str] = []
        self._stale: notes.BaselineStale | None = None
        self._unwritten = "no test of this run has asked for the database" if accepts else ""

    def follow(self, run: Run, *, only_what_is_new: bool = False) -> None:
        """Begin to tell the journal of a run."""
        self._run = run
        if only_what_is_new:
            _, self._offset = run.journal.read()
        run.journal.listen(self.show)

    def show(self) -> None:
        """Tell what has been noted since the last call."""
        has_terminal = self._config.pluginmanager.hasplugin("terminalreporter")
        if self._run is None or not self._shows or not has_terminal:
            return  # what is noted before there is a terminal is told later
        unread, self._offset = self._run.journal.read(self._offset)
        for note in unread:
            self._tell(note)

    def summarize(self, terminal: pytest.TerminalReporter) -> None:
        """Write the section that explains why there was no database, leaks, kept databases."""
        self.show()
        if self._failure is not None:
            self._explain(self._failure, terminal)
        if self._differences:
            terminal.write_sep("=", f"{_NAME}: the schema differs from the models", yellow=True)
            _write_lines(terminal, [f"- {sentence}" for sentence in self._differences])
        if self._stale is not None:
            title = f"{_NAME}: the baseline names differences that no longer occur"
            terminal.write_sep("=", title, yellow=True)
            remove = f"remove them from {self._stale.path}, or run once with --db-accept-drift"
            _write_lines(terminal, [*(f"- {line}" for line in self._stale.lines), remove])
        if self._unwritten:
            terminal.write_sep("=", f"{_NAME}: the baseline was not written", yellow=True)
            terminal.write_line(self._unwritten)
        if self._leaks:
            terminal.write_sep("=", f"{_NAME}: connections left open", yellow=True)
            for leak in self._leaks:
                _write_lines(terminal, [leak.test, *(f"  {it}" for it in leak.connections)])
        if self._kept:
            terminal.write_sep("=", f"{_NAME}: kept databases")
            _write_lines(
                terminal, [*self._kept, "remove them with: python -m pytest_dbmigrate stop"]
            )

    def _explain(self, failure: DbmigrateError, terminal: pytest.TerminalReporter) -> None:
        terminal.write_sep("=", f"{_NAME}: no database", red=True, bold=True)
        first, *rest = failure.lines()
        terminal.write_line(first, red=True, bold=True)
        _write_lines(terminal, rest)

    def _tell(self, note: Note) -> None:  # noqa: C901, PLR0912  # one case for each kind of note
        match note:
            case notes.ChoosingServer():
                self._update("looking for a server ...")
            case notes.StartingServer(kind_of_server):
                self._update(f"starting a server ({kind_of_server}) ...")
            case notes.ServerReady():
                why = f"; {note.reason}" if note.reason else ""
                self._line(f"{note.server}, ready in {note.seconds:.2f} s{why}")
            case notes.WaitingForBuilder(holder):
                self._line(f"waiting for {holder}, which applies migrations ...")
            case notes.MigrationsBegun():
                self._total = self._done = 0
                self._update("reading the migrations ...")
            case notes.UpgradePlanned(environment, total):
                self._total += total
                if environment and total:
                    self._detail(f"environment {environment}")
            case notes.StepPrepared(step, seconds):
                self._detail(f"before: {step} ({seconds * 1000:.0f} ms)")
            case notes.RevisionStarted(revision):
                self._tell_progress(revision)
            case notes.RevisionDone(revision, seconds):
                self._done += 1
                place = f"{self._done:{len(str(self._total))}}/{self._total}"
                self._detail(f"{place} {revision} ({seconds * 1000:.0f} ms)")
            case notes.MigrationsPrinted(output):
                self._tell_output(output)
            case notes.ClusterChanged():
                self._tell_cluster(note)
            case notes.TemplateReady():
                self._differences = note.differences
                self._unwritten = self._unwritten and note.unchecked
                self._line(f"{_origin(note)}; {_comparison(note)}")
            case notes.BaselineStale():
                self._stale = note
            case notes.BaselineWritten(summary):
                self._line(summary, bold=True)
            case notes.DatabaseFailed(error):
                self._tell_failure(error)
            case notes.ConnectionsLeaked():
                self._leaks.append(note)
            case notes.DatabaseKept(command):
                if command not in self._kept:  # each failed subtest of a test names the same one
                    self._kept.append(command)
            case _:
                raise TypeError(f"the narrator has no words for {note!r}")

    def _tell_progress(self, revision: str) -> None:
        text = f"revision {self._done + 1} of {self._total}: {revision}"
        if self._update(text):
            return
        now = time.monotonic()
        self._told_at = self._told_at or now
        if now - self._told_at > _PLAIN_EVERY:  # a log that cannot be rewritten
            self._told_at = now
            self._line(text)

    def _tell_output(self, output: str) -> None:
        if self._config.get_verbosity() > 1:
            lines = [f"  {line}".rstrip() for line in output.strip("\n").splitlines()]
            self._line("\n".join(["env.py and the migrations printed:", *lines]))

    def _tell_cluster(self, note: notes.ClusterChanged) -> None:
        what = "server-wide objects made by the migrations"
        if not note.is_sure:
            what = "server-wide objects new since the migrations began"
        self._line(f"{what}: {', '.join(note.things)}")
        if note.stays:
            page = "docs/reference/migrations.md (Roles)"
            self._line(f"they stay when the run ends: guard them, see {page}")

    def _tell_failure(self, error: DbmigrateError) -> None:
        if self._failure is None:  # the first one explains those that follow from it
            self._failure = error
            self._unwritten = self._unwritten and "there was no database"
            self._line(f"{error.what} (explained at the end)", red=True)

    def _detail(self, text: str) -> None:
        """Write a line that only -v asks for."""
        if self._config.get_verbosity() > 0:
            self._line(text)

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


def _origin(note: notes.TemplateReady) -> str:
    """Return in words how the template was made, or found."""
    count = "1 revision" if note.revisions == 1 else f"{note.revisions} revisions"
    if note.how == "unchanged":
        return f"unchanged: {count}"
    if note.how == "resumed":
        after = f" ({note.unfinished})" if note.unfinished else ""
        now = f"{note.applied} of {note.revisions} applied now"
        return f"resumed: {now}{after} in {note.seconds:.2f} s"
    why = f"{note.reason}; " if note.reason else ""
    return f"{note.how}: {why}{count} applied in {note.seconds:.2f} s"


def _comparison(note: notes.TemplateReady) -> str:
    """Return in words what the comparison with the models has found."""
    if note.unchecked:
        return f"not compared with the models: {note.unchecked}"
    return _differences(note) + (f" (not compared: {note.partly})" if note.partly else "")


def _differences(note: notes.TemplateReady) -> str:
    total = note.accepted + len(note.differences)
    if not total:
        return "the schema matches the models"
    count = f"{total} {'difference' if total == 1 else 'differences'} to the models"
    if not note.has_baseline:
        return count
    if total == 1:
        return f"{count}, {'' if note.accepted else 'not '}in the baseline"
    how_many = "all" if note.accepted == total else f"{note.accepted or 'none'} of them"
    return f"{count}, {how_many} in the baseline"


def _write_lines(terminal: pytest.TerminalReporter, lines: list[str]) -> None:
    for line in lines:
        terminal.write_line(line)
