"""Actions `--db-status` and `--db-stop`: they show or end what is kept, and run no test."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from pytest_dbmigrate.errors import DbmigrateError
from pytest_dbmigrate.plugin.state import STATE, State

if TYPE_CHECKING:
    from pytest_dbmigrate.status import Line

_COLOURS = {"done": "green", "failed": "red", "stuck": "red", "started": "yellow", "pending": ""}


def act(action: str, config: pytest.Config) -> int:
    """Run the action, and return the exit status. Raises `pytest.UsageError`."""
    from _pytest.config import create_terminal_writer

    terminal = create_terminal_writer(config)
    try:
        (_stop if action == "stop" else _show)(config.stash[STATE], terminal)
    except DbmigrateError as error:
        raise pytest.UsageError(f"dbmigrate: {error}") from None
    return int(pytest.ExitCode.OK)


def _stop(state: State, terminal: Any) -> None:
    from pytest_dbmigrate import status
    from pytest_dbmigrate.servers.kept.record import Kept

    terminal.line(f"dbmigrate: {status.stop(Kept.of(state.settings.root))}")


def _show(state: State, terminal: Any) -> None:
    from pytest_dbmigrate import status

    where, lines = status.lines(state.settings, state.folders())
    terminal.line(f"dbmigrate: {where}")
    width = max((len(line.revision) for line in lines), default=0)
    room = terminal.fullwidth - 9 if terminal.hasmarkup else 10_000  # columns beside the state
    heading = ""
    for line in lines:
        if line.environment not in ("", heading):
            heading = line.environment
            terminal.line(f"{heading}:")
        colour = _COLOURS[line.state]
        terminal.write(f"{line.state:7}  ", **({colour: True} if colour else {}))
        terminal.line(f"{line.revision:{width}}  {_facts(line)}{line.doc}"[:room].rstrip())


def _facts(line: Line) -> str:
    if line.at is None:
        return ""
    took = "" if line.seconds is None else f"{line.seconds * 1000:.0f} ms"
    return f"{line.at.astimezone():%Y-%m-%d %H:%M:%S}  {took:>8}  run {line.run}  "
