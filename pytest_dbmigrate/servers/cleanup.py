"""Cleanup command: a program that drops databases on a server that stays.

A guardian runs it, or `stop`: in any working folder, and long after the process that wrote the
command down. So its arguments say where to import from. It is run as a file, because `python -m`
would need to find the package before it has read them; until then it imports the standard library
only. The password is in a private file.
"""

from __future__ import annotations

import argparse
import importlib
import sys
from pathlib import Path

_FILE = Path(__file__).resolve()
_MODULE = "pytest_dbmigrate.databases.sweep"  # named, not imported: rooms do not know each other


def command(
    folder: Path, home: str, *, may_be_gone: bool = False, unless_used: bool = False
) -> list[str]:
    """Return the command that drops what the owner of `folder` has on the server.

    The folder's name is the owner's id: a run's, or a project's where it is `home`, the id
    in the control database's name. Its file `address.json` says where the server is; one of our
    own `may_be_gone`, and nothing is left to do then. `unless_used` lets it fail if a living
    run is connected to the control database.
    """
    path = [f"--path={Path(entry).resolve()}" for entry in sys.path]  # "" is the working folder
    flags = ["--may-be-gone"] * may_be_gone + ["--unless-used"] * unless_used
    return [sys.executable, str(_FILE), str(folder), home, *flags, *path]


def main(arguments: list[str] | None = None) -> None:
    """Drop what the arguments name; exits with status 1 and a sentence if something is left."""
    parser = argparse.ArgumentParser(description="Drop databases that pytest-dbmigrate has made.")
    parser.add_argument("folder", help="the private folder of the run or project that owns them")
    parser.add_argument("home", help="the id in the control database's name")
    parser.add_argument("--may-be-gone", action="store_true", help="the server may have ended")
    parser.add_argument("--unless-used", action="store_true", help="fail if a living run uses it")
    parser.add_argument("--path", action="append", default=[], help="a folder to import from")
    parsed = parser.parse_args(arguments)
    # What this interpreter finds by itself comes first: a folder of tests may have any names in
    # it. But not the folder of this file, which is no place for top-level modules.
    own = [entry for entry in sys.path if entry and Path(entry).resolve() != _FILE.parent]
    sys.path[:] = own + [entry for entry in parsed.path if entry not in own]
    sweep = importlib.import_module(_MODULE)
    sweep.main(
        parsed.folder, parsed.home, may_be_gone=parsed.may_be_gone, unless_used=parsed.unless_used
    )


if __name__ == "__main__":
    main()
