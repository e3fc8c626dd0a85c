"""Commands in a shell: what runs have kept, and how to end it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from pytest_dbmigrate import cli as cli_module
from pytest_dbmigrate.runs.run import Run

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

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


@pytest.mark.parametrize("arguments", [["sotp"], [], ["stop", "all"]])
def test_wrong_arguments_are_refused(arguments: list[str]) -> None:
    assert cli(*arguments) == (2, "")


@pytest.mark.parametrize("arguments", [["--help"], ["stop", "--help"]])
def test_help_fits_into_80_columns(arguments: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    status, said = cli(*arguments)
    assert (status, said.splitlines()[0][:23]) == (0, "usage: pytest-dbmigrate")
    assert max(len(line) for line in said.splitlines()) <= 80


def test_a_long_path_is_listed_whole_where_it_is_piped() -> None:
    project = "/home/ann/" + "shop/" * 20 + "tests"
    run_id = keep(project)
    assert cli("list") == (0, f"{run_id}  {project}\n")


def test_a_long_path_loses_its_beginning_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    line = cli_module._line("0a1b2c3d", "/home/ann/" + "shop/" * 20 + "tests", "  (url, resumed)")
    assert len(line) == 80
    assert line.startswith("0a1b2c3d  ...")
    assert line.endswith("shop/tests  (url, resumed)")
    assert cli_module._line("0a1b2c3d", "/home/ann/shop") == "0a1b2c3d  /home/ann/shop"


def test_the_status_is_that_of_the_project_in_the_current_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "migrations/versions").mkdir(parents=True)
    (tmp_path / "migrations/env.py").touch()
    (tmp_path / "migrations/versions/1.py").write_text(
        '"""the first"""\nrevision, down_revision = "0001", None\n'
    )
    (tmp_path / "pytest.ini").write_text("[pytest]\ndbmigrate_alembic = migrations\n")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    assert cli("status") == (
        0,
        "dbmigrate: nothing is kept for this project\npending  0001  the first\n",
    )


def test_a_status_that_cannot_be_told_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "pytest.ini").write_text("[pytest]\ndbmigrate_alembic = none.ini\n")
    monkeypatch.chdir(tmp_path)
    assert cli("status")[0] == 1


def test_the_console_script_is_the_same_program() -> None:
    text = (Path(__file__).parents[2] / "pyproject.toml").read_text()
    scripts = tomllib.loads(text)["project"]["scripts"]
    assert scripts == {"pytest-dbmigrate": "pytest_dbmigrate.cli:main"}
    assert callable(cli_module.main)


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
