"""Guardian: the small process that outlives a run by as long as it takes to clean up.

It is started before anything that has to be removed exists. It starts the embedded server when
asked to (so it is the server's parent, and no process id has to be trusted), waits until the run's
owner is gone - finished, interrupted or killed - and then stops and removes what the run owned. A
normal end takes the same path as the worst one, so every run tests that path.

How it knows: the owner holds a record lock on the file `alive` for its life. The guardian asks for
the same lock and waits; the kernel grants it when the owner is gone.

It is run as a script, `python -I -S guardian.py FOLDER`: isolated and without site-packages, it
starts in some ten milliseconds and sees nothing of the project. Without a folder it only starts a
server that is to stay, and ends.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from time import CLOCK_MONOTONIC, clock_gettime, sleep  # names of our own, which no test patches
from typing import Any

if __name__ == "__main__":
    # -I leaves the standard library alone on the path. The package's own folder is added at the
    # end, for the few modules below, which import nothing but the standard library themselves.
    sys.path.append(str(Path(__file__).resolve().parents[2]))

from pytest_dbmigrate import file_locks
from pytest_dbmigrate.runs import server_process
from pytest_dbmigrate.runs.files import write_private
from pytest_dbmigrate.runs.server_process import ServerProcess

ALIVE = "alive"  # record lock of the run's owner, for its life
BUSY = "busy"  # record lock of the guardian, for its life
OWNER = "owner"  # the owner's process id: only to know one's own run
WORK = "work.json"
READY = "guardian.ready"
ENDED = "server.ended"  # present once the server process is no more
LOG = "guardian.log"
KEEP = "keep"  # if present, the server stays for a look at the kept databases

_COMMAND_SECONDS = 60.0
_DAY = 86_400.0


@dataclass
class Work:
    """What to do when the run is gone."""

    commands: list[list[str]] = field(default_factory=list)
    folders: list[str] = field(default_factory=list)
    process: ServerProcess | None = None

    def as_record(self) -> dict[str, Any]:
        """Return the work as JSON data."""
        return asdict(self)

    @classmethod
    def from_record(cls, record: dict[str, Any]) -> Work:
        """Return the work that `as_record` wrote."""
        process = ServerProcess(**record["process"]) if record["process"] else None
        return cls(record["commands"], record["folders"], process)

    @classmethod
    def read(cls, folder: Path) -> Work:
        """Return the work of a run. Raises `FileNotFoundError` if it has none."""
        return cls.from_record(json.loads((folder / WORK).read_text(encoding="utf-8")))

    def write(self, folder: Path) -> None:
        """Make this the work of a run."""
        write_private(folder / WORK, json.dumps(self.as_record()))


def wait_until_done(folder: Path, patience: float) -> bool:
    """Return whether the guardian of `folder` did its work within `patience` seconds."""
    deadline = clock_gettime(CLOCK_MONOTONIC) + patience
    while clock_gettime(CLOCK_MONOTONIC) < deadline:
        if not folder.exists():
            return True
        if (folder / KEEP).exists():  # only the guardian's end is waited for
            if not any(file_locks.is_record_locked(folder / name) for name in (BUSY, ALIVE)):
                return True
        elif _was_killed_early(folder):
            return False
        sleep(0.003)
    return (folder / KEEP).exists()


def _was_killed_early(folder: Path) -> bool:
    """Whether the guardian had started, is dead, and has left its work undone."""
    busy = folder / BUSY
    return busy.exists() and not file_locks.is_record_locked(busy) and (folder / WORK).exists()


def clean(folder: Path, child: subprocess.Popen[bytes] | None = None) -> None:
    """Stop and remove what the run of `folder` owned, then the folder itself.

    Every step is tried, whatever became of the ones before it. If a command fails, the
    folder stays for a day, and each run that begins meanwhile tries again.
    """
    is_done = True
    with contextlib.suppress(FileNotFoundError):
        work = Work.read(folder)
        if child is not None:
            server_process.end_child(child)
        if work.process is not None:
            work.process.end()
        outcomes = [_succeeds(command) for command in work.commands]
        for path in work.folders:
            server_process.remove_server_folder(Path(path))
        is_done = all(outcomes) or _age(folder / WORK) > _DAY
    if is_done:
        remove(folder)


def _succeeds(command: list[str]) -> bool:
    quiet = subprocess.DEVNULL
    try:
        done = subprocess.run(
            command, stdin=quiet, stdout=quiet, stderr=quiet, timeout=_COMMAND_SECONDS, check=False
        )
    except (OSError, subprocess.SubprocessError):
        return False
    return done.returncode == 0


def _age(path: Path) -> float:
    """Return the seconds since a file was written, by the clock on the wall."""
    return time.time() - path.stat().st_mtime


def remove(folder: Path) -> None:
    """Remove the run's folder, and the folder of runs around it if it was the last."""
    shutil.rmtree(folder, ignore_errors=True)
    with contextlib.suppress(OSError):
        folder.parent.rmdir()


def main(folder: Path) -> None:
    """Start the server if there is one, wait for the owner's end, clean up.

    Forks first, so that the process that started us has no child to wait for, and its end does not
    end us.
    """
    if os.fork():
        os._exit(0)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    busy = os.open(folder / BUSY, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    file_locks.record_lock(busy)
    alive = os.open(folder / ALIVE, os.O_RDWR | os.O_CLOEXEC)
    (folder / READY).touch(mode=0o600)
    child = _start_server(folder)
    file_locks.record_lock(alive)  # blocks until the kernel releases the owner's lock
    if not (folder / KEEP).exists():
        clean(folder, child)


def _start_server(folder: Path) -> subprocess.Popen[bytes] | None:
    """Start the server that standard input names; at end of file there is none."""
    line = sys.stdin.readline()
    if not line:
        return None
    process = ServerProcess(**json.loads(line))
    work = Work.read(folder)
    work.process = process
    work.write(folder)  # before the start: if we are killed, others find the server by it
    child = process.start()

    def note_end(*_: object) -> None:
        if child.poll() is not None:
            (folder / ENDED).touch(mode=0o600)

    signal.signal(signal.SIGCHLD, note_end)
    note_end()
    return child


def start_kept() -> None:
    """Start the server that standard input names as a daemon, and print its process id."""
    if os.fork():
        os._exit(0)
    os.setsid()
    print(ServerProcess(**json.loads(sys.stdin.read())).start().pid, flush=True)
    os._exit(0)


if __name__ == "__main__":
    main(Path(sys.argv[1])) if len(sys.argv) > 1 else start_kept()
