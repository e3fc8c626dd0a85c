"""However a run ends, nothing of it is left, and its exit status is pytest's own."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import pytest

from tests.plugin.projects import Project
from tests.plugin.remains import Runs, assert_nothing_remains, wait_for, watched

SERVERS = ["embedded", "url", pytest.param("docker", marks=pytest.mark.docker)]
WRITES = """
    def test_writes(migrated_db):
        migrated_db.connect(autocommit=True).execute("insert into item values (1)")
"""
WAITS = """
    import time
    from pathlib import Path

    def test_waits(migrated_db):
        migrated_db.connect(autocommit=True).execute("insert into item values (1)")
        Path("in-test").touch()
        for _ in range(60_000):
            if Path("go-on").exists():
                return
            time.sleep(0.01)
"""
WAITING_REVISION = """
    from pathlib import Path
    Path("in-revision").touch()
    op.execute("select pg_sleep(600)")
"""


@pytest.fixture
def runs(items_project: Project) -> Iterator[Runs]:
    """Runs of a project of which nothing may be left when the test ends."""
    with watched(items_project) as runs:
        yield runs


# The end of each of these tests is also the question whether anything is left of its runs.


@pytest.mark.parametrize("server", SERVERS)
def test_success_leaves_nothing(runs: Runs, server: str) -> None:
    runs.project.tests(WRITES)
    ended = runs.run(server=server)
    assert (ended.status, ended.verdict) == (pytest.ExitCode.OK, "1 passed")
    assert len(runs.ids) == 1
    if server == "embedded":  # at once, and nothing at all
        assert runs.found() == []
        assert list(runs.temporary.iterdir()) == []


@pytest.mark.parametrize(
    ("server", "expected"),
    [
        ("embedded", {"process", "temporary", "in"}),
        ("url", {"process", "temporary", "database"}),
        pytest.param(
            "docker", {"process", "temporary", "container", "network"}, marks=pytest.mark.docker
        ),
    ],
)
def test_a_run_that_goes_on_is_seen_by_the_watch(
    runs: Runs, server: str, expected: set[str]
) -> None:
    runs.project.tests(WAITS)
    started = runs.start(server=server)
    started.until("in-test")
    assert {line.split()[0] for line in runs.found()} == expected
    started.interrupt()


def test_failing_tests_leave_nothing(runs: Runs) -> None:
    runs.project.tests(f"{WRITES}        assert 0")
    ended = runs.run()
    assert (ended.status, ended.verdict) == (pytest.ExitCode.TESTS_FAILED, "1 failed")


@pytest.mark.parametrize("option", ["-x", pytest.param("--maxfail=1", marks=pytest.mark.matrix)])
def test_stopping_at_the_first_failure_leaves_nothing(runs: Runs, option: str) -> None:
    runs.project.tests(f"{WRITES}        assert 0\n{WRITES.replace('writes', 'is_not_run')}")
    ended = runs.run(option)
    assert (ended.status, ended.verdict) == (pytest.ExitCode.TESTS_FAILED, "1 failed")


@pytest.mark.parametrize("server", ["embedded", "url"])
def test_a_failing_migration_leaves_nothing(runs: Runs, server: str) -> None:
    runs.project.revision("0002", 'op.execute("select 1 / 0")')
    runs.project.tests(WRITES)
    ended = runs.run(server=server)
    assert (ended.status, ended.verdict) == (pytest.ExitCode.TESTS_FAILED, "1 error")


@pytest.mark.parametrize("server", SERVERS)
def test_ctrl_c_in_a_test_leaves_nothing(runs: Runs, server: str) -> None:
    runs.project.tests(WAITS)
    started = runs.start(server=server)
    started.until("in-test")
    started.interrupt()
    ended = started.end()
    assert (ended.status, ended.verdict) == (pytest.ExitCode.INTERRUPTED, "no tests ran")


@pytest.mark.parametrize("server", ["embedded", "url"])
def test_ctrl_c_in_a_migration_leaves_nothing(runs: Runs, server: str) -> None:
    runs.project.revision("0002", WAITING_REVISION)
    runs.project.tests(WRITES)
    started = runs.start(server=server)
    started.until("in-revision")
    started.interrupt()
    ended = started.end()
    assert (ended.status, ended.verdict) == (pytest.ExitCode.INTERRUPTED, "no tests ran")


@pytest.mark.parametrize("where", ["in-test", "in-revision"])
def test_an_interrupt_of_pytest_alone_leaves_nothing(runs: Runs, where: str) -> None:
    if where == "in-revision":
        runs.project.revision("0002", WAITING_REVISION)
    runs.project.tests(WAITS)
    started = runs.start()
    started.until(where)
    started.send(signal.SIGINT)
    ended = started.end()
    assert (ended.status, ended.verdict) == (pytest.ExitCode.INTERRUPTED, "no tests ran")


@pytest.mark.parametrize(
    ("server", "number"),
    [
        ("embedded", signal.SIGTERM),
        ("embedded", signal.SIGHUP),
        ("embedded", signal.SIGKILL),
        ("url", signal.SIGTERM),
        ("url", signal.SIGKILL),
        pytest.param("docker", signal.SIGTERM, marks=pytest.mark.docker),
        pytest.param("docker", signal.SIGKILL, marks=pytest.mark.docker),
    ],
)
def test_a_deadly_signal_in_a_test_leaves_nothing(
    runs: Runs, server: str, number: signal.Signals
) -> None:
    runs.project.tests(WAITS)
    started = runs.start(server=server)
    started.until("in-test")
    started.send(number)
    assert started.end().status == -number


@pytest.mark.parametrize(
    ("server", "number"),
    [
        ("embedded", signal.SIGTERM),
        ("embedded", signal.SIGKILL),
        ("url", signal.SIGKILL),
    ],
)
def test_a_deadly_signal_in_a_migration_leaves_nothing(
    runs: Runs, server: str, number: signal.Signals
) -> None:
    runs.project.revision("0002", WAITING_REVISION)
    runs.project.tests(WRITES)
    started = runs.start(server=server)
    started.until("in-revision")
    started.send(number)
    assert started.end().status == -number


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_a_signal_while_the_data_folder_is_made_leaves_nothing(
    runs: Runs, number: signal.Signals
) -> None:
    runs.project.tests(WRITES)
    started = runs.start()
    wait_for(lambda: any(path.glob("data/*") for path in runs.memory_folders()), "data folder")
    started.send(number)
    assert started.end().status in (-number, pytest.ExitCode.INTERRUPTED)


@pytest.mark.docker
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_a_signal_while_a_container_is_made_leaves_nothing(
    runs: Runs, number: signal.Signals
) -> None:
    runs.project.tests(WRITES)
    started = runs.start(server="docker")
    wait_for(lambda: any(" up " in it.command for it in runs.processes()), "docker compose up")
    started.send(number)
    assert started.end().status in (-number, pytest.ExitCode.INTERRUPTED)


def test_a_test_that_ends_the_process_leaves_nothing(runs: Runs) -> None:
    runs.project.tests(
        """
        import os

        def test_it(migrated_db):
            os._exit(7)
        """
    )
    assert runs.run().status == 7


def test_an_internal_error_leaves_nothing(runs: Runs) -> None:
    runs.project.tests(WRITES)
    runs.project.write(
        "conftest.py",
        """
        def pytest_runtest_logfinish():
            raise RuntimeError("a plugin with a bug")
        """,
    )
    ended = runs.run()
    assert ended.status == pytest.ExitCode.INTERNAL_ERROR
    assert "INTERNALERROR> RuntimeError: a plugin with a bug" in ended.lines


def test_pytest_exit_in_a_test_leaves_nothing(runs: Runs) -> None:
    runs.project.tests(
        """
        import pytest

        def test_it(migrated_db):
            pytest.exit("enough", 5)
        """
    )
    ended = runs.run()
    assert ended.status == 5
    assert "!!!!!!!!!!!!!!!!!!! _pytest.outcomes.Exit: enough !!!!!!!!!!!!!!!!!!!" in ended.output


@pytest.mark.parametrize("server", SERVERS)
def test_a_usage_error_after_the_address_was_settled_leaves_nothing(
    runs: Runs, server: str
) -> None:
    runs.project.ini("dbmigrate_env = DATABASE_URL")
    runs.project.tests(WRITES)
    runs.project.write(
        "conftest.py",
        """
        import os
        assert "/dbm_" in os.environ["DATABASE_URL"]
        import no_such_module
        """,
    )
    ended = runs.run(server=server)
    assert ended.status == pytest.ExitCode.USAGE_ERROR
    assert ended.lines[-1] == "E   ModuleNotFoundError: No module named 'no_such_module'"
    assert len(runs.ids) == 1


FORKS = {
    "os.fork": "pid = os.fork() or (time.sleep(600), os._exit(0))",
    "multiprocessing": (
        "import multiprocessing as mp; "
        "child = mp.get_context('fork').Process(target=time.sleep, args=(600,)); "
        "child.start(); pid = child.pid; mp.process._children.clear()"
    ),
}


@pytest.mark.parametrize(
    ("server", "fork"),
    [
        ("embedded", "os.fork"),
        ("embedded", "multiprocessing"),
        ("url", "os.fork"),
        pytest.param("docker", "os.fork", marks=pytest.mark.docker),
    ],
)
def test_a_child_that_a_test_leaves_alive_does_not_keep_the_server(
    runs: Runs, server: str, fork: str
) -> None:
    runs.project.tests(
        f"""
        import os, time
        from pathlib import Path

        def test_it(migrated_db):
            {FORKS[fork]}
            Path("child").write_text(str(pid))
        """
    )
    started = runs.start("-W", "ignore::DeprecationWarning", server=server)
    ended = started.end()
    assert (ended.status, ended.verdict) == (pytest.ExitCode.OK, "1 passed")
    child = int(started.until("child"))
    wait_for(lambda: [it.pid for it in runs.processes()] == [child], "server's end", within=10)
    assert all(line.startswith(f"process {child}:") for line in runs.found())
    os.kill(child, signal.SIGKILL)


@pytest.mark.parametrize(
    ("end", "verdict"), [("pass", "1 passed"), ("os._exit(7)", "1 error")], ids=["done", "dead"]
)
@pytest.mark.parametrize("start", ["os.fork() or time.sleep(600)", 'os.system("sleep 600 &")'])
def test_a_child_that_a_migration_leaves_alive_ends_with_the_migrations(
    runs: Runs, start: str, end: str, verdict: str
) -> None:
    runs.project.revision("0002", f"import os, time\n{start}\n{end}")
    runs.project.tests("def test_it(migrated_db): pass")
    ended = runs.run(server="url")
    assert ended.verdict == verdict
    if end != "pass":
        assert ended.block("dbmigrate: no database")[0] == (
            "the process that runs the migrations ended with 7 while revision 0002 ran"
        )


def test_a_forked_child_that_runs_through_pytests_end_does_not_end_the_run(runs: Runs) -> None:
    runs.project.tests(
        """
        import os
        import pytest

        def test_writes(migrated_db):
            migrated_db.connect(autocommit=True).execute("insert into item values (1)")

        def test_forks():
            child = os.fork()
            if child == 0:
                pytest.exit("the child goes", 5)
            assert os.waitpid(child, 0) == (child, 5 << 8)

        def test_writes_again(migrated_db):
            migrated_db.connect(autocommit=True).execute("insert into item values (1)")
        """
    )
    ended = runs.run("-W", "ignore::DeprecationWarning")
    assert (ended.status, ended.verdict) == (pytest.ExitCode.OK, "3 passed")


def test_a_server_that_is_killed_is_named_by_each_test_and_leaves_nothing(runs: Runs) -> None:
    runs.project.tests(
        """
        import os, signal
        from pathlib import Path
        import pytest

        @pytest.fixture
        def server_process(migrated_db):
            row = migrated_db.connect().execute("select pg_backend_pid()").fetchone()
            return int(Path(f"/proc/{row[0]}/stat").read_text().rpartition(")")[2].split()[1])

        def test_kills_it(server_process):
            os.kill(server_process, signal.SIGKILL)

        def test_after(migrated_db):
            pass

        def test_last(migrated_db):
            pass

        def test_unit():
            pass
        """
    )
    ended = runs.run()
    assert (ended.status, ended.verdict) == (
        pytest.ExitCode.TESTS_FAILED,
        "2 passed, 3 errors",
    )
    assert [line for line in ended.lines if line.startswith("ERROR")] == [
        "ERROR test_it.py::test_kills_it - Failed: the server is gone",
        "ERROR test_it.py::test_after - Failed: the server is gone",
        "ERROR test_it.py::test_last - Failed: the server is gone",
    ]


def test_a_run_whose_guardian_is_killed_cleans_up_itself(runs: Runs) -> None:
    runs.project.tests(WAITS)
    started = runs.start()
    started.until("in-test")
    os.kill(runs.guardian().pid, signal.SIGKILL)
    runs.project.write("go-on", "")
    ended = started.end()
    assert (ended.status, ended.verdict) == (pytest.ExitCode.OK, "1 passed")
    assert runs.found() == []


def test_what_a_killed_run_and_its_killed_guardian_left_is_removed_by_the_next(runs: Runs) -> None:
    runs.project.tests(WAITS)
    started = runs.start()
    started.until("in-test")
    os.kill(runs.guardian().pid, signal.SIGKILL)
    started.send(signal.SIGKILL)
    started.end()
    assert runs.memory_folders() != []
    runs.project.tests(WRITES)
    assert runs.run().status == pytest.ExitCode.OK
    assert_nothing_remains(runs)
    assert len(runs.ids) == 2


def test_what_a_run_killed_before_its_server_has_left_is_removed_by_the_next(runs: Runs) -> None:
    runs.project.ini("dbmigrate_env = DATABASE_URL")
    conftest = runs.project.write(
        "conftest.py",
        """
        import time
        from pathlib import Path
        Path("at-import").touch()
        time.sleep(600)
        """,
    )
    started = runs.start()
    started.until("at-import")
    started.send(signal.SIGKILL)
    assert started.end().status == -signal.SIGKILL
    conftest.unlink()
    runs.project.tests(WRITES)
    assert runs.run().status == pytest.ExitCode.OK
    assert_nothing_remains(runs)
    assert len(runs.ids) == 2
