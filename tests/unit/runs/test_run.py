"""A run's folder: private, shared by its processes, and gone with its owner."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_dbmigrate.addresses.dsn import Dsn, Secret
from pytest_dbmigrate.runs.run import Run

if TYPE_CHECKING:
    pass

ROOT = os.geteuid() == 0
DSN = Dsn("127.0.0.1", 5433, "ann", Secret("s3:cr\\et"), "dbm_1_main_0_test_it")


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o7777


def test_the_last_run_to_end_removes_the_folder_of_runs(runs_folder: Path) -> None:
    first, second = Run.start("shop"), Run.start("shop")
    first.finish()
    assert list(runs_folder.iterdir()) == [second.folder]
    second.finish()
    assert not runs_folder.exists()


def test_a_run_that_ends_twice_ends_once(runs_folder: Path) -> None:
    mine = Run.start("shop")
    mine.finish()
    mine.finish()
    assert not runs_folder.exists()


def test_a_worker_does_not_end_the_run_it_has_joined(runs_folder: Path) -> None:
    mine = Run.start("shop")
    joined = Run.join(str(mine.folder))
    joined.finish()
    assert mine.folder.exists()
    mine.finish()


def test_what_one_process_writes_another_reads(runs_folder: Path) -> None:
    mine = Run.start("shop")
    Run.join(str(mine.folder)).write("address.json", {"port": 5433})
    assert mine.read("address.json") == {"port": 5433}
    assert mine.read("other.json") is None
    mine.finish()


def test_one_process_alone_claims_a_thing(runs_folder: Path) -> None:
    mine = Run.start("shop")
    joined = Run.join(str(mine.folder))
    assert [mine.claim("child"), joined.claim("child"), joined.claim("other")] == [
        True,
        False,
        True,
    ]
    mine.finish()


COUNT = """
import sys
from pathlib import Path
from pytest_dbmigrate.runs.run import Run
run, counter = Run.join(sys.argv[1]), Path(sys.argv[2])
for _ in range(200):
    with run.only_one("count"):
        counter.write_text(str(int(counter.read_text()) + 1))
"""


def test_one_process_at_a_time_is_let_into_a_block(runs_folder: Path, tmp_path: Path) -> None:
    counter = tmp_path / "counter"
    counter.write_text("0")
    mine = Run.start("shop")
    at_once(COUNT, str(mine.folder), str(counter))
    mine.finish()
    assert counter.read_text() == "800"


COME_AND_GO = """
from pytest_dbmigrate.runs import folders, notes
from pytest_dbmigrate.runs.run import Run
for _ in range(60):
    folders.sweep()
    mine = Run.start("shop")
    mine.journal.write(notes.ChoosingServer())
    assert list(folders.kept()) == []
    assert folders.end_kept("shop") == []
    mine.journal.write(notes.ChoosingServer())
    assert len(mine.journal.read()[0]) == 2
    mine.finish()
    assert not mine.folder.exists()
"""


def test_runs_that_begin_and_end_at_the_same_time_do_not_meet(runs_folder: Path) -> None:
    at_once(COME_AND_GO)
    assert not runs_folder.exists()


def at_once(script: str, *arguments: str) -> None:
    """Run a script in four processes at once; each must succeed."""
    command = [sys.executable, "-c", script, *arguments]
    running = [
        subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        for _ in range(4)
    ]
    said = [process.communicate()[1] for process in running]
    assert said == [""] * 4


def test_a_runs_psql_line_has_the_password_in_a_private_file(runs_folder: Path) -> None:
    mine = Run.start("shop")
    file = mine.folder / "pgpass"
    assert mine.psql(DSN) == (
        f"PGPASSFILE={file} psql -h 127.0.0.1 -p 5433 -U ann -d dbm_1_main_0_test_it"
    )
    assert (file.read_text(), mode(file)) == ("*:*:*:*:s3\\:cr\\\\et\n", 0o600)
    mine.finish()
