"""One run: its id, its private folder, and the lock that tells whether it lives.

A run is one `pytest` command with all its workers. The folder is how its
processes meet before there is a server to meet on: it holds the server's
address, what the guardian has to remove, and a journal of what happened.

The owner holds a POSIX record lock on a file in the folder. The kernel gives it
up when the owner dies, however it dies; unlike a pipe or a `flock` it is not
inherited by processes that tests start, and unlike a process id it is never reused.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import secrets
import shlex
import stat
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from pytest_dbmigrate import clock
from pytest_dbmigrate.addresses.dsn import Dsn
from pytest_dbmigrate.errors import ServerError
from pytest_dbmigrate.runs import guardian
from pytest_dbmigrate.runs.journal import Journal

_PROJECT = "project"  # the path of the tests' root
_GUARDIAN_PATIENCE = 30.0  # seconds to wait for the guardian to finish its work


class Run:
    """The folder of a run, as its owner (`start`) or as one of its workers (`join`)."""

    def __init__(self, folder: Path, lock: int | None) -> None:
        self.folder = folder
        self.id = folder.name
        self.journal = Journal(folder)
        self._lock = lock

    @classmethod
    def start(cls, project: str) -> Run:
        """Return a new run of a project; it lives until `finish`, or until this process dies."""
        folder = _new_folder()
        lock = os.open(folder / guardian.ALIVE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        fcntl.lockf(lock, fcntl.LOCK_EX)
        guardian.write_private(folder / _PROJECT, project)
        # last: a folder without it is a run that is just beginning, and not swept
        guardian.write_private(folder / guardian.OWNER, str(os.getpid()))
        return cls(folder, lock)

    @classmethod
    def join(cls, folder: str) -> Run:
        """Return the run another process has started."""
        return cls(Path(folder), None)

    @contextlib.contextmanager
    def only_one(self, what: str) -> Iterator[None]:
        """Let one process of the run at a time into the block."""
        with open(self.folder / f"{what}.lock", "w", encoding="utf-8", opener=_private) as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    def claim(self, what: str) -> bool:
        """Return True to the first process of the run that asks, False to all others."""
        try:
            (self.folder / f"{what}.claimed").touch(mode=0o600, exist_ok=False)
        except FileExistsError:
            return False
        return True

    def read(self, name: str) -> Any:
        """Return what a process of this run has written under `name`, or None."""
        try:
            return json.loads((self.folder / name).read_text(encoding="utf-8"))
        except FileNotFoundError:
            return None

    def write(self, name: str, value: Any) -> None:
        """Write a value that other processes of the run read whole or not at all."""
        guardian.write_private(self.folder / name, json.dumps(value))

    def forget(self, name: str) -> None:
        """Take back what was written under `name`."""
        (self.folder / name).unlink(missing_ok=True)

    @contextlib.contextmanager
    def guarded(self, work: guardian.Work) -> Iterator[Callable[[guardian.Process], None]]:
        """Start the guardian that does `work` when the run's owner is gone.

        Inside the block, the value given tells it to start a server process.
        Raises `ServerError` if the guardian did not start.
        """
        with self._launched(work) as (first, wait):
            wait()
            assert first.stdin is not None
            yield lambda process: print(json.dumps(asdict(process)), file=first.stdin, flush=True)

    @contextlib.contextmanager
    def guarding(self, work: guardian.Work) -> Iterator[None]:
        """Start the guardian that does `work` when the run's owner is gone, and no server.

        It starts while the block runs, and has started when the block is left. Raises
        `ServerError` if it did not.
        """
        with self._launched(work) as (_, wait):
            yield
            wait()

    @contextlib.contextmanager
    def _launched(
        self, work: guardian.Work
    ) -> Iterator[tuple[subprocess.Popen[str], Callable[[], None]]]:
        """Start the guardian; the value given also waits until it has forked and is ready."""
        guardian.write_private(self.folder / guardian.WORK, json.dumps(work.as_record()))
        log = self.folder / guardian.LOG
        command = [sys.executable, "-I", "-S", guardian.__file__, str(self.folder)]
        with (
            open(log, "wb", opener=_private) as output,
            subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=output,
                cwd="/",
                start_new_session=True,
                text=True,
            ) as first,
        ):

            def wait() -> None:
                first.wait()
                self._wait_for_guardian(log, command)

            yield first, wait

    def _wait_for_guardian(self, log: Path, command: list[str]) -> None:
        deadline = clock.now() + 10
        while not (self.folder / guardian.READY).exists():
            has_failed = log.stat().st_size and not guardian.is_locked(self.folder / guardian.BUSY)
            if has_failed or clock.now() > deadline:
                raise ServerError(
                    "the process that looks after the server did not start",
                    tried=(" ".join(command),),
                    log=log.read_text(errors="replace"),
                )
            clock.sleep(0.002)

    def keep(self) -> None:
        """Let the server stay when the run ends, until `end_kept` is called."""
        (self.folder / guardian.KEEP).touch(mode=0o600)

    def psql(self, dsn: Dsn) -> str:
        """Return a command that opens a database; the password is in a private file."""
        file = self.folder / "pgpass"
        secret = dsn.password.replace("\\", "\\\\").replace(":", "\\:")
        guardian.write_private(file, f"*:*:*:*:{secret}\n")
        command = ["psql", "-h", dsn.host, "-p", str(dsn.port), "-U", dsn.user, "-d"]
        options = [f"{key}={value}" for key, value in dsn.options]
        command.append(" ".join([f"dbname={dsn.dbname}", *options]) if options else dsn.dbname)
        return f"PGPASSFILE={shlex.quote(str(file))} {shlex.join(command)}"

    @property
    def is_owner(self) -> bool:
        """Whether this process has begun the run, and is to end it."""
        return self._lock is not None

    def owes_nothing(self) -> None:
        """Tell the guardian that there is nothing to remove but the run's own folder."""
        guardian.write_private(self.folder / guardian.WORK, json.dumps(guardian.Work().as_record()))

    def finish(self) -> bool:
        """End the run; return whether everything it owned is removed now.

        Safe to call twice, and from a worker, where it does nothing. What could not be
        removed is tried again when the next run begins.
        """
        if self._lock is None:
            return True
        lock, self._lock = self._lock, None
        guarded = (self.folder / guardian.WORK).exists()
        os.close(lock)
        if not guarded:
            guardian.remove(self.folder)
        elif not guardian.wait_until_done(self.folder, _GUARDIAN_PATIENCE):
            guardian.clean(self.folder)  # the guardian was killed, or could not: do its work
        return not self.folder.exists() or (self.folder / guardian.KEEP).exists()


def _private(path: str, flags: int) -> int:
    """Open a file that only this user can read: an `opener` for `open`."""
    return os.open(path, flags, 0o600)


def _new_folder() -> Path:
    while True:
        folder = home() / secrets.token_hex(4)
        # the last run to end removes the home of runs, perhaps at this very moment
        with contextlib.suppress(FileNotFoundError, FileExistsError):
            folder.mkdir(mode=0o700)
            return folder


def home() -> Path:
    """Return this user's private folder of runs; raises `ServerError` if it is not private."""
    folder = Path(tempfile.gettempdir()) / f"pytest-dbmigrate-{os.getuid()}"
    try:
        with contextlib.suppress(FileExistsError):
            folder.mkdir(mode=0o700)
        info = folder.lstat()
    except FileNotFoundError:
        if folder.parent.is_dir():
            return home()  # the last run to end has just removed it
        raise
    if not stat.S_ISDIR(info.st_mode) or info.st_uid != os.getuid() or info.st_mode & 0o077:
        raise ServerError(
            f"{folder} is not a private folder of this user",
            todo=("remove it, or point TMPDIR at another folder",),
        )
    return folder


def _folders() -> list[Path]:
    with contextlib.suppress(FileNotFoundError):  # removed by the last run to end
        return list(home().iterdir())
    return []


def sweep() -> None:
    """Remove what runs have left whose owner and guardian are both dead."""
    for folder in _folders():
        with contextlib.suppress(OSError):
            if _is_abandoned(folder):
                guardian.clean(folder)


def kept() -> Iterator[tuple[Path, str]]:
    """Yield the folder and the project of each run that is over and has kept its server."""
    for folder in _folders():
        if (folder / guardian.KEEP).exists() and not is_alive(folder):
            yield folder, (folder / _PROJECT).read_text()


def end_kept(project: str | None) -> list[str]:
    """Stop and remove what runs of a project (of all, if None) have kept; return their ids."""
    ended = []
    for folder, its_project in list(kept()):
        if project in (None, its_project):
            guardian.clean(folder)
            ended.append(folder.name)
    return ended


def _is_abandoned(folder: Path) -> bool:
    if (folder / guardian.KEEP).exists():
        return False
    return not is_alive(folder) and not guardian.is_locked(folder / guardian.BUSY)


def is_alive(folder: Path) -> bool:
    """Whether the owner of a run lives, or is just beginning it."""
    owner = folder / guardian.OWNER
    # Opening and closing a lock file of this very process would give its lock up.
    if not owner.exists() or owner.read_text() == str(os.getpid()):
        return True
    return guardian.is_locked(folder / guardian.ALIVE)
