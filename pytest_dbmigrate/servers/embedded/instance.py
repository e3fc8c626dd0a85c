"""Embedded Postgres instance: its data folder made by initdb, its process, its start."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from pytest_dbmigrate import file_locks
from pytest_dbmigrate.addresses.dsn import Dsn
from pytest_dbmigrate.errors import ServerError
from pytest_dbmigrate.runs import guardian, server_process
from pytest_dbmigrate.runs.files import write_private
from pytest_dbmigrate.runs.server_process import ServerProcess
from pytest_dbmigrate.servers.embedded.place import Place
from pytest_dbmigrate.servers.options import KEPT, THROW_AWAY, as_arguments
from pytest_dbmigrate.servers.readiness import wait_until_ready
from pytest_dbmigrate.servers.server import Server

_LOG_LINES = 20
_SCRAM_ITERATIONS_SINCE = 16


def initialize(place: Place, dsn: Dsn) -> None:
    """Make the data folder. Raises `ServerError` with the output of initdb."""
    password = place.folder / "password"
    write_private(password, dsn.password + "\n")
    place.account.own(password)
    command = _initdb(place, dsn.user, password)
    # The lock is inherited by initdb and what it starts. Whoever removes the folder of a run that
    # was killed waits for it: initdb would go on to write into a folder that is being removed.
    with open(place.folder / server_process.FILLING, "w", encoding="utf-8") as filling:
        file_locks.flock(filling)
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


def _initdb(place: Place, user: str, password: Path) -> list[str]:
    command = [
        str(place.programs.initdb),
        f"--pgdata={place.data}",
        f"--username={user}",
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
    return command


def process(place: Place, dsn: Dsn, *, is_kept: bool = False) -> ServerProcess:
    """Return the server's process, for the guardian to start."""
    options = {
        **(KEPT if is_kept else THROW_AWAY),
        "listen_addresses": dsn.host,
        "port": str(dsn.port),
        "unix_socket_directories": place.socket_folder,
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


def wait_for(log: Path, server: Server, seconds: float, is_alive: Callable[[], bool]) -> Server:
    """Return the started server once it answers; raises `ServerError` with its log."""

    def tail() -> str:
        try:
            return _tail(log.read_text(errors="replace"))
        except OSError:
            return ""

    return wait_until_ready(server, seconds, is_alive, tail)


def launch(process: ServerProcess, server: Server, seconds: float) -> Server:
    """Start a server that outlives this process, and return it once it answers.

    Raises `ServerError` with the end of its log.
    """
    # The guardian's program forks before it starts the server, so that the server is init's child
    # and not ours; it prints the server's process id.
    started = subprocess.run(
        [sys.executable, "-I", "-S", guardian.__file__],
        input=json.dumps(vars(process)),
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )
    pid = int(started.stdout or 0)
    return wait_for(
        Path(process.log),
        server,
        seconds,
        is_alive=lambda: bool(pid) and server_process.works_in(pid, process.folder),
    )


def bury(process: ServerProcess, folder: Path) -> None:
    """End what still works in a data folder, and let a new server start in it."""
    process.end()
    server_process.end_strays(process.folder)
    # Postgres refuses to start while the process that postmaster.pid names lives. A dead postmaster
    # whose parent has not reaped it counts as living, and so does any process that has its number
    # by now. No process uses the folder any more, so the file is stale.
    for file in [*Path(process.folder).glob("postmaster.pid"), *folder.glob(".s.*")]:
        file.unlink()


def at_port_of(process: ServerProcess, before: Dsn, now: Dsn) -> ServerProcess:
    """Return a server's process at another port."""
    port = {f"port={before.port}": f"port={now.port}"}
    argv = [port.get(word, word) for word in process.argv]
    return ServerProcess(**{**vars(process), "argv": argv})


def _tail(text: str) -> str:
    return "\n".join(text.rstrip().splitlines()[-_LOG_LINES:])
