"""Server process of an embedded Postgres: started, and stopped whoever its parent was.

No process id is trusted: one can belong to somebody else by the time it is looked at. A server is
known by working in its data folder. Standard library only: the guardian uses this.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
from dataclasses import dataclass
from pathlib import Path
from time import CLOCK_MONOTONIC, clock_gettime, sleep  # names of our own, which no test patches

from pytest_dbmigrate import file_locks

FILLING = "filling.lock"  # in the data folder's folder; a flock of initdb and its children

_IPC_RMID = 0  # of <sys/ipc.h>, the same on Linux and macOS
_STOP_SECONDS = 10.0


@dataclass
class ServerProcess:
    """How a server is started, and where it works."""

    argv: list[str]
    folder: str
    log: str
    environment: dict[str, str]
    uid: int | None = None
    gid: int | None = None

    def start(self) -> subprocess.Popen[bytes]:
        """Start the server as a child of this process."""
        log = os.open(self.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        try:
            return subprocess.Popen(
                self.argv,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self.folder,
                env=self.environment,
                user=self.uid,
                group=self.gid,
                extra_groups=None if self.uid is None else [],
                umask=0o077,
            )
        finally:
            os.close(log)

    def end(self) -> None:
        """Stop the server if it runs, whoever its parent is, and remove its shared memory."""
        self._stop()
        self._remove_segment()

    def _stop(self) -> None:
        """Stop the process that the pid file names, if that works in the data folder."""
        try:
            pid = int((Path(self.folder) / "postmaster.pid").read_text().split("\n", 1)[0])
        except (OSError, ValueError):
            return
        deadline = clock_gettime(CLOCK_MONOTONIC) + _STOP_SECONDS
        number = signal.SIGQUIT
        while works_in(pid, self.folder):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)
            sleep(0.02)
            if clock_gettime(CLOCK_MONOTONIC) > deadline:
                number = signal.SIGKILL

    def _remove_segment(self) -> None:
        """Remove the shared memory of a killed server; one that was stopped has removed it."""
        import ctypes

        with contextlib.suppress(OSError, ValueError, IndexError):
            lines = (Path(self.folder) / "postmaster.pid").read_text().splitlines()
            _, number = lines[6].split()
            ctypes.CDLL(None).shmctl(int(number), _IPC_RMID, None)


def end_child(child: subprocess.Popen[bytes]) -> None:
    """Stop a server that is our own child; at once, as its data is thrown away."""
    child.send_signal(signal.SIGQUIT)
    try:
        child.wait(_STOP_SECONDS)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()


def end_strays(folder: str) -> None:
    """Kill the processes that still use a data folder: backends that outlived their server."""
    deadline = clock_gettime(CLOCK_MONOTONIC) + _STOP_SECONDS
    while strays := _working_in(folder):
        for pid in strays:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        sleep(0.02)
        if clock_gettime(CLOCK_MONOTONIC) > deadline:
            return


def remove_server_folder(folder: Path) -> None:
    """Remove an embedded server's folder, once nobody fills it any more."""
    _wait_until_filled(folder)
    shutil.rmtree(folder, ignore_errors=True)


def _wait_until_filled(folder: Path) -> None:
    """Wait for an initdb that has outlived the run: cut short, it leaves shared memory behind."""
    deadline = clock_gettime(CLOCK_MONOTONIC) + _STOP_SECONDS
    with contextlib.suppress(OSError), open(folder / FILLING, "rb") as file:
        while clock_gettime(CLOCK_MONOTONIC) < deadline and not file_locks.try_flock(file):
            sleep(0.02)


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


def _working_in(folder: str) -> list[int]:
    if Path("/proc/self").exists():
        pids = [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]
        return [pid for pid in pids if works_in(pid, folder)]
    listed = subprocess.run(
        ["lsof", "-a", "-d", "cwd", "-Fp", folder], capture_output=True, text=True, check=False
    )
    return [int(line[1:]) for line in listed.stdout.splitlines() if line.startswith("p")]
