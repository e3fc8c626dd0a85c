"""A Postgres of our own, from programs on this machine, with a private data folder."""

from __future__ import annotations

import json
import os
import re
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from pytest_dbmigrate import file_locks
from pytest_dbmigrate.addresses.dsn import Dsn, Secret
from pytest_dbmigrate.errors import ServerError
from pytest_dbmigrate.runs import guardian, server_process
from pytest_dbmigrate.runs.files import write_private
from pytest_dbmigrate.runs.server_process import ServerProcess
from pytest_dbmigrate.servers.embedded.account import Account, account
from pytest_dbmigrate.servers.embedded.programs import Programs
from pytest_dbmigrate.servers.server import KEPT, THROW_AWAY, Server, as_arguments, wait_until_ready

_USER = "postgres"
MEMORY = Path("/dev/shm")  # noqa: S108  # a folder of our own is made in it
_ROOM = 1 << 30  # bytes of memory that must be free to keep the data there
_LOG_LINES = 20
_LONGEST_SOCKET_FOLDER = 88  # bytes; the socket's own name comes after it
_SCRAM_ITERATIONS_SINCE = 16


@dataclass(frozen=True)
class Place:
    """Where the server's folder will be, and which programs it is made with."""

    programs: Programs
    account: Account
    folder: Path

    @property
    def data(self) -> Path:
        """The data folder."""
        return self.folder / "data"

    @property
    def log(self) -> Path:
        """The server's log."""
        return self.folder / "log"


def reserve(before: Dsn | None = None) -> tuple[Dsn, socket.socket]:
    """Return an address on this machine that no one else gets while the socket is held.

    It is the one a server had `before`, if its port is free, and keeps its password.

    The socket is bound but does not listen, so the server can still bind the port: both
    sides allow the address to be reused, and only one of them listens.
    """
    holder = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        holder.bind(("127.0.0.1", before.port if before else 0))
    except OSError:
        holder.bind(("127.0.0.1", 0))
    password = Secret(before.password if before else secrets.token_hex(16))
    return Dsn("127.0.0.1", holder.getsockname()[1], _USER, password, "postgres"), holder


def place_for(run_id: str) -> Path:
    """Return the folder a run's server will have; it does not exist yet."""
    return _roomy() / f"pytest-dbmigrate-{run_id}"


def prepare(programs: Programs, folder: Path) -> Place:
    """Return the place of a new server; its folder is made, private to its account."""
    who = account()
    folder.mkdir(mode=0o700)
    who.own(folder)
    return Place(programs.reachable_by(who, folder), who, folder)


def process(place: Place, dsn: Dsn, *, is_kept: bool = False) -> ServerProcess:
    """Return the server's process, for the guardian to start."""
    options = {
        **(KEPT if is_kept else THROW_AWAY),
        "listen_addresses": dsn.host,
        "port": str(dsn.port),
        "unix_socket_directories": _socket_folder(place.folder),
        "unix_socket_permissions": "0700",
        "password_encryption": "scram-sha-256",
        "logging_collector": "off",
    }
    return ServerProcess(
        argv=[str(place.programs.postgres), "-D", str(place.data), *as_arguments(options)],
        folder=str(place.data),
        log=str(place.log),
        environment=place.programs.environment(),
        uid=place.account.uid,
        gid=place.account.gid,
    )


def _socket_folder(folder: Path) -> str:
    """Return the folder for the server's socket, or none where a socket cannot be.

    The path of a socket has at most 107 bytes, and Postgres reads the setting as a list.
    We connect by TCP; the socket is for those who want to look.
    """
    is_possible = len(os.fsencode(folder)) < _LONGEST_SOCKET_FOLDER
    return str(folder) if is_possible and not re.search(r'[,"\\]', str(folder)) else ""


def initialize(place: Place, dsn: Dsn) -> None:
    """Make the data folder. Raises `ServerError` with what initdb said."""
    password = place.folder / "password"
    write_private(password, dsn.password + "\n")
    place.account.own(password)
    command = [
        str(place.programs.initdb),
        f"--pgdata={place.data}",
        f"--username={dsn.user}",
        f"--pwfile={password}",
        "--auth=scram-sha-256",
        "--encoding=UTF8",
        "--locale=C.UTF-8",
        "--no-sync",
        "--no-instructions",
        "--wal-segsize=4",
    ]
    if place.programs.version >= _SCRAM_ITERATIONS_SINCE:
        # 128 random bits gain nothing from 4,096 rounds, and each connection pays for them
        command.append("--set=scram_iterations=1")
    with open(place.folder / server_process.FILLING, "w", encoding="utf-8") as filling:
        file_locks.flock(filling)  # initdb and its children inherit it: see the guardian's end
        done = subprocess.run(
            command,
            cwd=place.folder,
            env=place.programs.environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            umask=0o077,
            pass_fds=(filling.fileno(),),
            **place.account.drop(),
        )
    password.unlink()
    if done.returncode:
        raise ServerError(
            "initdb could not make a data folder for the embedded server",
            tried=(" ".join(command[:2]), f"as {place.account.name}"),
            todo=("see what it said; dbmigrate_pg_bin names other programs to use",),
            log=_tail(done.stdout),
        )


def ready(log: Path, server: Server, seconds: float, is_alive: Callable[[], bool]) -> Server:
    """Return the started server once it answers; raises `ServerError` with its log."""

    def tail() -> str:
        try:
            return _tail(log.read_text(errors="replace"))
        except OSError:
            return ""

    return wait_until_ready(server, seconds, is_alive, tail)


def launched(process: ServerProcess, server: Server, seconds: float) -> Server:
    """Start a server that is nobody's child, and return it once it answers."""
    started = subprocess.run(
        [sys.executable, "-I", "-S", guardian.__file__],
        input=json.dumps(vars(process)),
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )
    pid = int(started.stdout or 0)
    return ready(
        Path(process.log),
        server,
        seconds,
        is_alive=lambda: bool(pid) and server_process.works_in(pid, process.folder),
    )


def _roomy() -> Path:
    """Return a folder in memory if there is room in it, else the one for temporary files."""
    return MEMORY if has_room_in_memory() else Path(tempfile.gettempdir())


def has_room_in_memory() -> bool:
    """Whether a data folder can be in memory: it is there, open to us, and has a GiB free."""
    try:
        return os.access(MEMORY, os.W_OK | os.X_OK) and shutil.disk_usage(MEMORY).free >= _ROOM
    except OSError:
        return False


def _tail(text: str) -> str:
    return "\n".join(text.rstrip().splitlines()[-_LOG_LINES:])
