"""`--db-keep`: which databases stay, how the report tells of them, and how they are ended."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

import psycopg
import pytest

from tests.plugin.projects import Project
from tests.plugin.remains import Ended, Runs, assert_nothing_remains, watched

SERVERS = ["embedded", "url", pytest.param("docker", marks=pytest.mark.docker)]
ONE_FAILS = """
    def write(migrated_db, name):
        migrated_db.connect(autocommit=True).execute("insert into item values (1, %s)", [name])

    def test_passes(migrated_db):
        write(migrated_db, "passes")

    def test_fails(migrated_db):
        write(migrated_db, "fails")
        assert 0
"""
PSQL = re.compile(
    r"PGPASSFILE=(?P<passfile>\S+|'[^']+') psql -h (?P<host>\S+) -p (?P<port>\d+) "
    r"-U (?P<user>\S+) -d (?P<dbname>\S+)"
)


@pytest.fixture
def runs(items_project: Project) -> Iterator[Runs]:
    """Runs of a project; whatever they keep is ended before the test ends."""
    with watched(items_project) as runs:
        yield runs
        assert runs.tool("stop").status == 0


def kept(ended: Ended) -> list[str]:
    """Return the lines of the summary that open a kept database."""
    try:
        *lines, advice = ended.block("dbmigrate: kept databases")
    except StopIteration:
        return []
    assert advice == "remove them with: python -m pytest_dbmigrate stop"
    return lines


def ask(line: str, query: str) -> str:
    """Return what a query answers by the command on a line, or as psql would ask."""
    if shutil.which("psql"):
        return subprocess.run(
            f"{line} --no-psqlrc --no-align --tuples-only --command {shlex.quote(query)}",
            shell=True,
            env={"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8"},
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()
    found = PSQL.fullmatch(line)
    assert found, line
    parts = {key: shlex.split(value)[0] for key, value in found.groupdict().items()}
    with psycopg.connect(**parts) as connection:  # type: ignore[arg-type]  # libpq's own words
        return "\n".join("|".join(map(str, row)) for row in connection.execute(query))


def name_of(line: str) -> str:
    """Return which database a line opens."""
    found = PSQL.fullmatch(line)
    assert found, line
    return found["dbname"]


@pytest.mark.parametrize("server", SERVERS)
def test_a_failed_test_and_the_summary_name_its_database_with_a_psql_line_that_works(
    runs: Runs, server: str
) -> None:
    runs.project.tests(ONE_FAILS)
    ended = runs.run("--db-keep=failed", server=server)
    assert (ended.status, ended.verdict) == (pytest.ExitCode.TESTS_FAILED, "1 failed, 1 passed")
    (line,) = kept(ended)
    (run_id,) = runs.ids
    assert name_of(line) == f"dbm_{run_id}_main_0_test_fails"
    at = ended.lines.index(f"{' kept database ':-^80}")
    assert ended.lines[at + 1] == line
    assert ask(line, "select * from item") == "1|fails"
    assert ask(line, "select version_num from alembic_version") == "0001"


def test_the_password_is_in_a_private_file_and_nowhere_in_the_output(runs: Runs) -> None:
    runs.project.tests(ONE_FAILS)
    ended = runs.run("--db-keep=failed", "-vvv", "--showlocals")
    (line,) = kept(ended)
    found = PSQL.fullmatch(line)
    assert found
    file = Path(found["passfile"])
    password = file.read_text().strip().rpartition(":")[2]
    assert len(password) == 32
    assert password not in ended.output
    assert file.stat().st_mode & 0o077 == 0


def test_always_keeps_the_databases_of_tests_that_passed_too(runs: Runs) -> None:
    runs.project.tests(ONE_FAILS)
    lines = kept(runs.run("--db-keep=always", server="url"))
    assert [ask(line, "select name from item") for line in lines] == ["passes", "fails"]


def test_never_keeps_nothing(runs: Runs) -> None:
    runs.project.tests(ONE_FAILS)
    ended = runs.run("--db-keep=never")
    assert kept(ended) == []
    assert runs.found() == []


@pytest.mark.parametrize("server", SERVERS)
def test_nothing_remains_where_there_was_nothing_to_keep(runs: Runs, server: str) -> None:
    runs.project.tests(ONE_FAILS.replace("assert 0", "assert 1"))
    ended = runs.run("--db-keep=failed", server=server)
    assert (ended.status, ended.verdict) == (pytest.ExitCode.OK, "2 passed")
    assert kept(ended) == []
    assert_nothing_remains(runs)


@pytest.mark.parametrize("workers", ["0", "2"])
def test_a_run_keeps_ten_databases_and_says_so_of_the_others(runs: Runs, workers: str) -> None:
    runs.project.tests(
        """
        import pytest

        @pytest.mark.parametrize("number", range(24))
        def test_fails(migrated_db, number):
            assert 0
        """
    )
    ended = runs.run("--db-keep=failed", "-n", workers, server="url", plugins=["xdist"])
    assert ended.verdict == "24 failed"
    assert len(kept(ended)) == 10
    said = "not kept: this run has kept as many as it may"
    assert ended.lines.count(said) == 14
    names = [name for name in runs.databases() if "test_fails" in name]
    assert sorted(names) == sorted(name_of(line) for line in kept(ended))


SUBTESTS = {
    "with failing subtests, one for all": (
        """
        def test_it(migrated_db, subtests):
            for number in range(3):
                with subtests.test(number=number):
                    with migrated_db.connect() as connection:
                        connection.execute("insert into item values (%s)", [number])
                    assert 0
        """,
        "select count(*) from item",
        ["3"],
    ),
}
FAILURES = {
    "in its set-up": (
        """
        import pytest

        @pytest.fixture
        def filled(migrated_db):
            migrated_db.connect(autocommit=True).execute("insert into item values (7)")
            raise RuntimeError

        def test_it(filled):
            pass
        """,
        "select id from item",
        ["7"],
    ),
    "a unittest": (
        """
        import unittest
        import pytest

        @pytest.mark.usefixtures("migrated_db")
        class TestIt(unittest.TestCase):
            def test_fails(self):
                self.fail()
        """,
        "select count(*) from item",
        ["0"],
    ),
    "that asked for it while it ran": (
        """
        def test_fails(request):
            database = request.getfixturevalue("migrated_db")
            database.connect(autocommit=True).execute("insert into item values (8)")
            assert 0
        """,
        "select id from item",
        ["8"],
    ),
    "with an odd name": (
        """
        import pytest

        @pytest.mark.parametrize("it", ["a'b; \\"c\\" $d", "é" * 60, "x" * 100])
        def test_fails(migrated_db, it):
            migrated_db.connect(autocommit=True).execute("insert into item values (1, %s)", [it])
            assert 0
        """,
        "select name from item",
        ['a\'b; "c" $d', "é" * 60, "x" * 100],
    ),
    **(SUBTESTS if int(version("pytest").split(".")[0]) >= 9 else {}),
}


def test_the_database_of_a_test_is_kept_however_it_fails(runs: Runs) -> None:
    for number, (text, _, _) in enumerate(FAILURES.values()):
        runs.project.tests(text, f"test_{number}.py")
    ended = runs.run("--db-keep=failed", server="url")
    failed = [" ".join(line.split()[:2]) for line in ended.lines if line.startswith("FAILED")]
    assert [line.split()[1] for line in ended.lines if line.startswith("ERROR ")] == [
        "test_0.py::test_it"
    ]
    assert {"FAILED test_1.py::TestIt::test_fails", "FAILED test_2.py::test_fails"} <= {*failed}
    lines = kept(ended)
    for way, (_, query, answers) in FAILURES.items():
        its, lines = lines[: len(answers)], lines[len(answers) :]
        assert [ask(line, query) for line in its] == answers, way
    assert lines == []


def test_each_failed_attempt_of_a_test_that_is_run_again_is_kept(runs: Runs) -> None:
    runs.project.tests(
        """
        attempts = []

        def test_it(migrated_db):
            attempts.append(1)
            migrated_db.connect(autocommit=True).execute(
                "insert into item values (%s)", [len(attempts)]
            )
            assert len(attempts) == 3
        """
    )
    ended = runs.run("--db-keep=failed", "--reruns=2", server="url", plugins=["rerunfailures"])
    assert ended.verdict == "1 passed, 2 rerun"
    assert [ask(line, "select id from item") for line in kept(ended)] == ["1", "2"]


def test_the_line_works_where_the_folder_for_temporary_files_has_a_space(
    items_project: Project,
) -> None:
    with watched(items_project, prefix="dbmigrate test ") as runs:
        items_project.tests(ONE_FAILS)
        (line,) = kept(runs.run("--db-keep=failed", server="url"))
        assert ask(line, "select name from item") == "fails"
        runs.tool("stop")


def test_workers_keep_the_databases_of_their_tests(runs: Runs) -> None:
    runs.project.tests(
        """
        import pytest

        @pytest.mark.parametrize("number", range(6))
        def test_it(migrated_db, number):
            migrated_db.connect(autocommit=True).execute("insert into item values (%s)", [number])
            assert number % 2
        """
    )
    ended = runs.run("--db-keep=failed", "-n", "2", server="url", plugins=["xdist"])
    assert ended.verdict == "3 failed, 3 passed"
    assert {ask(line, "select id from item") for line in kept(ended)} == {"0", "2", "4"}


def test_ctrl_c_does_not_end_what_was_kept(runs: Runs) -> None:
    runs.project.tests(
        """
        import time
        from pathlib import Path

        def test_fails(migrated_db):
            assert 0

        def test_waits(migrated_db):
            Path("in-test").touch()
            time.sleep(600)
        """
    )
    started = runs.start("--db-keep=failed")
    started.until("in-test")
    started.interrupt()
    ended = started.end()
    assert (ended.status, ended.verdict) == (pytest.ExitCode.INTERRUPTED, "1 failed")
    (line,) = kept(ended)
    assert ask(line, "select count(*) from item") == "0"


@pytest.mark.parametrize("server", SERVERS)
def test_stop_ends_what_was_kept_and_list_names_it_until_then(runs: Runs, server: str) -> None:
    runs.project.tests(ONE_FAILS)
    runs.run("--db-keep=failed", server=server)
    (run_id,) = runs.ids
    if server == "embedded":  # it needs neither a guardian nor a run
        names = {it.command.split()[0].rpartition("/")[2] for it in runs.processes()}
        assert names == {"postgres", "postgres:"}
    assert runs.tool("list").output == f"{run_id}  {runs.project.path}\n"
    assert runs.tool("stop").output == "ended 1 kept server\n"
    assert runs.found() == []
    assert runs.tool("list").output == ""


def test_the_next_run_that_keeps_ends_what_its_project_has_kept_before(runs: Runs) -> None:
    runs.project.tests(ONE_FAILS)
    runs.run("--db-keep=failed")
    (before,) = runs.ids
    ended = runs.run("--db-keep=failed")
    assert len(kept(ended)) == 1
    (now,) = runs.ids - {before}
    assert runs.tool("list").output == f"{now}  {runs.project.path}\n"
    assert [path.name for path in runs.memory_folders()] == [f"pytest-dbmigrate-{now}"]


def test_the_next_run_that_keeps_nothing_leaves_what_was_kept_before(runs: Runs) -> None:
    runs.project.tests(ONE_FAILS)
    (line,) = kept(runs.run("--db-keep=failed"))
    assert kept(runs.run(server="url")) == []
    assert ask(line, "select name from item") == "fails"


def test_what_another_project_has_kept_is_left_alone(runs: Runs, tmp_path: Path) -> None:
    runs.project.tests(ONE_FAILS)
    other = shutil.copytree(runs.project.path, tmp_path / "other")
    (others,) = kept(runs.start("--db-keep=failed", folder=other).end())
    (own,) = kept(runs.run("--db-keep=failed", server="url"))
    assert ask(others, "select name from item") == "fails"
    assert ask(own, "select name from item") == "fails"
    assert len(runs.tool("list").lines) == 2


def test_a_run_inside_of_a_test_that_keeps_does_not_end_the_run_around_it(runs: Runs) -> None:
    """Both are of one process, and a record lock does not tell its holder from itself."""
    inner = runs.project.write("inner/test_inner.py", "def test_inner(migrated_db): pass")
    command = runs.project.command("--db-keep=always", str(inner), server="embedded")[3:]
    runs.project.tests(
        f"""
        def test_first(migrated_db): pass

        def test_inner(pytester):
            options = ["--rootdir={runs.project.path}", *{command!r}]
            pytester.runpytest_inprocess(*options).assert_outcomes(passed=1)

        def test_last(migrated_db): pass
        """
    )
    ended = runs.run("--db-keep=always", "test_it.py", plugins=["pytester"])
    assert (ended.status, ended.verdict) == (pytest.ExitCode.OK, "3 passed")
    assert [ask(line, "select count(*) from item") for line in kept(ended)] == ["0", "0"]


def test_a_database_whose_server_is_gone_is_not_kept(runs: Runs) -> None:
    runs.project.tests(
        """
        import os, signal
        from pathlib import Path

        def test_it(migrated_db):
            row = migrated_db.connect().execute("select pg_backend_pid()").fetchone()
            stat = Path(f"/proc/{row[0]}/stat").read_text()
            os.kill(int(stat.rpartition(")")[2].split()[1]), signal.SIGKILL)
            assert 0
        """
    )
    ended = runs.run("--db-keep=failed")
    assert (ended.status, ended.verdict) == (pytest.ExitCode.TESTS_FAILED, "1 failed, 1 error")
    assert "not kept: the server is gone" in ended.lines
    assert_nothing_remains(runs)
