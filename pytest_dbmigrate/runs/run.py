"""Run: one `pytest` command with all its processes; its id, folder, lock and owner.

The folder is how the processes meet before there is a server to meet on: it holds the server's
address, what the guardian has to remove, and a journal of what happened. The owner holds a record
lock in it for its life (see `file_locks`), which tells everybody else whether the run lives.
"""

from __future__ import annotations

import contextlib
import json
import os
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from pytest_dbmigrate import clock, file_locks
from pytest_dbmigrate.addresses.dsn import Dsn
from pytest_dbmigrate.errors import ServerError
from pytest_dbmigrate.runs import folders, guardian
from pytest_dbmigrate.runs.files import open_private, write_private
from pytest_dbmigrate.runs.journal import Journal
from pytest_dbmigrate.runs.server_process import ServerProcess

_GUARDIAN_START, _GUARDIAN_PATIENCE = 10.0, 30.0  # seconds to wait for its start, and its end


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
        folder = folders.new()
        lock = os.open(folder / guardian.ALIVE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        file_locks.record_lock(lock)
        write_private(folder / folders.PROJECT, project)
        # last: a folder without this file is a run that is just beginning, which nobody sweeps
        write_private(folder / guardian.OWNER, str(os.getpid()))
        return cls(folder, lock)

    @classmethod
    def join(cls, folder: str) -> Run:
        """Return the run that another process has started."""
        return cls(Path(folder), None)

    @property
    def is_owner(self) -> bool:
        """Whether this process began the run, and has to end it."""
        return self._lock is not None

    @contextlib.contextmanager
    def only_one(self, what: str) -> Iterator[None]:
        """Let one process of the run at a time into the block."""
        # a flock, not a record lock: it also excludes threads and forks of this process
        with open(self.folder / f"{what}.lock", "w", encoding="utf-8", opener=open_private) as file:
            file_locks.flock(file)
            yield

    def claim(self, what: str) -> bool:
        """Return True for the first process of the run that asks, False for all others."""
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
        """Write a value atomically for the other processes of the run."""
        write_private(self.folder / name, json.dumps(value))

    def forget(self, name: str) -> None:
        """Remove the value written under `name`."""
        (self.folder / name).unlink(missing_ok=True)

    @contextlib.contextmanager
    def start_guardian(self, work: guardian.Work) -> Iterator[Callable[[ServerProcess], None]]:
        """Start the guardian that does `work` when the run's owner is gone.

        Inside the block, the function given has it start a server. Raises `ServerError` if the
        guardian did not start.
        """
        with self._launch(work) as (first, wait):
            wait()
            assert first.stdin is not None
            yield lambda process: print(json.dumps(asdict(process)), file=first.stdin, flush=True)

    @contextlib.contextmanager
    def start_guardian_meanwhile(self, work: guardian.Work) -> Iterator[None]:
        """Start the guardian that does `work`, without a server, while the block runs.

        It has started when the block is left. Raises `ServerError` if it did not.
        """
        with self._launch(work) as (_, wait):
            yield
            wait()

    @contextlib.contextmanager
    def _launch(
        self, work: guardian.Work
    ) -> Iterator[tuple[subprocess.Popen[str], Callable[[], None]]]:
        """Start the guardian; yield it, and a function that waits until it is ready."""
        work.write(self.folder)
        log = self.folder / guardian.LOG
        command = [sys.executable, "-I", "-S", guardian.__file__, str(self.folder)]
        with (
            open(log, "wb", opener=open_private) as output,
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
                first.wait()  # until it has forked
                self._wait_for_guardian(log, command)

            yield first, wait

    def _wait_for_guardian(self, log: Path, command: list[str]) -> None:
        deadline = clock.now() + _GUARDIAN_START
        while not (self.folder / guardian.READY).exists():
            is_there = file_locks.is_record_locked(self.folder / guardian.BUSY)
            if (log.stat().st_size and not is_there) or clock.now() > deadline:
                raise ServerError(
                    "the process that looks after the server did not start",
                    tried=(" ".join(command),),
                    log=log.read_text(errors="replace"),
                )
            clock.sleep(0.002)

    def clear_work(self) -> None:
        """Make the guardian remove nothing but the run's own folder."""
        guardian.Work().write(self.folder)

    def keep(self) -> None:
        """Keep the server when the run ends, until `folders.end_kept` is called."""
        (self.folder / guardian.KEEP).touch(mode=0o600)

    def psql(self, dsn: Dsn) -> str:
        """Return a command that opens a database; the password is in a private file."""
        file = self.folder / "pgpass"
        secret = dsn.password.replace("\\", "\\\\").replace(":", "\\:")
        write_private(file, f"*:*:*:*:{secret}\n")
        command = ["psql", "-h", dsn.host, "-p", str(dsn.port), "-U", dsn.user, "-d"]
        options = [f"{key}={value}" for key, value in dsn.options]
        command.append(" ".join([f"dbname={dsn.dbname}", *options]) if options else dsn.dbname)
        return f"PGPASSFILE={shlex.quote(str(file))} {shlex.join(command)}"

    def finish(self) -> bool:
        """End the run; return whether everything it owned is removed now.

        Safe to call twice, and from a worker, where it does nothing. What could not be
        removed is tried again when the next run begins.
        """
        if self._lock is None:
            return True
        lock, self._lock = self._lock, None
        has_work = (self.folder / guardian.WORK).exists()
        os.close(lock)  # releases the record lock, for which the guardian waits
        if not has_work:
            guardian.remove(self.folder)
        elif not guardian.wait_until_done(self.folder, _GUARDIAN_PATIENCE):
            guardian.clean(self.folder)  # the guardian was killed, or could not: do its work
        return not self.folder.exists() or (self.folder / guardian.KEEP).exists()
