"""Released projects are migrated by ini lines alone, and as Alembic's own commands do it."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
import pytest

from pytest_dbmigrate.addresses.dsn import Dsn
from tests.real import environments

pytestmark = pytest.mark.real
HERE = Path(__file__).parent
PER_PROJECT, ALTOGETHER = 300.0, 600.0  # seconds, with nothing in the cache
APPLIED = re.compile(
    r"dbmigrate: fresh: (\d+) revisions applied in ([\d.]+) s; "
    r"(?:the schema matches the models|(\d+) differences to the models)"
)
REVISION = re.compile(r"dbmigrate: +\d+/\d+ (\S+) \(\d+ ms\)")


@pytest.fixture(scope="session")
def end() -> float:
    """When all of it must have ended, by `time.monotonic`."""
    return time.monotonic() + ALTOGETHER


@pytest.fixture
def left(end: float) -> Callable[[], float]:
    """What tells how many seconds a project has left."""
    own = min(end, time.monotonic() + PER_PROJECT)
    return lambda: max(1.0, own - time.monotonic())


@pytest.fixture(scope="session")
def plugin(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that the plugin is installed in."""
    folder = tmp_path_factory.mktemp("plugin")
    environments.plugin(folder)
    return folder


class Project:
    """A copy of a project's folder, its Python, and what its processes find around them."""

    def __init__(self, path: Path, python: Path, left: Callable[[], float]) -> None:
        self.path = path
        self._python = str(python)
        self._left = left

    def run(self, *arguments: str, modules: Path) -> str:
        """Return what its Python prints; it ends well, and in time."""
        done = subprocess.run(
            [self._python, *arguments], cwd=self.path, env=self._environment(modules),
            capture_output=True, text=True, timeout=self._left(), check=False,
        )  # fmt: skip
        assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
        return done.stdout

    def _environment(self, modules: Path) -> dict[str, str]:
        """Return an environment without ours; what it keeps at home is not at our home."""
        ours = ("DBMIGRATE_", "PYTEST_", "PYTHON", "PG")
        given = {name: it for name, it in os.environ.items() if not name.startswith(ours)}
        return {**given, "HOME": str(self.path), "PYTHONPATH": str(modules)}


def reference(project: Project, server: Dsn, name: str) -> dict[str, Any]:
    """Return what Alembic's own commands come to on an empty database of the same server."""
    database = f"reference_{name}"
    with psycopg.connect(server.conninfo(), autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{database}"'.encode())
        printed = project.run("reference.py", server.at(database).url(), modules=HERE)
        connection.execute(f'DROP DATABASE "{database}" WITH (FORCE)'.encode())
    found: dict[str, Any] = json.loads(printed.splitlines()[-1])
    return found


@pytest.mark.parametrize(
    ("name", "pins", "revisions", "differences"),
    [
        ("optuna", "requirements.txt", 10, 4),
        ("optuna", "requirements-sqlalchemy-1.4.txt", 10, 4),
        ("mlflow", "requirements.txt", 74, 22),
        ("langflow", "requirements.txt", 162, 0),
        ("airflow", "requirements.txt", 126, 0),
    ],
)
def test_a_project_is_migrated_by_ini_lines_as_alembic_does_it(
    name: str,
    pins: str,
    revisions: int,
    differences: int,
    tmp_path: Path,
    server: Dsn,
    plugin: Path,
    left: Callable[[], float],
    rows: list[str],
) -> None:
    path = Path(shutil.copytree(HERE / name, tmp_path / name))
    project = Project(path, environments.project(name, path / pins, left), left)

    theirs = reference(project, server, name)
    said = project.run(
        "-m", "pytest", "-p", "dbmigrate", "-v", f"--db-server={server.url()}", modules=plugin
    )

    applied = APPLIED.search(said)
    assert applied is not None, said
    assert int(applied[1]) == len(theirs["revisions"]) == revisions
    assert sorted(REVISION.findall(said)) == sorted(theirs["revisions"])
    assert int(applied[3] or 0) == len(theirs["differences"]) == differences
    label = " ".join([name, *pins.removesuffix(".txt").split("-")[1:]])
    alone, ours = theirs["seconds"], float(applied[2])
    rows.append(
        f"{label:<21} {revisions:>9} {differences:>11} {alone:>7.2f} s {ours:>7.2f} s "
        f"{ours / alone:.2f}"
    )
