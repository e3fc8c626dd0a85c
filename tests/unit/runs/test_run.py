"""A run's folder: private, shared by its processes, and gone with its owner."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pytest_dbmigrate.addresses.dsn import Dsn, Secret
from pytest_dbmigrate.errors import ServerError
from pytest_dbmigrate.runs import guardian, run
from pytest_dbmigrate.runs.run import Run

if TYPE_CHECKING:
    from tests.unit.owners import Start

ROOT = os.geteuid() == 0
DSN = Dsn("127.0.0.1", 5433, "ann", Secret("s3:cr\\et"), "dbm_1_main_0_test_it")


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o7777


def refusal(home: Path) -> list[str]:
    with pytest.raises(ServerError) as refused:
        run.home()
    assert home.is_symlink() or home.exists()  # refused, not removed
    return str(refused.value).splitlines()


def refused(home: Path) -> list[str]:
    return [
        f"{home} is not a private folder of this user",
        "  to do: remove it, or point TMPDIR at another folder",
    ]


def test_the_home_of_runs_is_private(home: Path) -> None:
    assert (run.home(), mode(home)) == (home, 0o700)


def test_a_home_that_is_a_link_is_refused(home: Path, tmp_path: Path) -> None:
    tmp_path.chmod(0o700)
    home.symlink_to(tmp_path)
    assert refusal(home) == refused(home)


def test_a_home_that_is_a_file_is_refused(home: Path) -> None:
    home.touch(mode=0o700)
    assert refusal(home) == refused(home)


@pytest.mark.parametrize("bits", [0o701, 0o710, 0o704, 0o740, 0o777])
def test_a_home_that_is_open_to_others_is_refused(bits: int, home: Path) -> None:
    home.mkdir()
    home.chmod(bits)
    assert refusal(home) == refused(home)
    assert mode(home) == bits


@pytest.mark.skipif(not ROOT, reason="only root can give a folder away")
def test_a_home_of_another_user_is_refused(home: Path) -> None:
    home.mkdir(mode=0o700)
    os.chown(home, 65534, -1)
    assert refusal(home) == refused(home)


def test_the_last_run_to_end_takes_the_home_with_it(home: Path) -> None:
    first, second = Run.start("shop"), Run.start("shop")
    first.finish()
    assert list(home.iterdir()) == [second.folder]
    second.finish()
    assert not home.exists()


def test_a_run_that_ends_twice_ends_once(home: Path) -> None:
    mine = Run.start("shop")
    mine.finish()
    mine.finish()
    assert not home.exists()


def test_a_worker_does_not_end_the_run_it_has_joined(home: Path) -> None:
    mine = Run.start("shop")
    joined = Run.join(str(mine.folder))
    joined.finish()
    assert mine.folder.exists()
    mine.finish()


def test_what_one_process_writes_another_reads(home: Path) -> None:
    mine = Run.start("shop")
    Run.join(str(mine.folder)).write("address.json", {"port": 5433})
    assert mine.read("address.json") == {"port": 5433}
    assert mine.read("other.json") is None
    mine.finish()


def test_one_process_alone_claims_a_thing(home: Path) -> None:
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


def test_one_process_at_a_time_is_let_into_a_block(home: Path, tmp_path: Path) -> None:
    counter = tmp_path / "counter"
    counter.write_text("0")
    mine = Run.start("shop")
    at_once(COUNT, str(mine.folder), str(counter))
    mine.finish()
    assert counter.read_text() == "800"


COME_AND_GO = """
from pytest_dbmigrate.runs import notes, run
for _ in range(60):
    run.sweep()
    mine = run.Run.start("shop")
    mine.journal.write(notes.ChoosingServer())
    assert list(run.kept()) == []
    assert run.end_kept("shop") == []
    mine.journal.write(notes.ChoosingServer())
    assert len(mine.journal.read()[0]) == 2
    mine.finish()
    assert not mine.folder.exists()
"""


def test_runs_that_begin_and_end_at_the_same_time_do_not_meet(home: Path) -> None:
    at_once(COME_AND_GO)
    assert not home.exists()


def at_once(script: str, *arguments: str) -> None:
    """Run a script in four processes at once; each must succeed."""
    command = [sys.executable, "-c", script, *arguments]
    running = [
        subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        for _ in range(4)
    ]
    said = [process.communicate()[1] for process in running]
    assert said == [""] * 4


def test_a_runs_psql_line_has_the_password_in_a_private_file(home: Path) -> None:
    mine = Run.start("shop")
    file = mine.folder / "pgpass"
    assert mine.psql(DSN) == (
        f"PGPASSFILE={file} psql -h 127.0.0.1 -p 5433 -U ann -d dbm_1_main_0_test_it"
    )
    assert (file.read_text(), mode(file)) == ("*:*:*:*:s3\\:cr\\\\et\n", 0o600)
    mine.finish()


def test_kept_runs_are_listed_with_their_projects_once_they_are_over(start_owner: Start) -> None:
    kept = start_owner(keep=True, project="/home/ann/shop")
    living = start_owner(keep=True, project="/home/ann/stock")
    kept.finish()
    assert list(run.kept()) == [(kept.folder, "/home/ann/shop")]
    assert living.process.poll() is None


def test_a_projects_kept_runs_are_ended_and_no_others(start_owner: Start) -> None:
    shop = start_owner(keep=True, project="shop")
    stock = start_owner(keep=True, project="stock")
    shop.finish()
    stock.finish()
    assert run.end_kept("shop") == [shop.folder.name]
    assert (shop.left(), shop.marker.exists()) == ([], True)
    assert (stock.left() != [], stock.marker.exists()) == (True, False)


def test_all_kept_runs_are_ended_when_no_project_is_named(start_owner: Start) -> None:
    owners = [start_owner(keep=True, project=project) for project in ("shop", "stock")]
    for owner in owners:
        owner.finish()
    assert sorted(run.end_kept(None)) == sorted(owner.folder.name for owner in owners)
    assert [owner.left() for owner in owners] == [[], []]


def test_a_run_that_is_only_beginning_is_not_swept(home: Path) -> None:
    begun = run.home() / "0a1b2c3d"
    begun.mkdir(mode=0o700)
    (begun / guardian.ALIVE).touch()
    run.sweep()
    assert begun.exists()
