"""From a shell: what runs have kept, and how to end it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from pytest_dbmigrate.runs.run import Run

KEEP = """
import sys
from pytest_dbmigrate.runs import guardian
from pytest_dbmigrate.runs.run import Run
run = Run.start(sys.argv[1])
with run.start_guardian(guardian.Work()):
    run.keep()
print(run.id)
run.finish()
"""


pytestmark = pytest.mark.usefixtures("runs_folder")


def keep(project: str) -> str:
    """Let a run of a project be over and kept; return its id."""
    return run("-c", KEEP, project).stdout.strip()


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def cli(*arguments: str) -> tuple[int, str]:
    done = run("-m", "pytest_dbmigrate", *arguments)
    return done.returncode, done.stdout


def test_kept_servers_are_listed_with_their_projects() -> None:
    run_id = keep("/home/ann/shop")
    assert cli("list") == (0, f"{run_id}  /home/ann/shop\n")


def test_nothing_is_listed_where_nothing_was_kept() -> None:
    mine = Run.start("/home/ann/shop")
    assert cli("list") == (0, "")
    mine.finish()


def test_all_kept_servers_are_ended(runs_folder: Path) -> None:
    keep("/home/ann/shop")
    keep("/home/ann/stock")
    assert cli("stop") == (0, "ended 2 kept servers\n")
    assert not runs_folder.exists()


def test_one_kept_server_is_one() -> None:
    keep("/home/ann/shop")
    assert cli("stop") == (0, "ended 1 kept server\n")


def test_an_unknown_command_is_refused() -> None:
    assert cli("sotp") == (2, "")


def test_a_folder_of_runs_that_is_not_private_is_refused(runs_folder: Path) -> None:
    runs_folder.mkdir()
    runs_folder.chmod(0o755)
    assert cli("stop") == (
        1,
        (
            f"{runs_folder} is not a private folder of this user\n"
            "  to do: remove it, or point TMPDIR at another folder\n"
        ),
    )


def test_what_was_kept_is_there_as_soon_as_its_run_has_ended() -> None:
    kept = [keep("/home/ann/shop") for _ in range(20)]
    listed = [line.split()[0] for line in cli("list")[1].splitlines()]
    assert sorted(listed) == sorted(kept)
    assert cli("stop") == (0, "ended 20 kept servers\n")
