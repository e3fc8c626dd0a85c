"""`dbmigrate_shared`: one database for all tests of a process, as an old suite expects it."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from psycopg import sql

from pytest_dbmigrate.addresses.dsn import Dsn
from tests.plugin.projects import PATIENCE, Project
from tests.plugin.remains import Runs, watched
from tests.plugin.test_keep import ask, kept, name_of

LIBRARY = Path(__file__).parents[1] / "projects" / "shared_database"
XDIST = ("xdist",)
ALL = "18 passed"
ROWS = "select string_agg(name, ',' order by id) from item"
REMEMBERS = """
    from application import add, names

    def test_writes():
        add("a")
        assert names() == ["a"]

    def test_reads():
        assert names() == ["a"]
"""
KEEPS = """
    from application import add

    def test_passes():
        add("passes")

    def test_fails():
        add("fails")
        {failing}

    def test_last():
        add("last")
"""
SHARED = "dbmigrate_env = DATABASE_URL\ndbmigrate_shared = true\n"
APPLICATION = """
    import os
    import psycopg

    URL = os.environ["DATABASE_URL"]

    def add(name):
        with psycopg.connect(URL) as connection:
            connection.execute(
                "insert into item select coalesce(max(id), 0) + 1, %s from item", [name]
            )

    def names():
        with psycopg.connect(URL) as connection:
            return [name for (name,) in connection.execute("select name from item order by id")]
"""


@pytest.fixture
def runs(items_project: Project) -> Iterator[Runs]:
    """Runs of a project that shares a database; nothing of them may be left in the end."""
    items_project.ini(SHARED)
    items_project.write("application.py", APPLICATION)
    with watched(items_project) as runs:
        yield runs


@pytest.fixture
def library(tmp_path: Path, clean_environment: None) -> Path:
    """A copy of the project whose suite was written for one database."""
    ignored = shutil.ignore_patterns("__pycache__", ".pytest_cache")
    return Path(shutil.copytree(LIBRARY, tmp_path / "library", ignore=ignored))


@pytest.fixture
def migrated_url(project: Project, library: Path) -> Iterator[str]:
    """The URL of a database that Alembic itself has migrated, without us."""
    server = Dsn.parse(project.server_url())
    name = sql.Identifier("library")
    with psycopg.connect(server.conninfo(), autocommit=True) as connection:
        connection.execute(sql.SQL("create database {}").format(name))
        url = server.at("library").url()
        done = run(library, "alembic", "upgrade", "head", url=url)
        assert done.returncode == 0, done.stderr
        yield url
        connection.execute(sql.SQL("drop database {} with (force)").format(name))


def run(folder: Path, *command: str, url: str = "") -> subprocess.CompletedProcess[str]:
    """Run a Python module in a folder, with this URL in the environment."""
    environ = {**os.environ, "DATABASE_URL": url} if url else {**os.environ}
    done = subprocess.run(
        [sys.executable, "-m", *command],
        cwd=folder,
        env=environ,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    print(done.stdout, done.stderr, sep="\n")
    return done


def verdict(done: subprocess.CompletedProcess[str]) -> str:
    """Return pytest's counts."""
    return done.stdout.splitlines()[-1].strip("= ").rpartition(" in ")[0]


def test_the_suite_passes_without_us_on_one_database_one_test_after_the_other(
    library: Path, migrated_url: str
) -> None:
    assert verdict(run(library, "pytest", url=migrated_url)) == ALL


def test_the_suite_fails_without_us_on_one_database_with_two_workers(
    library: Path, migrated_url: str
) -> None:
    """The session fixtures of both workers add the same member: whichever is second cannot."""
    done = run(library, "pytest", "-p", "xdist", "-n", "2", url=migrated_url)
    assert done.returncode == pytest.ExitCode.TESTS_FAILED
    assert 'duplicate key value violates unique constraint "member_email_key"' in done.stdout
    assert re.fullmatch(r"\d+ passed, \d+ errors", verdict(done))


@pytest.mark.parametrize("workers", ["0", "2", pytest.param("4", marks=pytest.mark.matrix)])
def test_the_suite_passes_with_us_however_many_workers_there_are(
    library: Path, project: Project, workers: str
) -> None:
    with open(library / "pyproject.toml", "a", encoding="utf-8") as file:
        file.write('dbmigrate_env = ["DATABASE_URL"]\ndbmigrate_shared = true\n')
    command = project.command("-n", workers, plugins=XDIST)[2:]
    assert verdict(run(library, *command)) == ALL


def test_what_a_test_commits_is_there_for_the_next(runs: Runs) -> None:
    runs.project.tests(REMEMBERS)
    ended = runs.run(server="url")
    assert (ended.status, ended.verdict) == (pytest.ExitCode.OK, "2 passed")


def test_it_is_there_for_every_hook_and_fixture_from_the_first_test_to_the_last_hook(
    runs: Runs,
) -> None:
    runs.project.write(
        "conftest.py",
        """
        import application, pytest

        def pytest_runtest_setup(item):
            application.add(f"hook of {item.name}")

        @pytest.fixture(scope="session", autouse=True)
        def for_all():
            application.add("begin")
            yield
            application.add("end")

        def pytest_sessionfinish():
            print(application.names())
        """,
    )
    runs.project.tests("def test_it(): pass\n\ndef test_other(): pass")
    ended = runs.run("-s", "-p", "no:xdist", server="url")
    names = ["hook of test_it", "begin", "hook of test_other", "end"]
    assert (ended.status, ended.verdict) == (pytest.ExitCode.OK, "2 passed")
    assert str(names) in ended.output


def test_the_fixture_hands_out_that_database_also_to_session_fixtures(runs: Runs) -> None:
    runs.project.ini("dbmigrate_shared = true")
    runs.project.tests(
        """
        import pytest

        @pytest.fixture(scope="session")
        def connection(migrated_db):
            return migrated_db.connect(autocommit=True)

        def test_writes(connection):
            connection.execute("insert into item values (1, 'a')")

        def test_reads(connection, migrated_db):
            assert connection.info.dbname == migrated_db.name
            assert connection.execute("select * from item").fetchall() == [(1, "a")]
        """
    )
    ended = runs.run(server="url")
    assert (ended.status, ended.verdict) == (pytest.ExitCode.OK, "2 passed")


def test_each_worker_with_a_test_has_one_and_the_others_none(runs: Runs) -> None:
    runs.project.write(
        "conftest.py",
        """
        import os
        from pathlib import Path

        class Looping:
            def pytest_runtestloop(self):  # after those that come first, before xdist's own
                Path(f"looping-{os.environ['PYTEST_XDIST_WORKER']}").touch()

        def pytest_collection_finish(session):
            if "PYTEST_XDIST_WORKER" in os.environ:
                session.config.pluginmanager.register(Looping())
        """,
    )
    runs.project.tests(
        """
        import os, time
        from pathlib import Path
        import psycopg

        def test_it():
            url = os.environ["DATABASE_URL"]
            _, run, worker = url.rpartition("/")[2].split("_")
            while len(list(Path().glob("looping-*"))) < 2:  # the idle one, too
                time.sleep(0.01)
            with psycopg.connect(url) as connection:
                names = connection.execute(
                    "select datname from pg_database where datname like %s", [f"dbm_{run}_gw%"]
                ).fetchall()
            assert names == [(f"dbm_{run}_{worker}",)]
        """
    )
    ended = runs.run("-n", "2", server="url", plugins=XDIST)
    assert (ended.status, ended.verdict) == (pytest.ExitCode.OK, "1 passed")


def test_a_killed_worker_is_replaced_by_one_with_a_database_of_its_own(runs: Runs) -> None:
    runs.project.tests(
        """
        import os, signal
        from application import add, names

        def test_first():
            add("first")

        def test_kills_its_worker():
            os.kill(os.getpid(), signal.SIGKILL)

        def test_next():
            assert names() == []
        """
    )
    ended = runs.run("-n", "1", server="url", plugins=XDIST)
    assert (ended.status, ended.verdict) == (pytest.ExitCode.TESTS_FAILED, "1 failed, 2 passed")


def test_tests_that_run_in_forked_processes_share_it_too(runs: Runs) -> None:
    runs.project.write(
        "conftest.py",
        """
        import os, pytest
        from _pytest.runner import runtestprotocol

        @pytest.hookimpl(tryfirst=True)
        def pytest_runtest_protocol(item, nextitem):
            child = os.fork()
            if not child:
                reports = runtestprotocol(item, nextitem=nextitem, log=False)
                os._exit(any(report.failed for report in reports))
            failed = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
            for when in ("setup", "call", "teardown"):
                outcome = "failed" if failed and when == "call" else "passed"
                item.ihook.pytest_runtest_logreport(report=pytest.TestReport(
                    item.nodeid, item.location, {}, outcome, None, when))
            return True
        """,
    )
    runs.project.tests(REMEMBERS)
    for arguments in ((), ("-n", "1")):
        ended = runs.run(*arguments, server="url", plugins=XDIST)
        assert (ended.status, ended.verdict) == (pytest.ExitCode.OK, "2 passed")


@pytest.mark.parametrize("workers", ["0", "2"])
def test_without_a_database_every_test_ends_in_one_line_and_it_is_explained_once(
    runs: Runs, workers: str
) -> None:
    runs.project.revision("0002", 'op.execute("select 1 / 0")')
    runs.project.tests(
        """
        import pytest

        @pytest.mark.parametrize("number", range(4))
        def test_it(number): pass

        @pytest.mark.skip
        def test_skipped(): pass

        def test_asks(migrated_db): pass
        """
    )
    ended = runs.run("-n", workers, server="url", plugins=XDIST)
    assert (ended.status, ended.verdict) == (pytest.ExitCode.TESTS_FAILED, "1 skipped, 5 errors")
    said = "no database: revision 0002 failed (explained at the end)"
    assert [line for line in ended.lines if line == said] == [said] * 5
    assert ended.output.count("division by zero") == 1
    assert ended.block("dbmigrate: no database")[0] == "revision 0002 failed"


def test_a_variable_that_a_conftest_has_changed_is_an_error_of_every_test(runs: Runs) -> None:
    runs.project.write(
        "conftest.py", 'import os; os.environ["DATABASE_URL"] = "postgresql://production/"'
    )
    runs.project.tests("def test_it(): pass")
    ended = runs.run(server="url")
    assert (ended.status, ended.verdict) == (pytest.ExitCode.TESTS_FAILED, "1 error")
    assert ended.block("dbmigrate: no database")[0] == (
        "DATABASE_URL, which dbmigrate_env names, was set to something else while conftest files, "
        "plugins and test modules were loaded"
    )


def test_no_option_takes_it_back(runs: Runs) -> None:
    runs.project.tests("from application import names\n\ndef test_it(): names()")
    ended = runs.run("--no-db-shared", server="url")
    assert (ended.status, ended.verdict) == (pytest.ExitCode.TESTS_FAILED, "1 failed")


def test_collecting_alone_starts_nothing(runs: Runs) -> None:
    runs.project.tests("def test_it(): pass")
    ended = runs.run("--collect-only", "-q")
    assert ended.verdict == "1 test collected"
    assert runs.ids == frozenset()


def test_a_run_that_collects_nothing_makes_no_database(runs: Runs) -> None:
    runs.project.tests("def test_it(): pass")
    ended = runs.run("-k", "nothing", server="url")
    assert ended.verdict == "1 deselected"
    assert len(ended.told) == 1


def test_stopping_at_the_first_failure_and_the_failed_ones_again(runs: Runs) -> None:
    runs.project.tests(
        """
        from application import add, names

        def test_passes():
            add("a")

        def test_fails():
            assert names() == []

        def test_other():
            pass
        """
    )
    assert runs.run("-x", server="url").verdict == "1 failed, 1 passed"
    assert runs.run("--lf", server="url").verdict == "1 passed"


def test_resumed_runs_begin_with_a_new_database(runs: Runs) -> None:
    runs.project.tests(REMEMBERS)
    first = runs.run("--db-resume")
    second = runs.run("--db-resume")
    runs.run("--db-stop")
    assert (first.verdict, second.verdict) == ("2 passed", "2 passed")
    assert second.told[-1].startswith("unchanged: 1 revision")


@pytest.mark.parametrize(("arguments", "plugins"), [((), ()), (("-n", "2"), XDIST)])
def test_a_killed_run_leaves_nothing(
    runs: Runs, arguments: tuple[str, ...], plugins: tuple[str, ...]
) -> None:
    runs.project.tests(
        """
        import time
        from pathlib import Path
        from application import add

        def test_waits():
            add("a")
            Path("in-test").touch()
            time.sleep(600)
        """
    )
    started = runs.start(*arguments, server="url", plugins=plugins)
    started.until("in-test")
    started.send(signal.SIGKILL)
    assert started.end().status == -signal.SIGKILL


@pytest.mark.parametrize(
    ("value", "failing", "rows"),
    [
        ("failed", "assert 0", "passes,fails,last"),
        ("failed", "pass", None),
        ("always", "pass", "passes,fails,last"),
        ("never", "assert 0", None),
    ],
)
def test_it_is_kept_as_the_last_test_has_left_it(
    runs: Runs, value: str, failing: str, rows: str | None
) -> None:
    runs.project.tests(KEEPS.format(failing=failing))
    ended = runs.run(f"--db-keep={value}", server="url")
    (run_id,) = runs.ids
    assert [ask(line, ROWS) for line in kept(ended)] == ([rows] if rows else [])
    assert [name_of(line) for line in kept(ended)] == ([f"dbm_{run_id}_main"] if rows else [])
    if (value, failing) == ("failed", "assert 0"):  # the failed test names it, too
        at = ended.lines.index(f"{' kept database ':-^80}")
        assert [ended.lines[at + 1]] == kept(ended)
    runs.tool("stop")


def test_a_test_that_fails_in_its_teardown_keeps_it_too(runs: Runs) -> None:
    runs.project.tests(
        """
        import pytest

        @pytest.fixture
        def fails():
            yield
            assert 0

        def test_it(fails): pass
        """
    )
    assert len(kept(runs.run("--db-keep=failed", server="url"))) == 1
    runs.tool("stop")


def test_each_worker_in_which_a_test_failed_keeps_its_own(runs: Runs) -> None:
    runs.project.tests(
        """
        import pytest

        @pytest.mark.parametrize("number", range(8))
        def test_fails(number): assert 0
        """
    )
    ended = runs.run("--db-keep=failed", "-n", "2", server="url", plugins=XDIST)
    (run_id,) = runs.ids
    names = [f"dbm_{run_id}_{worker}" for worker in ("gw0", "gw1")]
    assert sorted(map(name_of, kept(ended))) == names
    assert [ask(line, "select count(*) from item") for line in kept(ended)] == ["0", "0"]
    runs.tool("stop")
