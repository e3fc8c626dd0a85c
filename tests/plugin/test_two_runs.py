"""Two runs at once, of one checkout or of two: both pass, and never meet."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.plugin.projects import Project
from tests.plugin.remains import Runs, Started, assert_nothing_remains, watched

SERVERS = ["embedded", "url", pytest.param("docker", marks=pytest.mark.docker)]
# with embedded servers, too, two checkouts pass in the last test: this repeats it
IN_TWO_CHECKOUTS = [pytest.param("embedded", marks=pytest.mark.matrix), *SERVERS[1:]]
MEET = """
    import json, os, time
    from pathlib import Path

    import pytest

    NAME = os.environ["RUN_NAME"]
    MEETING = Path(os.environ["MEETING"])

    def wait_for(*names):
        deadline = time.monotonic() + 60
        while not all((MEETING / name).exists() for name in names):
            assert time.monotonic() < deadline
            time.sleep(0.005)

    def test_both_write_the_same_row_at_the_same_time(migrated_db, db_server):
        server = f"{db_server.dsn.host}:{db_server.dsn.port}"
        told = {"server": server, "database": migrated_db.name, "url": str(migrated_db.url)}
        with migrated_db.connect(autocommit=True) as connection:
            connection.execute("insert into item values (1, %s)", [NAME])
            (MEETING / f"written-{NAME}.new").write_text(json.dumps(told))
            (MEETING / f"written-{NAME}.new").rename(MEETING / f"written-{NAME}")
            wait_for("written-a", "written-b")
            assert connection.execute("select * from item").fetchall() == [(1, NAME)]
        (MEETING / f"read-{NAME}").touch()
        wait_for("read-a", "read-b")

    @pytest.mark.parametrize("number", range(20))
    def test_each_has_its_own(migrated_db, number):
        with migrated_db.connect() as connection:
            connection.execute("insert into item values (1, %s)", [NAME])
        with migrated_db.connect() as connection:
            assert connection.execute("select * from item").fetchall() == [(1, NAME)]
"""

AT_IMPORT = """
    import os
    import pytest

    AT_IMPORT = os.environ["DATABASE_URL"]

    @pytest.fixture(autouse=True)
    def its_own_address(migrated_db):
        assert AT_IMPORT == migrated_db.url_for("")
"""


@pytest.fixture
def runs(items_project: Project) -> Iterator[Runs]:
    """Runs of a project of which nothing may be left when the test ends."""
    with watched(items_project) as runs:
        yield runs


def start(
    runs: Runs, name: str, meeting: Path, server: str, *arguments: str, **keywords: Any
) -> Started:
    """Start a run that meets the other one in a folder.

    It has no cache: pytest 8.2 warns if two runs make the folder for it at the same moment.
    """
    environ = {"RUN_NAME": name, "MEETING": str(meeting)}
    arguments = ("-p", "no:cacheprovider", *arguments)
    return runs.start(*arguments, server=server, environ=environ, **keywords)


def assert_they_did_not_meet(meeting: Path, server: str) -> None:
    """Fail if what two runs have told of their databases has something in common."""
    a, b = (json.loads((meeting / f"written-{name}").read_text()) for name in "ab")
    assert a["database"] != b["database"]
    assert (a["server"] == b["server"]) == (server == "url")
    assert a["url"] != b["url"]


@pytest.mark.parametrize("server", SERVERS)
def test_two_runs_of_one_checkout_are_independent(runs: Runs, tmp_path: Path, server: str) -> None:
    """The address of each in a variable, too."""
    runs.project.ini("dbmigrate_env = DATABASE_URL")
    runs.project.write("conftest.py", AT_IMPORT)
    runs.project.tests(MEET)
    both = [start(runs, name, tmp_path, server) for name in "ab"]
    ended = [started.end() for started in both]
    assert [(it.status, it.verdict) for it in ended] == [(pytest.ExitCode.OK, "21 passed")] * 2
    assert_they_did_not_meet(tmp_path, server)
    assert len(runs.ids) == 2


@pytest.mark.parametrize("server", IN_TWO_CHECKOUTS)
def test_two_runs_of_two_checkouts_are_independent(runs: Runs, tmp_path: Path, server: str) -> None:
    runs.project.tests(MEET)
    (tmp_path / "meeting").mkdir()
    other = shutil.copytree(runs.project.path, tmp_path / "other")
    both = [
        start(runs, "a", tmp_path / "meeting", server),
        start(runs, "b", tmp_path / "meeting", server, folder=other),
    ]
    ended = [started.end() for started in both]
    assert [(it.status, it.verdict) for it in ended] == [(pytest.ExitCode.OK, "21 passed")] * 2
    assert_they_did_not_meet(tmp_path / "meeting", server)


def test_two_runs_with_workers_are_independent(runs: Runs, tmp_path: Path) -> None:
    runs.project.tests(MEET)
    both = [start(runs, name, tmp_path, "embedded", "-n", "2", plugins=["xdist"]) for name in "ab"]
    ended = [started.end() for started in both]
    assert [(it.status, it.verdict) for it in ended] == [(pytest.ExitCode.OK, "21 passed")] * 2
    assert_they_did_not_meet(tmp_path, "embedded")


@pytest.mark.parametrize("server", SERVERS)
def test_the_end_of_one_run_does_not_affect_the_other(
    runs: Runs, tmp_path: Path, server: str
) -> None:
    runs.project.tests(
        """
        import time
        from pathlib import Path

        def test_waits(migrated_db):
            Path("in-test").touch()
            while not Path("go-on").exists():
                time.sleep(0.01)
            migrated_db.connect(autocommit=True).execute("insert into item values (1)")

        def test_after(migrated_db):
            migrated_db.connect(autocommit=True).execute("insert into item values (1)")
        """
    )
    started = runs.start(server=server)
    started.until("in-test")
    other = shutil.copytree(runs.project.path, tmp_path / "other")
    (other / "go-on").touch()
    first = runs.start(server=server, folder=other).end()
    runs.project.write("go-on", "")
    second = started.end()
    assert [(it.status, it.verdict) for it in (first, second)] == [
        (pytest.ExitCode.OK, "2 passed")
    ] * 2
    assert_nothing_remains(runs)
