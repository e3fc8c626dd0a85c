"""A small process that outlives the run by as long as it takes to clean up.

It is started before anything that has to be removed exists. It starts the embedded
server when told to (so it is the server's parent, and no process id has to be
trusted), waits for the run's owner to be gone - finished, interrupted or killed - and
then stops and removes what the run owned. The normal end of a run takes the same way as
the worst one, so the way is known to work.

It is run as a script, `python -I -S guardian.py FOLDER`, and needs the standard
library only: it starts in some ten milliseconds and sees nothing of the project. Without a
folder it only starts a server that is to stay, and ends.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from time import CLOCK_MONOTONIC, clock_gettime, sleep  # what a test patches is not this
from typing import Any

ALIVE = "alive"  # locked by the run's owner for its life
BUSY = "busy"  # locked by the guardian for its life
OWNER = "owner"  # the owner's process id: only to know one's own run
WORK = "work.json"
READY = "guardian.ready"
FILLING = "filling.lock"  # in a data folder's folder, locked by initdb and its children
ENDED = "server.ended"  # present once the server process is no more
LOG = "guardian.log"
KEEP = "keep"  # if present, the server stays for a look at the kept databases

_IPC_RMID = 0  # of <sys/ipc.h>, the same on Linux and macOS
_STOP_SECONDS = 10.0
_COMMAND_SECONDS = 60.0
_DAY = 86_400.0


@dataclass
class Process:
    """A server process: started by the guardian, stopped by it."""

    argv: list[str]
    folder: str
    log: str
    environment: dict[str, str]
    uid: int | None = None
    gid: int | None = None


@dataclass
class Work:
    """What to do when the run is gone."""

    commands: list[list[str]] = field(default_factory=list)
    folders: list[str] = field(default_factory=list)
    process: Process | None = None

    def as_record(self) -> dict[str, Any]:
        """Return the work as JSON data."""
        return asdict(self)

    @classmethod
    def from_record(cls, record: dict[str, Any]) -> Work:
        """Return the work that `as_record` wrote."""
        process = Process(**record["process"]) if record["process"] else None
        return cls(record["commands"], record["folders"], process)


def write_private(path: Path, text: str) -> None:
    """Write a file that only this user can read, whole or not at all."""
    scratch = path.with_name(f"{path.name}.{os.getpid()}")
    file = os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with open(file, "w", encoding="utf-8") as stream:
        stream.write(text)
    scratch.replace(path)


def is_locked(path: Path) -> bool:
    """Return whether another process holds the lock on `path`."""
    try:
        file = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return True
    else:
        return False
    finally:
        os.close(file)


def wait_until_done(folder: Path, patience: float) -> bool:
    """Return whether the guardian of `folder` did its work within `patience` seconds."""
    deadline = clock_gettime(CLOCK_MONOTONIC) + patience
    while clock_gettime(CLOCK_MONOTONIC) < deadline:
        if not folder.exists():
            return True
        if (folder / KEEP).exists():  # only the guardian's end is waited for
            if not any(is_locked(folder / name) for name in (BUSY, ALIVE)):
                return True
        elif (folder / BUSY).exists() and not is_locked(folder / BUSY) and (folder / WORK).exists():
            return False  # killed before it began
        sleep(0.003)
    return (folder / KEEP).exists()


def clean(folder: Path, child: subprocess.Popen[bytes] | None = None) -> None:
    """Stop and remove what the run of `folder` owned, then the folder itself.

    Every step is tried, whatever became of the ones before it. If a command fails, the
    folder stays for a day, and each run that begins meanwhile tries again.
    """
    is_done = True
    with contextlib.suppress(FileNotFoundError):
        work = Work.from_record(json.loads((folder / WORK).read_text(encoding="utf-8")))
        if child is not None:
            _end(child)
        if work.process is not None:
            end(work.process)
        outcomes = [_run(command) for command in work.commands]
        for path in work.folders:
            remove_server_folder(Path(path))
        is_done = all(outcomes) or _age(folder / WORK) > _DAY
    if is_done:
        remove(folder)


def remove_server_folder(folder: Path) -> None:
    """Remove an embedded server's folder, once nobody fills it any more."""
    _wait_until_filled(folder)
    shutil.rmtree(folder, ignore_errors=True)


def _run(command: list[str]) -> bool:
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


def _wait_until_filled(folder: Path) -> None:
    """Wait for an initdb that has outlived the run: cut short, it leaves shared memory behind."""
    deadline = clock_gettime(CLOCK_MONOTONIC) + _STOP_SECONDS
    with contextlib.suppress(OSError), open(folder / FILLING, "rb") as file:
        while clock_gettime(CLOCK_MONOTONIC) < deadline:
            with contextlib.suppress(BlockingIOError):
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return
            sleep(0.02)


def remove(folder: Path) -> None:
    """Remove the run's folder, and the folder of runs around it if it was the last."""
    shutil.rmtree(folder, ignore_errors=True)
    with contextlib.suppress(OSError):
        folder.parent.rmdir()


def end(process: Process) -> None:
    """Stop a server that is no child of ours, if it runs, and remove its shared memory."""
    _end_orphan(process)
    _remove_segment(process)


def _end(child: subprocess.Popen[bytes]) -> None:
    """Stop our own child: its data is thrown away, so at once."""
    child.send_signal(signal.SIGQUIT)
    try:
        child.wait(_STOP_SECONDS)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()


def _end_orphan(process: Process) -> None:
    """Stop a server whose guardian was killed, if its pid file still tells the truth.

    A server works in its data folder, so a process that does is ours; any other that
    bears the same number by now is not.
    """
    try:
        pid = int((Path(process.folder) / "postmaster.pid").read_text().split("\n", 1)[0])
    except (OSError, ValueError):
        return
    deadline = clock_gettime(CLOCK_MONOTONIC) + _STOP_SECONDS
    number = signal.SIGQUIT
    while works_in(pid, process.folder):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)
        sleep(0.02)
        if clock_gettime(CLOCK_MONOTONIC) > deadline:
            number = signal.SIGKILL


def end_strays(folder: str) -> None:
    """Kill what still works in a data folder: backends that have outlived their server."""
    deadline = clock_gettime(CLOCK_MONOTONIC) + _STOP_SECONDS
    while strays := _working_in(folder):
        for pid in strays:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        sleep(0.02)
        if clock_gettime(CLOCK_MONOTONIC) > deadline:
            return


def _working_in(folder: str) -> list[int]:
    if Path("/proc/self").exists():
        pids = [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]
        return [pid for pid in pids if works_in(pid, folder)]
    listed = subprocess.run(
        ["lsof", "-a", "-d", "cwd", "-Fp", folder], capture_output=True, text=True, check=False
    )
    return [int(line[1:]) for line in listed.stdout.splitlines() if line.startswith("p")]


def _remove_segment(process: Process) -> None:
    """Remove the shared memory of a killed server; one that was stopped has removed it."""
    import ctypes

    with contextlib.suppress(OSError, ValueError, IndexError):
        lines = (Path(process.folder) / "postmaster.pid").read_text().splitlines()
        _, number = lines[6].split()
        ctypes.CDLL(None).shmctl(int(number), _IPC_RMID, None)


def works_in(pid: int, folder: str) -> bool:
    """Whether a process lives and has this working folder."""
    try:
        return Path(f"/proc/{pid}/cwd").readlink() == Path(folder).resolve()
    except FileNotFoundError:
        if Path("/proc/self").exists():
            return False
    except OSError:
        return False
    listed = subprocess.run(
        ["lsof", "-a", "-p", str(pid), "-d", "cwd", "-Fn"],
        capture_output=True,
        text=True,
        check=False,
    )
    return f"n{Path(folder).resolve()}\n" in listed.stdout


def _start(process: Process) -> subprocess.Popen[bytes]:
    log = os.open(process.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    try:
        return subprocess.Popen(
            process.argv,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd=process.folder,
            env=process.environment,
            user=process.uid,
            group=process.gid,
            extra_groups=None if process.uid is None else [],
            umask=0o077,
        )
    finally:
        os.close(log)


def main(folder: Path) -> None:
    """Start what is to be started, wait for the owner's end, clean up.

    Forks first: whoever started us has no child to wait for, and we no parent to die with.
    """
    if os.fork():
        os._exit(0)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    busy = os.open(folder / BUSY, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    fcntl.lockf(busy, fcntl.LOCK_EX)
    alive = os.open(folder / ALIVE, os.O_RDWR | os.O_CLOEXEC)
    (folder / READY).touch(mode=0o600)
    child = _start_if_told(folder)
    fcntl.lockf(alive, fcntl.LOCK_EX)  # waits for the owner to be gone
    if not (folder / KEEP).exists():
        clean(folder, child)


def _start_if_told(folder: Path) -> subprocess.Popen[bytes] | None:
    """Wait for a server to start, on standard input; its end means that there is none."""
    told = sys.stdin.readline()
    if not told:
        return None
    process = Process(**json.loads(told))
    work = Work.from_record(json.loads((folder / WORK).read_text(encoding="utf-8")))
    work.process = process
    write_private(folder / WORK, json.dumps(work.as_record()))
    child = _start(process)

    def note_end(*_: object) -> None:
        if child.poll() is not None:
            (folder / ENDED).touch(mode=0o600)

    signal.signal(signal.SIGCHLD, note_end)
    note_end()
    return child


def start_kept() -> None:
    """Start the server that standard input tells of, and leave it alone: it is nobody's child."""
    if os.fork():
        os._exit(0)
    os.setsid()
    print(_start(Process(**json.loads(sys.stdin.read()))).pid, flush=True)
    os._exit(0)


if __name__ == "__main__":
    main(Path(sys.argv[1])) if len(sys.argv) > 1 else start_kept()
