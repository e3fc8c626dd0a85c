"""From a shell: what runs have kept, and how to end it."""

from __future__ import annotations

import argparse

from pytest_dbmigrate.errors import DbmigrateError
from pytest_dbmigrate.servers import run


def main(arguments: list[str] | None = None) -> int:
    """List or end the servers kept by `--db-keep`; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m pytest_dbmigrate", description=__doc__)
    parser.add_argument("command", choices=("list", "stop"), help="list or end kept servers")
    command = parser.parse_args(arguments).command
    try:
        if command == "stop":
            ended = run.end_kept(None)
            print(f"ended {len(ended)} kept server{'' if len(ended) == 1 else 's'}")
            return 0
        for folder, project in run.kept():
            print(f"{folder.name}  {project}")
    except DbmigrateError as error:
        print(error)
        return 1
    return 0
