"""Locks on files: which processes and which open files each of the two kinds concerns."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from pytest_dbmigrate import file_locks

HOLD = """
import sys
from pytest_dbmigrate import file_locks
file = open(sys.argv[1], "r+")
file_locks.record_lock(file.fileno())
print("held", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A file to lock."""
    file = tmp_path / "lock"
    file.touch()
    return file


@pytest.fixture
def holder(path: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process that holds the record lock of the file."""
    command = [sys.executable, "-c", HOLD, str(path)]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


def test_a_record_lock_lasts_until_its_process_is_killed(
    path: Path, holder: subprocess.Popen[str]
) -> None:
    assert file_locks.is_record_locked(path)
    holder.kill()
    holder.wait()
    assert not file_locks.is_record_locked(path)


def test_a_file_that_is_missing_is_not_locked(tmp_path: Path) -> None:
    assert not file_locks.is_record_locked(tmp_path / "missing")


def test_a_child_that_inherits_a_file_does_not_inherit_its_record_lock(path: Path) -> None:
    descriptor = os.open(path, os.O_RDWR)
    file_locks.record_lock(descriptor)
    with subprocess.Popen(["sleep", "600"], pass_fds=(descriptor,)) as child:
        os.close(descriptor)
        assert not file_locks.is_record_locked(path)
        child.kill()


def test_a_flock_excludes_other_open_files_of_the_same_process(path: Path) -> None:
    with open(path, "rb") as first, open(path, "rb") as second:
        file_locks.flock(first)
        assert not file_locks.try_flock(second)
        first.close()
        assert file_locks.try_flock(second)


def test_a_flock_is_not_given_up_when_another_open_file_is_closed(path: Path) -> None:
    with open(path, "rb") as first, open(path, "rb") as other:
        file_locks.flock(first)
        path.read_bytes()
        assert not file_locks.try_flock(other)


def test_a_child_that_inherits_a_file_holds_its_flock(path: Path) -> None:
    with open(path, "rb") as first, open(path, "rb") as other:
        file_locks.flock(first)
        with subprocess.Popen(["sleep", "600"], pass_fds=(first.fileno(),)) as child:
            first.close()
            assert not file_locks.try_flock(other)
            child.kill()
            child.wait()
            assert file_locks.try_flock(other)
