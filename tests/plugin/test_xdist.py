"""Under pytest-xdist: one server and one migration run for all workers, a database for each."""

from __future__ import annotations

import json
import re
import signal
from collections.abc import Iterator

import pytest

from pytest_dbmigrate.version import __version__
from tests.plugin.projects import Project
from tests.plugin.remains import Runs, watched

XDIST = ("xdist",)
WRITES = """
    import pytest

    @pytest.mark.parametrize("number", range({count}))
    def test_has_a_database_of_its_own(migrated_db, number):
        with migrated_db.connect() as connection:
            connection.execute("insert into item values (1, %s)", [str(number)])
        with migrated_db.connect() as connection:
            rows = connection.execute("select * from item").fetchall()
        assert rows == [(1, str(number))]
"""
UNCHECKED = "not compared with the models: env.py gives Alembic no target_metadata"
WAITS = """
    import time
    from pathlib import Path

    def test_waits(migrated_db):
        Path("in-test").touch()
        time.sleep(600)
"""


@pytest.fixture
def runs(items_project: Project) -> Iterator[Runs]:
    """Runs of a project of which nothing may be left when the test ends."""
    with watched(items_project) as runs:
        yield runs


def test_two_hundred_tests_on_four_workers_share_a_server_and_a_migration_run(runs: Runs) -> None:
    runs.project.revision("0002", 'op.execute("create table more (id integer)")')
    runs.project.revision("0003", 'op.execute("create table still_more (id integer)")')
    runs.project.write(
        "conftest.py",
        """
        import json, os
        from pathlib import Path

        import psycopg
        import pytest

        EVENTS = "select kind, revision, run, process from event order by id"

        @pytest.fixture(scope="session", autouse=True)
        def tell(db_server, worker_id):
            yield
            run_id = Path(os.environ["RUN_ID"]).read_text()
            with psycopg.connect(db_server.dsn.at(f"dbm_{run_id}_control").conninfo()) as control:
                events = control.execute(EVENTS).fetchall()
                began = str(control.execute("select pg_postmaster_start_time()").fetchone()[0])
            told = {"address": repr(db_server.dsn), "began": began, "events": events}
            Path(f"told-{worker_id}").write_text(json.dumps(told))

        @pytest.fixture(autouse=True)
        def note_run_id(migrated_db):
            Path(os.environ["RUN_ID"]).write_text(migrated_db.name.split("_")[1])
        """,
    )
    runs.project.tests(WRITES.format(count=200))
    ended = runs.run("-n", "4", plugins=XDIST, environ={"RUN_ID": "run-id"})
    assert (ended.status, ended.verdict) == (pytest.ExitCode.OK, "200 passed")
    told = [json.loads(file.read_text()) for file in runs.project.path.glob("told-gw*")]
    assert len(told) == 4
    assert all(worker == told[0] for worker in told)
    events = told[0]["events"]
    assert [(kind, revision) for kind, revision, _, _ in events] == [
        (kind, revision) for revision in ("0001", "0002", "0003") for kind in ("started", "done")
    ]
    assert len({(run, process) for _, _, run, process in events}) == 1
    assert {run for _, _, run, _ in events} == runs.ids


@pytest.mark.parametrize(
    ("options", "passed"),
    [
        (("-n", "2", "--dist", "loadfile"), 10),
        (("-n", "2", "--dist", "worksteal"), 10),
        (("-n", "2", "--dist", "each"), 20),
        (("-n", "0"), 10),
        (("--tx", "2*popen", "--dist", "load"), 10),
    ],
    ids=lambda it: " ".join(it) if isinstance(it, tuple) else str(it),
)
def test_tests_are_isolated_however_they_are_distributed(
    runs: Runs, options: tuple[str, ...], passed: int
) -> None:
    runs.project.tests(WRITES.format(count=10))
    ended = runs.run(*options, server="url", plugins=XDIST)
    assert (ended.status, ended.verdict) == (pytest.ExitCode.OK, f"{passed} passed")


def test_without_xdist_a_run_is_a_plain_one(runs: Runs) -> None:
    runs.project.tests(WRITES.format(count=2))
    ended = runs.run("-p", "no:xdist", server="url")
    assert (ended.status, ended.verdict) == (pytest.ExitCode.OK, "2 passed")


def test_the_controller_tells_of_the_server_and_the_migrations_once(runs: Runs) -> None:
    runs.project.tests(WRITES.format(count=10))
    ended = runs.run("-n", "2", "-v", plugins=XDIST)
    told = [re.sub(r"\d+\.\d+ s|\d+ ms", "TIME", line) for line in ended.told]
    assert [re.sub(r"PostgreSQL [\d.]+", "PostgreSQL VERSION", line) for line in told] == [
        f"{__version__}, server=embedded (option)",
        "PostgreSQL VERSION (embedded), ready in TIME",
        "1/1 0001 (TIME)",
        f"fresh: 1 revision applied in TIME; {UNCHECKED}",
    ]


def test_a_killed_worker_is_replaced_by_one_that_has_a_database(runs: Runs) -> None:
    runs.project.tests(
        """
        import os, signal

        def test_first(migrated_db, worker_id):
            assert worker_id == "gw0"

        def test_kills_its_worker(migrated_db):
            migrated_db.connect(autocommit=True).execute("insert into item values (1)")
            os.kill(os.getpid(), signal.SIGKILL)

        def test_next(migrated_db, worker_id):
            assert worker_id == "gw1"
            migrated_db.connect(autocommit=True).execute("insert into item values (1)")
        """
    )
    ended = runs.run("-n", "1", server="url", plugins=XDIST)
    assert (ended.status, ended.verdict) == (pytest.ExitCode.TESTS_FAILED, "1 failed, 2 passed")
    assert "worker 'gw0' crashed while running 'test_it.py::test_kills_its_worker'" in ended.output


def test_a_worker_killed_in_the_migration_leaves_it_to_another(runs: Runs) -> None:
    runs.project.revision(
        "0002",
        """
        import os, signal
        from pathlib import Path
        op.execute("create table more (id integer)")
        if not Path("killed").exists():
            Path("killed").touch()
            os.kill(os.getppid(), signal.SIGKILL)
            op.execute("select pg_sleep(600)")
        """,
    )
    runs.project.tests(WRITES.format(count=10))
    ended = runs.run("-n", "2", plugins=XDIST)
    assert (ended.status, ended.verdict) == (pytest.ExitCode.TESTS_FAILED, "1 failed, 9 passed")


def test_a_failing_migration_is_explained_once_and_unit_tests_pass(runs: Runs) -> None:
    runs.project.revision("0002", 'op.execute("select 1 / 0")')
    runs.project.tests(WRITES.format(count=6) + "\n    def test_unit():\n        pass\n")
    ended = runs.run("-n", "2", server="url", plugins=XDIST)
    assert (ended.status, ended.verdict) == (pytest.ExitCode.TESTS_FAILED, "1 passed, 6 errors")
    said = "no database: revision 0002 failed (explained at the end)"
    assert [line for line in ended.lines if line == said] == [said] * 6
    assert ended.output.count("division by zero") == 1
    assert ended.block("dbmigrate: no database")[0] == "revision 0002 failed"
    assert [line for line in ended.told if "0002" in line] == [
        "revision 0002 failed (explained at the end)"
    ]


def test_a_run_of_unit_tests_starts_no_server(runs: Runs) -> None:
    runs.project.tests("def test_unit():\n    pass\n\ndef test_other():\n    pass")
    ended = runs.run("-n", "2", plugins=XDIST)
    assert (ended.status, ended.verdict) == (pytest.ExitCode.OK, "2 passed")
    assert ended.told == [f"{__version__}, server=embedded (option)"]


@pytest.mark.parametrize("server", ["embedded", pytest.param("docker", marks=pytest.mark.docker)])
def test_each_worker_has_the_address_of_its_own_database_before_conftest_is_imported(
    runs: Runs, server: str
) -> None:
    runs.project.ini("dbmigrate_env = DATABASE_URL")
    runs.project.write(
        "conftest.py",
        """
        import os
        import pytest

        AT_IMPORT = os.environ["DATABASE_URL"]

        @pytest.fixture
        def at_import():
            return AT_IMPORT
        """,
    )
    runs.project.tests(
        """
        import os
        from pathlib import Path
        import pytest

        @pytest.mark.parametrize("number", range(10))
        def test_it(migrated_db, at_import, worker_id, number):
            assert at_import == migrated_db.url_for("")
            Path(worker_id).write_text(migrated_db.name)
        """
    )
    ended = runs.run("-n", "2", server=server, plugins=XDIST)
    assert (ended.status, ended.verdict) == (pytest.ExitCode.OK, "10 passed")
    (run_id,) = runs.ids
    for worker in ("gw0", "gw1"):
        assert (runs.project.path / worker).read_text() == f"dbm_{run_id}_{worker}"


def test_ctrl_c_leaves_nothing(runs: Runs) -> None:
    runs.project.tests(WAITS)
    started = runs.start("-n", "2", plugins=XDIST)
    started.until("in-test")
    started.interrupt()
    ended = started.end()
    assert (ended.status, ended.verdict) == (pytest.ExitCode.INTERRUPTED, "no tests ran")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_deadly_signal_to_the_controller_leaves_nothing(
    runs: Runs, number: signal.Signals
) -> None:
    runs.project.tests(WAITS)
    started = runs.start("-n", "2", plugins=XDIST)
    started.until("in-test")
    started.send(number)
    assert started.end().status == -number
