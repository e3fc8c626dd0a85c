"""Many runs at once on one kept server, half of them killed: no run sees another's rows."""

from __future__ import annotations

import os
import random
import re
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.plugin import killing
from tests.plugin.killing import Scene
from tests.plugin.projects import Project

pytestmark = pytest.mark.skipif(not Path("/proc/self").exists(), reason="needs /proc")

TESTS = """
import os
import time

import pytest


@pytest.mark.parametrize("number", range(5))
def test_its_rows_are_its_own(migrated_db, number):
    with migrated_db.connect() as connection:
        connection.execute("insert into item (name) select %s", (str(os.getpid()),))
        connection.commit()
        time.sleep(0.05)
        rows = connection.execute("select name from item").fetchall()
        assert rows == [(str(os.getpid()),)]
"""
# A revision that ends when two other runs wait for the turn to build, and one that never does.
UNTIL_TWO_WAIT = """
import time
from sqlalchemy import text

waiting = text("select count(*) from pg_locks where locktype = 'advisory' and not granted")
deadline = time.monotonic() + 150
while op.get_bind().execute(waiting).scalar() < 2:
    assert time.monotonic() < deadline
    time.sleep(0.02)
op.execute("create table slow (id int)")
"""
FOREVER = """
import pathlib, time

pathlib.Path({begun!r}).touch()
time.sleep(600)
"""


@pytest.fixture
def scene(project: Project, temporary_files: Path) -> Iterator[Scene]:
    """A project of some revisions, and folders of its own for what its runs leave."""
    for number in range(1, 6):
        project.revision(f"{number:04}", f'op.execute("create table t{number} (id int)")')
    project.revision("0006", 'op.execute("create table item (name text)")')
    project.tests(TESTS)
    temporary, cache, signs = (Path(tempfile.mkdtemp(dir=temporary_files)) for _ in range(3))
    scene = Scene(project, temporary, cache, signs)
    yield scene
    scene.end()


@pytest.mark.timeout(600)
@pytest.mark.parametrize("count", [8, pytest.param(20, marks=pytest.mark.matrix)])
def test_many_runs_at_once_half_of_them_killed(scene: Scene, count: int) -> None:
    dice = random.Random(20)
    runs = [scene.start("-q") for _ in range(count)]
    doomed = runs[::2]
    ended: dict[int, str] = {}
    for run in doomed:
        time.sleep(dice.uniform(0.0, 1.6))
        os.kill(run.pid, signal.SIGKILL)
    for run in runs:
        ended[run.pid], _ = run.communicate(timeout=300)
    survivors = [run for run in runs if run not in doomed]
    assert [(it.returncode, ended[it.pid]) for it in survivors if it.returncode] == []
    assert [re.findall(r"5 passed", ended[it.pid]) for it in survivors] == [["5 passed"]] * (
        count // 2
    )
    # the next run sweeps what those have left that were killed before they had a guardian
    assert scene.resume().line.startswith("unchanged: 6 revisions")
    scene.assert_nothing_is_left()


@pytest.mark.timeout(300)
def test_one_run_migrates_and_the_others_wait(scene: Scene) -> None:
    scene.project.revision("0007", UNTIL_TWO_WAIT)
    runs: list[subprocess.Popen[str]] = [scene.start() for _ in range(3)]
    said = [run.communicate(timeout=200)[0] for run in runs]
    told = sorted(re.findall(killing.HOW, "\n".join(said), re.MULTILINE))
    assert [re.sub(r" in .*", "", line).partition(";")[0] for line in told] == [
        "fresh: 7 revisions applied",
        "unchanged: 7 revisions",
        "unchanged: 7 revisions",
    ]
    assert (
        len(
            re.findall(
                r"^dbmigrate: waiting for run \w{8} \(process \d+ on ",
                "\n".join(said),
                re.MULTILINE,
            )
        )
        == 2
    )


@pytest.mark.timeout(300)
def test_waiting_for_too_long_is_an_error_that_names_the_holder(scene: Scene) -> None:
    begun = scene.signs / "begun"
    scene.project.revision("0007", FOREVER.format(begun=str(begun)))
    first = scene.start()
    try:
        deadline = time.monotonic() + 100
        while not begun.exists():
            assert time.monotonic() < deadline
            time.sleep(0.05)
        output, _ = scene.start("--db-wait=1").communicate(timeout=100)
    finally:
        first.kill()
        first.communicate()
    assert "another run of this project has been applying migrations for 1 s" in output
    assert re.search(
        rf"tried: waiting for run \w{{8}} \(process {first.pid} on .*\), since ", output
    )
    assert "to do: end that run, or wait longer with --db-wait" in output
