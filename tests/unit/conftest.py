"""A folder of runs, and a server with databases, for what needs them."""

from __future__ import annotations

import os
import secrets
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import hypothesis
import psycopg
import pytest

from pytest_dbmigrate.addresses.dsn import Dsn
from pytest_dbmigrate.databases import sweep
from pytest_dbmigrate.databases.connection import connect, drop
from pytest_dbmigrate.runs.run import Run
from pytest_dbmigrate.servers import startup
from pytest_dbmigrate.servers.server import Server
from pytest_dbmigrate.settings.resolution import resolve

# the machine may be busy, and the working folder may be closed to us
hypothesis.settings.register_profile("patient", deadline=None, database=None)
hypothesis.settings.load_profile("patient")


@pytest.fixture
def runs_folder(temporary_files: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of runs of this test alone; it does not exist yet."""
    folder = tempfile.mkdtemp(dir=temporary_files)
    monkeypatch.setattr(tempfile, "tempdir", folder)
    monkeypatch.setenv("TMPDIR", folder)
    return Path(folder) / f"pytest-dbmigrate-{os.getuid()}"


@pytest.fixture(scope="session")
def server(temporary_files: Path) -> Iterator[Server]:
    """An embedded server."""
    run = Run.start("unit tests")
    settings = resolve(temporary_files, {"server": "embedded"}, {}, {})
    try:
        yield startup.server(settings, run)
    finally:
        run.finish()


@pytest.fixture
def new_database(server: Server) -> Iterator[Callable[[], Dsn]]:
    """A way to get empty databases, dropped with the test."""
    made: list[Dsn] = []

    def new() -> Dsn:
        dsn = server.dsn.at(f"test_{secrets.token_hex(4)}")
        with psycopg.connect(server.dsn.conninfo(), autocommit=True) as connection:
            connection.execute(f"create database {dsn.dbname} strategy file_copy")
        made.append(dsn)
        return dsn

    yield new
    with connect(server.dsn) as connection:
        for dsn in made:
            connection.execute(drop(dsn.dbname))


@pytest.fixture
def run_id(server: Server) -> Iterator[str]:
    """The id of a run whose databases are dropped with the test."""
    name = secrets.token_hex(4)
    yield name
    sweep.sweep(server.dsn, name)
