"""Runs of other processes, with something to stop and to remove."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import pytest

from pytest_dbmigrate import file_locks
from pytest_dbmigrate.runs import guardian

OWNER = Path(__file__).with_name("owner.py")
# a server as the guardian sees it: works in its data folder, and its pid is in a file there
SERVER = "echo $$ > postmaster.pid; exec sleep 600"


@dataclass
class Owner:
    """A process that owns a run, and what the run owns."""

    process: subprocess.Popen[str]
    folder: Path
    data: Path
    marker: Path
    find: Callable[[str], list[int]] = field(repr=False)

    def guardian(self) -> int:
        """Return the process id of the run's guardian."""
        (found,) = self.find(f"guardian.py\0{self.folder}")
        return found

    def kill_guardian(self) -> None:
        """Kill the guardian, and return when it is gone."""
        os.kill(self.guardian(), signal.SIGKILL)
        while file_locks.is_record_locked(self.folder / guardian.BUSY):
            pass  # a process that is ending has no command line any more, but its locks

    def kill(self, number: signal.Signals = signal.SIGKILL) -> None:
        """Kill the owner, and return when it is gone."""
        self.process.send_signal(number)
        self.process.wait()

    def finish(self) -> None:
        """Let the owner end its run, and return when it has ended."""
        self.process.communicate("finish\n", timeout=30)

    def left(self) -> list[str]:
        """Return what is left of the run: processes and folders."""
        servers = [f"server {pid}" for pid in self.find(str(self.data))]
        is_guarded = file_locks.is_record_locked(self.folder / guardian.BUSY)
        guardians = ["guardian"] if is_guarded or self.find(str(self.folder)) else []
        folders = [str(it) for it in (self.data, self.folder) if it.exists()]
        return [*servers, *guardians, *folders]


Start = Callable[..., Owner]


@pytest.fixture
def start_owner(
    runs_folder: Path,
    processes: Callable[[str], list[int]],
    eventually: Callable[[Callable[[], object]], None],
) -> Iterator[Start]:
    """A way to start a process that owns a run with a server, a folder and a command."""
    owners: list[Owner] = []

    def start(
        *,
        script: str = SERVER,
        project: str = "shop",
        is_guarded: bool = True,
        keep: bool = False,
        commands: tuple[list[str], ...] = (),
    ) -> Owner:
        data = Path(tempfile.mkdtemp(prefix="data-", dir=runs_folder.parent))
        marker = data.with_name(f"{data.name}-marker")
        told: dict[str, Any] = {"project": project, "keep": keep, "work": None, "process": None}
        if is_guarded:
            told["work"] = {
                "folders": [str(data)],
                "commands": [*commands, ["touch", str(marker)]],
            }
            told["process"] = {
                "argv": ["/bin/sh", "-c", script],
                "folder": str(data),
                "log": str(data / "log"),
                "environment": {"PATH": "/usr/bin:/bin"},
            }
        process = subprocess.Popen(
            [sys.executable, str(OWNER)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        _say(process, json.dumps(told))
        folder = Path(_line(process.stdout))
        # one that did not start says nothing, and "." is in the command lines of all processes
        assert folder.is_absolute(), "the owner of a run did not start"
        owner = Owner(process, folder, data, marker, processes)
        owners.append(owner)
        if is_guarded and script == SERVER:
            pid_file = data / "postmaster.pid"
            eventually(lambda: pid_file.exists() and pid_file.read_text().endswith("\n"))
        return owner

    yield start
    for owner in owners:
        _end(owner)


def _say(process: subprocess.Popen[str], line: str) -> None:
    assert process.stdin is not None
    print(line, file=process.stdin, flush=True)


def _line(stream: IO[str] | None) -> str:
    assert stream is not None
    return stream.readline().rstrip("\n")


def _end(owner: Owner) -> None:
    owner.process.kill()
    owner.process.communicate()
    for pid in (*owner.find(str(owner.data)), *owner.find(str(owner.folder))):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
