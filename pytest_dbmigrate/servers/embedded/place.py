"""Place of an embedded server: its private folder, in memory if there is room."""

from __future__ import annotations

import os
import re
import secrets
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

from pytest_dbmigrate.servers.embedded.account import Account, account
from pytest_dbmigrate.servers.embedded.programs import Programs
from pytest_dbmigrate.servers.kept.record import Kept

MEMORY = Path("/dev/shm")  # noqa: S108  # a folder of our own is made in it
_ON_DISK = Path("/var/tmp")  # noqa: S108  # a private folder with a random name is made in it
_ROOM = 1 << 30  # bytes of memory that must be free to keep the data there
_LONGEST_SOCKET_FOLDER = 88  # bytes; the socket's own name comes after it


@dataclass(frozen=True)
class Place:
    """A server's folder, and which programs it is made with."""

    programs: Programs
    account: Account
    folder: Path

    @property
    def data(self) -> Path:
        """The data folder."""
        return data_in(self.folder)

    @property
    def log(self) -> Path:
        """The server's log."""
        return log_in(self.folder)

    @property
    def socket_folder(self) -> str:
        """The folder for the server's socket, or nothing where a socket cannot be.

        We connect by TCP; the socket is for those who want to look.
        """
        # the path of a socket has at most 107 bytes, and Postgres reads the setting as a list
        is_possible = len(os.fsencode(self.folder)) < _LONGEST_SOCKET_FOLDER
        is_quotable = not re.search(r'[,"\\]', str(self.folder))
        return str(self.folder) if is_possible and is_quotable else ""


def data_in(folder: Path) -> Path:
    """Return the data folder in a server's folder."""
    return folder / "data"


def log_in(folder: Path) -> Path:
    """Return the log in a server's folder."""
    return folder / "log"


def of_run(run_id: str) -> Path:
    """Return the folder that a run's server will have; it does not exist yet."""
    roomy = MEMORY if has_room_in_memory() else Path(tempfile.gettempdir())
    return roomy / f"pytest-dbmigrate-{run_id}"


def of_kept(kept: Kept) -> Path:
    """Return the folder that a kept server will have; it does not exist yet.

    It is in memory if there is room: copying a database on a disk takes ten times as long.
    Without room it is in the cache, but root's cache is closed to the account that the server
    runs as.
    """
    name = f"pytest-dbmigrate-{kept.key}-{secrets.token_hex(8)}"
    if has_room_in_memory():
        return MEMORY / name
    return kept.folder / "server" if os.geteuid() != 0 else _ON_DISK / name


def prepare(programs: Programs, folder: Path) -> Place:
    """Return the place of a new server; its folder is made, private to its account."""
    who = account()
    folder.mkdir(mode=0o700)
    who.own(folder)
    return Place(programs.reachable_by(who, folder), who, folder)


def has_room_in_memory() -> bool:
    """Whether a data folder can be in memory: `/dev/shm` is writable and has 1 GiB free."""
    try:
        return os.access(MEMORY, os.W_OK | os.X_OK) and shutil.disk_usage(MEMORY).free >= _ROOM
    except OSError:
        return False
