"""Record of a kept server, in the project's private folder in the cache.

The folder also lists the runs that use the server, and has the data of an embedded server if it
does not fit in memory.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import socket
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypedDict

from pytest_dbmigrate import file_locks
from pytest_dbmigrate.addresses.dsn import Dsn, DsnData
from pytest_dbmigrate.errors import ServerError
from pytest_dbmigrate.runs.files import write_private
from pytest_dbmigrate.runs.folders import is_alive
from pytest_dbmigrate.runs.server_process import ServerProcess
from pytest_dbmigrate.servers import commands
from pytest_dbmigrate.servers.embedded.programs import Identity
from pytest_dbmigrate.settings.values import Settings

_NAME = "pytest-dbmigrate"
_ASKED = ("server", "image", "compose_file", "compose_service", "pg_bin")
_RECORD, _LOCK, _USERS = "server.json", "lock", "users"


class RecordData(TypedDict):
    """The record as JSON data; a missing value is null or empty."""

    kind: str
    dsn: DsnData
    project: str
    plugin: str
    asked: dict[str, str]
    boot: str
    programs: list[Any]
    folder: str
    process: dict[str, Any] | None
    down: list[str]
    is_ready: bool


@dataclass(frozen=True)
class Record:
    """What is recorded of a kept server.

    `plugin` is the version that made it. `asked` has the settings that it was made for, `programs`
    identifies the Postgres of an embedded server: either may have changed. `boot` is the id of the
    machine's boot at the server's start. `process` and `folder` belong to an embedded server,
    `down` is the command that removes any other.
    """

    kind: str
    dsn: Dsn
    project: str
    plugin: str
    asked: dict[str, str] = field(default_factory=dict)
    boot: str = ""
    programs: Identity | None = None
    folder: str = ""
    process: ServerProcess | None = None
    down: tuple[str, ...] = ()
    is_ready: bool = False

    def ready(self, dsn: Dsn) -> Record:
        """Return the record of the server once it answers at this address."""
        return replace(self, dsn=dsn, is_ready=True)

    def as_record(self) -> RecordData:
        """Return the record as JSON data, the password in it."""
        return RecordData(
            kind=self.kind,
            dsn=self.dsn.as_record(),
            project=self.project,
            plugin=self.plugin,
            asked=self.asked,
            boot=self.boot,
            programs=list(self.programs or ()),
            folder=self.folder,
            process=vars(self.process) if self.process else None,
            down=list(self.down),
            is_ready=self.is_ready,
        )

    @classmethod
    def from_record(cls, record: dict[str, Any]) -> Record:
        """Return the record that `as_record` wrote, perhaps in another version.

        Unknown values are ignored. Raises `KeyError`, `TypeError` or `ValueError` if a value is
        missing that every version writes.
        """
        process, programs = record.get("process"), record.get("programs")
        return cls(
            kind=record["kind"],
            dsn=Dsn.from_record(record["dsn"]),
            project=record["project"],
            plugin=record["plugin"],
            asked=record.get("asked", {}),
            boot=record.get("boot", ""),
            programs=Identity(*programs) if programs else None,
            folder=record.get("folder", ""),
            process=ServerProcess(**process) if process else None,
            down=tuple(record.get("down", ())),
            is_ready=record.get("is_ready", False),
        )


def requested(settings: Settings) -> dict[str, str]:
    """Return the settings that a kept server was made for."""
    texts = {name: str(getattr(settings, name)) for name in _ASKED}
    return texts | {"server": settings.server.text}  # with the password: its change counts


def key(root: str | Path) -> str:
    """Return the project's eight digits, different for each checkout, user and machine."""
    text = (
        f"{socket.gethostname()}:{os.getuid()}:{Path(root).resolve()}"  # machines may share a home
    )
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()[:8]


class Kept:
    """The folder of one project's kept server."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @classmethod
    def of(cls, root: str | Path) -> Kept:
        """Return the folder of the project at `root`; it need not exist."""
        return cls(cache() / key(root))

    @property
    def key(self) -> str:
        """The project's eight digits."""
        return self.folder.name

    @contextlib.contextmanager
    def only_one(self) -> Iterator[None]:
        """Hold the lock of the project's server, to start, replace or end it.

        Raises `ServerError` if the folder cannot be made private to this user.
        """
        # `forget` removes the folder, lock file and all, while others may wait for that very file.
        # Their lock would then be on a file without a name, so each checks it and starts over.
        while True:
            make_private(self.folder)
            with contextlib.suppress(FileNotFoundError):  # removed meanwhile
                file = os.open(self.folder / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
                file_locks.flock(file)
                if self._is_lock(file):
                    break
                os.close(file)
        try:
            yield
        finally:
            os.close(file)

    def _is_lock(self, file: int) -> bool:
        """Whether an open file is still the lock file, and not a removed one."""
        try:
            return os.path.samestat(os.fstat(file), (self.folder / _LOCK).stat())
        except FileNotFoundError:
            return False

    def read(self) -> Record | None:
        """Return the record of the kept server, or None."""
        try:
            data = json.loads((self.folder / _RECORD).read_text(encoding="utf-8"))
            return Record.from_record(data)
        except (OSError, ValueError, TypeError, AttributeError, KeyError):  # none, or unreadable
            return None

    def write(self, record: Record) -> None:
        """Write the record of the kept server."""
        write_private(self.folder / _RECORD, json.dumps(record.as_record()))

    def empty(self) -> None:
        """Remove everything about a server that no longer exists."""
        for path in self.folder.iterdir():
            if path.name in (_LOCK, _USERS):
                continue
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink()

    def forget(self) -> None:
        """Remove the folder."""
        shutil.rmtree(self.folder, ignore_errors=True)
        with contextlib.suppress(OSError):
            self.folder.parent.rmdir()

    def join(self, run: Path) -> None:
        """Record that the run with this folder uses the server."""
        users = self.folder / _USERS
        users.mkdir(mode=0o700, exist_ok=True)
        write_private(users / run.name, str(run))

    def users(self, besides: str = "") -> list[str]:
        """Return the ids of the live runs that use the server, but for the given one."""
        entries = [*(self.folder / _USERS).glob("[!.]*")]
        others = [it for it in entries if it.name != besides and "." not in it.name]
        living = {entry.name: _lives(entry) for entry in others}
        for entry in others:
            if not living[entry.name]:
                entry.unlink(missing_ok=True)
        return [name for name, lives in living.items() if lives]


def _lives(entry: Path) -> bool:
    """Whether the run that wrote the entry is alive."""
    try:
        run = Path(entry.read_text(encoding="utf-8"))
        return run.exists() and is_alive(run)
    except FileNotFoundError:  # it has just ended
        return False


def every() -> Iterator[tuple[Kept, Record]]:
    """Yield the kept servers of all of this user's projects."""
    with contextlib.suppress(FileNotFoundError):
        for folder in sorted(cache().iterdir()):
            kept = Kept(folder)
            record = kept.read()
            if record is not None:
                yield kept, record


def cache() -> Path:
    """Return the cache folder of this user, which has a folder for each project."""
    if os.environ.get("XDG_CACHE_HOME", "").startswith("/"):
        return Path(os.environ["XDG_CACHE_HOME"]) / _NAME
    if sys.platform == "darwin":
        return Path.home() / "Library/Caches" / _NAME
    return Path.home() / ".cache" / _NAME


def make_private(folder: Path) -> None:
    """Make a folder that only this user can enter. Raises `ServerError` if it is another's."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        info = folder.lstat()
    except OSError as error:
        raise ServerError(
            f"the folder for what is kept between runs cannot be made: {error}",
            todo=("point XDG_CACHE_HOME at a folder of yours, or run without --db-resume",),
        ) from None
    if info.st_uid != os.getuid() or info.st_mode & 0o077:
        raise ServerError(
            f"{folder} is not a private folder of this user",
            todo=("remove it, or point XDG_CACHE_HOME at another folder",),
        )


def boot() -> str:
    """Return an id of the current boot of this machine."""
    # Linux draws a random id at each boot. It is the same in every process and container, and
    # unlike a boot time, it does not change when the clock is set.
    with contextlib.suppress(OSError):
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    return commands.run(["sysctl", "-n", "kern.boottime"]).stdout.strip()  # macOS
