"""The folder of runs: private, and emptied of what dead runs have left."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pytest_dbmigrate.errors import ServerError
from pytest_dbmigrate.runs import folders, guardian

if TYPE_CHECKING:
    from tests.unit.owners import Start

ROOT = os.geteuid() == 0


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o7777


def refusal(runs_folder: Path) -> list[str]:
    with pytest.raises(ServerError) as refused:
        folders.runs_folder()
    assert runs_folder.is_symlink() or runs_folder.exists()  # refused, not removed
    return str(refused.value).splitlines()


def refused(runs_folder: Path) -> list[str]:
    return [
        f"{runs_folder} is not a private folder of this user",
        "  to do: remove it, or point TMPDIR at another folder",
    ]


def test_the_folder_of_runs_is_private(runs_folder: Path) -> None:
    assert (folders.runs_folder(), mode(runs_folder)) == (runs_folder, 0o700)


def test_a_folder_of_runs_that_is_a_link_is_refused(runs_folder: Path, tmp_path: Path) -> None:
    tmp_path.chmod(0o700)
    runs_folder.symlink_to(tmp_path)
    assert refusal(runs_folder) == refused(runs_folder)


def test_a_folder_of_runs_that_is_a_file_is_refused(runs_folder: Path) -> None:
    runs_folder.touch(mode=0o700)
    assert refusal(runs_folder) == refused(runs_folder)


@pytest.mark.parametrize("bits", [0o701, 0o710, 0o704, 0o740, 0o777])
def test_a_folder_of_runs_that_is_open_to_others_is_refused(bits: int, runs_folder: Path) -> None:
    runs_folder.mkdir()
    runs_folder.chmod(bits)
    assert refusal(runs_folder) == refused(runs_folder)
    assert mode(runs_folder) == bits


@pytest.mark.skipif(not ROOT, reason="only root can give a folder away")
def test_a_folder_of_runs_of_another_user_is_refused(runs_folder: Path) -> None:
    runs_folder.mkdir(mode=0o700)
    os.chown(runs_folder, 65534, -1)
    assert refusal(runs_folder) == refused(runs_folder)


def test_kept_runs_are_listed_with_their_projects_once_they_are_over(start_owner: Start) -> None:
    kept = start_owner(keep=True, project="/home/ann/shop")
    living = start_owner(keep=True, project="/home/ann/stock")
    kept.finish()
    assert list(folders.kept()) == [(kept.folder, "/home/ann/shop")]
    assert living.process.poll() is None


def test_a_projects_kept_runs_are_ended_and_no_others(start_owner: Start) -> None:
    shop = start_owner(keep=True, project="shop")
    stock = start_owner(keep=True, project="stock")
    shop.finish()
    stock.finish()
    assert folders.end_kept("shop") == [shop.folder.name]
    assert (shop.left(), shop.marker.exists()) == ([], True)
    assert (stock.left() != [], stock.marker.exists()) == (True, False)


def test_all_kept_runs_are_ended_when_no_project_is_named(start_owner: Start) -> None:
    owners = [start_owner(keep=True, project=project) for project in ("shop", "stock")]
    for owner in owners:
        owner.finish()
    assert sorted(folders.end_kept(None)) == sorted(owner.folder.name for owner in owners)
    assert [owner.left() for owner in owners] == [[], []]


def test_a_run_that_is_only_beginning_is_not_swept(runs_folder: Path) -> None:
    begun = folders.runs_folder() / "0a1b2c3d"
    begun.mkdir(mode=0o700)
    (begun / guardian.ALIVE).touch()
    folders.sweep()
    assert begun.exists()
