"""Commands of `pytest-dbmigrate` in a shell: what runs have kept, and how to end it.

The exit status is 0 if all was done, 1 if something could not be, and 2 for wrong arguments.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
from collections.abc import Callable

from pytest_dbmigrate.errors import DbmigrateError
from pytest_dbmigrate.runs import folders
from pytest_dbmigrate.servers.kept import record

_WIDTH = 80  # columns of a line


def main(arguments: list[str] | None = None) -> int:
    """Run the command that the arguments name; return its exit status."""
    command: Callable[[], int] = _parser().parse_args(arguments).command
    try:
        return command()
    except DbmigrateError as error:
        print(error)
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="pytest-dbmigrate",
        description="What runs with --db-keep and --db-resume have kept, and how to end it.",
        epilog="The exit status is 0 if all was done, 1 if something could not be, "
        "and 2 for wrong arguments.",
        formatter_class=_formatter,
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for name, command, help_text in (
        ("list", _list, "list what is kept of all your projects"),
        ("stop", _stop, "end all that is kept; what is in use stays, and is named"),
        ("status", _status, "print the state of each revision of the project in this folder"),
    ):
        description = f"{help_text[0].upper()}{help_text[1:]}."
        one = commands.add_parser(
            name, help=help_text, description=description, formatter_class=_formatter
        )
        one.set_defaults(command=command)
    return parser


def _formatter(prog: str) -> argparse.HelpFormatter:
    return argparse.HelpFormatter(prog, width=_WIDTH)


def _list() -> int:
    for folder, project in folders.kept():
        print(_line(folder.name, project))
    for found, one in record.every():
        print(_line(found.key, one.project, f"  ({one.kind}, resumed)"))
    return 0


def _line(key: str, project: str, how: str = "") -> str:
    """Return a line of the list; on a terminal, a long path loses its beginning."""
    room = _WIDTH - len(f"{key}  {how}")
    if len(project) > room and sys.stdout.isatty():
        project = "..." + project[3 - room :]
    return f"{key}  {project}{how}"


def _stop() -> int:
    ended = [True] * len(folders.end_kept(None)) + [_ends(*found) for found in [*record.every()]]
    number = ended.count(True)
    print(f"ended {number} kept server{'' if number == 1 else 's'}")
    return int(not all(ended))


def _ends(found: record.Kept, known: record.Record) -> bool:
    from pytest_dbmigrate import status

    try:
        status.stop(found)
    except DbmigrateError as error:
        print(f"{found.key}  {known.project}: {error}")
        return False
    return True


def _status() -> int:
    """Print what `pytest --db-status` prints in the current folder.

    The settings lie in pytest's ini files, or are set by its options in `addopts`, and only pytest
    finds and reads those. So it is run, and it is run as a process: but for the plugin, nothing
    here knows pytest.
    """
    columns = min(_WIDTH, shutil.get_terminal_size().columns)
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "dbmigrate", "--dbmigrate-status"],
        env={**os.environ, "COLUMNS": str(columns)},
        check=False,
    )
    return int(done.returncode != 0)
