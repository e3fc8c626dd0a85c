"""The kinds of server, and what is looked at in each."""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

from pytest_dbmigrate.addresses.dsn import Dsn
from pytest_dbmigrate.databases.connection import connect
from pytest_dbmigrate.runs.run import Run
from pytest_dbmigrate.servers.server import Server
from pytest_dbmigrate.settings.specs import DEFAULT_IMAGE

IMAGE = os.environ.get("DBMIGRATE_IMAGE", DEFAULT_IMAGE)
COMPOSE_FILE = Path(__file__).parents[2] / "examples/issuers/compose.yaml"
DEBIAN = Path("/usr/lib/postgresql/15/bin")

# `compose` is Docker with a project's own compose file, `debian` embedded with Debian's programs
EMBEDDED = [
    pytest.param("embedded"),
    pytest.param("debian", marks=pytest.mark.skipif(not DEBIAN.is_dir(), reason=f"no {DEBIAN}")),
]
DOCKER = [
    pytest.param("docker", marks=pytest.mark.docker),
    pytest.param("compose", marks=pytest.mark.docker),
]
OWNED = [*EMBEDDED, *DOCKER]
KINDS = [*OWNED, pytest.param("url")]


@dataclass(frozen=True)
class Plain:
    """A server that was started by hand: its superuser, and a role with only CREATEDB."""

    admin: Dsn
    role: Dsn

    def databases(self) -> set[str]:
        """Return the names of all databases."""
        with connect(self.admin) as connection:
            return {name for (name,) in connection.execute("select datname from pg_database")}


@dataclass(frozen=True)
class Started:
    """A server and the run that it belongs to."""

    run: Run
    server: Server


@dataclass
class Owner:
    """A process that owns a run with a server, a template and a test's database."""

    process: subprocess.Popen[str]
    folder: Path
    server: Server
    database: Dsn

    @property
    def id(self) -> str:
        """The run's id."""
        return self.folder.name

    def finish(self) -> None:
        """Let the owner end its run."""
        self.process.communicate("\n", timeout=60)
        assert self.process.returncode == 0

    def kill(self) -> None:
        """Kill the owner."""
        self.process.kill()
        self.process.communicate()


def in_docker(run_id: str) -> list[str]:
    """Return the containers, networks and volumes of a run."""
    project = f"label=com.docker.compose.project=dbmigrate-{run_id}"
    found = []
    for what in (["ps", "--all"], ["network", "ls"], ["volume", "ls"]):
        listed = docker(*what, "--quiet", "--filter", project)
        found += [f"{what[0]} {name}" for name in listed.split()]
    return found


def docker(*arguments: str) -> str:
    """Return what a docker command prints."""
    done = subprocess.run(["docker", *arguments], capture_output=True, text=True, check=True)
    return done.stdout
