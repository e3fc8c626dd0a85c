"""Folders of runs: all runs of this user, those that live, and what dead ones have left.

They lie in one private folder below that for temporary files, which is how runs find what others
have left behind.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

from pytest_dbmigrate import file_locks
from pytest_dbmigrate.errors import ServerError
from pytest_dbmigrate.runs import guardian

PROJECT = "project"  # in a run's folder: the path of the tests' root


def runs_folder() -> Path:
    """Return this user's private folder of runs; raises `ServerError` if it is not private."""
    folder = Path(tempfile.gettempdir()) / f"pytest-dbmigrate-{os.getuid()}"
    try:
        with contextlib.suppress(FileExistsError):
            folder.mkdir(mode=0o700)
        info = folder.lstat()
    except FileNotFoundError:
        if folder.parent.is_dir():
            return runs_folder()  # the last run to end has just removed it
        raise
    if not stat.S_ISDIR(info.st_mode) or info.st_uid != os.getuid() or info.st_mode & 0o077:
        raise ServerError(
            f"{folder} is not a private folder of this user",
            todo=("remove it, or point TMPDIR at another folder",),
        )
    return folder


def new() -> Path:
    """Make the folder of a new run; its name is the run's id."""
    while True:
        folder = runs_folder() / secrets.token_hex(4)
        # the last run to end removes the folder of runs, perhaps at this very moment
        with contextlib.suppress(FileNotFoundError, FileExistsError):
            folder.mkdir(mode=0o700)
            return folder


def sweep() -> None:
    """Remove what runs have left behind if both owner and guardian are dead."""
    for folder in _every():
        with contextlib.suppress(OSError):
            if _is_abandoned(folder):
                guardian.clean(folder)


def kept() -> Iterator[tuple[Path, str]]:
    """Yield folder and project of each ended run that has kept its server."""
    for folder in _every():
        if (folder / guardian.KEEP).exists() and not is_alive(folder):
            yield folder, (folder / PROJECT).read_text()


def end_kept(project: str | None) -> list[str]:
    """Stop and remove what runs of a project (of all, if None) have kept; return their ids."""
    ended = []
    for folder, its_project in list(kept()):
        if project in (None, its_project):
            guardian.clean(folder)
            ended.append(folder.name)
    return ended


def is_alive(folder: Path) -> bool:
    """Whether the owner of a run is alive, or just beginning it."""
    owner = folder / guardian.OWNER
    # The record lock of this very process must not be looked at: that would give it up.
    if not owner.exists() or owner.read_text() == str(os.getpid()):
        return True
    return file_locks.is_record_locked(folder / guardian.ALIVE)


def _every() -> list[Path]:
    with contextlib.suppress(FileNotFoundError):  # removed by the last run to end
        return list(runs_folder().iterdir())
    return []


def _is_abandoned(folder: Path) -> bool:
    if (folder / guardian.KEEP).exists():
        return False
    return not is_alive(folder) and not file_locks.is_record_locked(folder / guardian.BUSY)
