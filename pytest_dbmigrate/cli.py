"""From a shell: what runs have kept, and how to end it."""

from __future__ import annotations

import argparse

from pytest_dbmigrate.errors import DbmigrateError
from pytest_dbmigrate.runs import folders
from pytest_dbmigrate.servers.kept import record


def main(arguments: list[str] | None = None) -> int:
    """List or end the servers kept by `--db-keep` and `--db-resume`; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m pytest_dbmigrate", description=__doc__)
    parser.add_argument("command", choices=("list", "stop"), help="list or end kept servers")
    command = parser.parse_args(arguments).command
    try:
        if command == "stop":
            return _stop()
        for folder, project in folders.kept():
            print(f"{folder.name}  {project}")
        for found, one in record.every():
            print(f"{found.key}  {one.project}  ({one.kind}, resumed)")
    except DbmigrateError as error:
        print(error)
        return 1
    return 0


def _stop() -> int:
    """End what is kept of all projects; what is in use stays, and is named."""
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
