"""Suites and the database: one run, one server, started only by a suite that needs it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.plugin.projects import Project
from tests.plugin.remains import Runs, watched

USES = "def test_uses(migrated_db): migrated_db.connect().execute('select 1 from item')\n"
PASSES = "def test_one(): pass\n"
HAS_ITS_OWN = """
import os
from conftest import ADDRESS

def test_has_the_address_from_the_beginning(migrated_db):
    assert migrated_db.url == ADDRESS == os.environ["DATABASE_URL"]
    with open("addresses", "a") as file:
        print(migrated_db.name, file=file)
"""


@pytest.fixture
def runs(items_project: Project) -> Iterator[Runs]:
    """Runs of which nothing may be left when the test ends."""
    with watched(items_project) as runs:
        yield runs


def write(runs: Runs, **texts: str) -> None:
    for name, text in texts.items():
        runs.project.tests(text, f"tests/{name}/test_it.py")


def test_no_server_is_started_where_no_suite_needs_one(runs: Runs) -> None:
    write(runs, unit=PASSES, integration=PASSES)

    ended = runs.run(plugins=("xdist",))

    assert (ended.status, ended.verdict) == (pytest.ExitCode.OK, "2 passed")
    assert not any("ready in" in line for line in ended.told)


@pytest.mark.parametrize("how", [(), ("-n", "2"), ("--db-suites=concurrent",)], ids=str)
def test_all_suites_share_a_server_and_a_run_of_the_migrations(
    runs: Runs, how: tuple[str, ...]
) -> None:
    write(runs, unit=PASSES, integration=USES, e2e=USES)

    ended = runs.run(*how, plugins=("xdist",))

    assert (ended.status, ended.verdict) == (pytest.ExitCode.OK, "3 passed")
    assert sum("(embedded), ready in" in line for line in ended.told) == 1
    assert sum("1 revision applied in" in line for line in ended.told) == 1


def test_each_suite_has_the_address_of_its_database_before_conftest_is_imported(
    runs: Runs,
) -> None:
    runs.project.ini("dbmigrate_env = DATABASE_URL={url:postgresql+psycopg}")
    for name in ("integration", "e2e"):
        runs.project.write(
            f"tests/{name}/conftest.py", "import os\nADDRESS = os.environ['DATABASE_URL']\n"
        )
    write(runs, unit=PASSES, integration=HAS_ITS_OWN, e2e=HAS_ITS_OWN)

    ended = runs.run(plugins=("xdist",))

    assert (ended.status, ended.verdict) == (pytest.ExitCode.OK, "3 passed")
    assert len(set((runs.project.path / "addresses").read_text().split())) == 2
