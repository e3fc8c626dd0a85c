"""Every kind of server, started once, and runs of other processes that use them."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import psycopg
import pytest

from pytest_dbmigrate.addresses.dsn import Dsn, Secret
from pytest_dbmigrate.databases import control_tables, sweep
from pytest_dbmigrate.databases.connection import connect
from pytest_dbmigrate.databases.control import Control
from pytest_dbmigrate.migrations import events
from pytest_dbmigrate.runs.run import Run
from pytest_dbmigrate.servers import startup
from pytest_dbmigrate.servers.embedded import programs
from pytest_dbmigrate.servers.embedded.account import account
from pytest_dbmigrate.servers.options import as_arguments
from pytest_dbmigrate.servers.server import Server
from pytest_dbmigrate.settings.resolution import resolve
from pytest_dbmigrate.settings.values import Settings
from tests.conformance.kinds import (
    COMPOSE_FILE,
    DEBIAN,
    IMAGE,
    KINDS,
    Owner,
    Plain,
    Started,
    in_docker,
)

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def plain(temporary_files: Path) -> Iterator[Plain]:
    """A durable server, in the care of the tests and not of a run."""
    who = account()
    memory = Path("/dev/shm")  # durable it is all the same
    folder = Path(tempfile.mkdtemp(dir=memory if os.access(memory, os.W_OK) else temporary_files))
    who.own(folder)
    found = programs.find("").reachable_by(who, folder)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    admin = Dsn("127.0.0.1", port, "admin", Secret("keeper of it all"), "postgres")
    (folder / "password").write_text(admin.password)
    common: dict[str, Any] = {"cwd": folder, "env": found.environment(), **who.drop()}
    subprocess.run(
        [
            found.initdb,
            f"--pgdata={folder / 'data'}",
            f"--username={admin.user}",
            f"--pwfile={folder / 'password'}",
            "--auth=scram-sha-256",
            "--locale=C.UTF-8",
            "--encoding=UTF8",
        ],
        check=True,
        capture_output=True,
        **common,
    )
    options = {"port": str(port), "listen_addresses": "127.0.0.1"}
    options["unix_socket_directories"] = str(folder)
    with (
        open(folder / "log", "wb") as log,
        subprocess.Popen(
            [found.postgres, "-D", folder / "data", *as_arguments(options)],
            stdout=log,
            stderr=log,
            **common,
        ) as process,
    ):
        _wait_for(admin, process)
        with connect(admin) as connection:
            connection.execute("create role tester login createdb password 's3cret'")
        yield Plain(admin, replace(admin, user="tester", password=Secret("s3cret")))
        process.send_signal(signal.SIGINT)
    shutil.rmtree(folder)


def _wait_for(dsn: Dsn, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 60
    while True:
        assert process.poll() is None, "the server has ended"
        assert time.monotonic() < deadline, "the server does not answer"
        with contextlib.suppress(psycopg.OperationalError), psycopg.connect(dsn.conninfo()):
            return
        time.sleep(0.01)


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    """The kind of server: each test runs with each."""
    return str(request.param)


@pytest.fixture(scope="session")
def options_for(request: pytest.FixtureRequest) -> Callable[[str], dict[str, str]]:
    """The options that ask for a kind of server."""

    def options(kind: str) -> dict[str, str]:
        if kind == "url":
            plain: Plain = request.getfixturevalue("plain")
            return {"server": plain.role.url()}
        return {
            "embedded": {"server": "embedded"},
            "debian": {"server": "embedded", "pg_bin": str(DEBIAN)},
            "docker": {"server": "docker", "image": IMAGE},
            "compose": {"server": "docker", "compose_file": str(COMPOSE_FILE)},
        }[kind]

    return options


@pytest.fixture(autouse=True, scope="session")
def compose_image() -> Iterator[None]:
    """Let the project's compose file use our image."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("POSTGRES_IMAGE", IMAGE)
        yield


@pytest.fixture
def settings(kind: str, options_for: Callable[[str], dict[str, str]]) -> Settings:
    """The settings that ask for the kind of server."""
    return resolve(Path.cwd(), options_for(kind), {}, {})


@pytest.fixture
def new_run(temporary_files: Path) -> Iterator[Run]:
    """A run of this test alone."""
    run = Run.start("conformance")
    yield run
    run.finish()


@pytest.fixture(scope="session")
def _all_started(temporary_files: Path) -> Iterator[dict[str, Started]]:
    started: dict[str, Started] = {}
    yield started
    for one in started.values():
        one.run.finish()


@pytest.fixture
def started(kind: str, settings: Settings, _all_started: dict[str, Started]) -> Started:
    """A server of the kind, shared by all tests that do not end it."""
    if kind not in _all_started:
        run = Run.start("conformance")
        try:
            _all_started[kind] = Started(run, startup.server(settings, run))
        except BaseException:
            run.finish()
            raise
    return _all_started[kind]


@pytest.fixture
def server(started: Started) -> Server:
    """The shared server of the kind."""
    return started.server


@pytest.fixture
def run_id(server: Server) -> Iterator[str]:
    """The id of a run that has a control database on the shared server."""
    name = secrets.token_hex(4)
    control_tables.create(server.dsn, name, events.TABLE)
    yield name
    sweep.sweep(server.dsn, name)


@pytest.fixture
def connected(server: Server, run_id: str) -> Iterator[Control]:
    """A connection to the control database."""
    connected = Control(server.dsn, run_id, durable=server.durable)
    yield connected
    connected.close()


@pytest.fixture
def start_owner(
    kind: str, options_for: Callable[[str], dict[str, str]]
) -> Iterator[Callable[..., Owner]]:
    """A way to start a process that owns a run of the kind."""
    owners: list[Owner] = []

    def start_one(*, keep: bool = False) -> Owner:
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.conformance.owner"],
            cwd=ROOT,  # where `tests` is found, installed or not
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert process.stdin is not None
        assert process.stdout is not None
        told = {"options": options_for(kind), "keep": keep}
        print(json.dumps(told), file=process.stdin, flush=True)
        said = json.loads(process.stdout.readline())
        owner = Owner(
            process,
            Path(said["folder"]),
            Server.from_record(said["server"]),
            Dsn.from_record(said["database"]),
        )
        owners.append(owner)
        return owner

    yield start_one
    for owner in owners:
        owner.kill()


@pytest.fixture
def left(
    kind: str, request: pytest.FixtureRequest, processes: Callable[[str], list[int]]
) -> Callable[[Owner], list[str]]:
    """A search for all that a run may leave behind, in words."""

    def find(owner: Owner) -> list[str]:
        folders = [
            owner.folder,
            *Path("/dev/shm").glob(f"*{owner.id}*"),
            *Path(tempfile.gettempdir()).glob(f"*{owner.id}*"),
        ]
        found = [f"process {pid}" for pid in processes(owner.id)]
        found += [f"folder {folder}" for folder in folders if folder.exists()]
        if kind in ("docker", "compose"):
            found += in_docker(owner.id)
        if kind == "url":
            plain: Plain = request.getfixturevalue("plain")
            found += [f"database {name}" for name in plain.databases() if owner.id in name]
        return found

    return find
