"""The migration child, as its parent sees it."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import pytest

from pytest_dbmigrate.errors import MigrationError, RevisionError
from pytest_dbmigrate.migrations.environments import Environment
from pytest_dbmigrate.migrations.messages import (
    AlembicOptions,
    Comparison,
    Done,
    Job,
    Planned,
    ProgressMessage,
    Result,
    Started,
)
from pytest_dbmigrate.migrations.process import ChildProcess

if TYPE_CHECKING:
    from tests.unit.projects import Project

ADVICE = "  to do: see what it printed: it may be out of memory, or a library may have crashed"


@pytest.fixture
def child(project: Project) -> Iterator[ChildProcess]:
    """A child that waits for its job."""
    project.upgrade()  # writes alembic.ini
    child = ChildProcess(str(project.folder))
    yield child
    child.close()


@pytest.fixture
def job(project: Project) -> Job:
    """The upgrade of the project's database."""
    return Job(
        environment=Environment(str(project.folder / "alembic.ini"), "", str(project.folder)),
        name="",
        dsn=project.database,
        history=project.database.at(project.history.info.dbname),
        run="0a1b2c3d",
        build="00000001",
        target=("head",),
        options=AlembicOptions(root=str(project.folder)),
        check=True,
        environ={"ANSWER": "42"},
    )


def run(child: ChildProcess, job: Job) -> tuple[Result, list[ProgressMessage]]:
    heard: list[ProgressMessage] = []
    return child.migrate(job, heard.append, meanwhile=lambda: None), heard


def refusal(child: ChildProcess, job: Job) -> list[str]:
    with pytest.raises(MigrationError) as refused:
        run(child, job)
    return str(refused.value).splitlines()


def test_the_child_migrates_the_database_and_tells_each_step(
    child: ChildProcess, job: Job, project: Project
) -> None:
    project.add("0001", 'op.execute("create table item (id int)")\nprint("made")')
    result, heard = run(child, job)
    assert [type(message) for message in heard] == [Planned, Started, Done]
    assert result == Result(
        heads=("0001",),
        comparison=Comparison(unchecked="env.py gives Alembic no target_metadata"),
        output="made\n",
    )
    assert project.query("select count(*) from item") == [(0,)]


def test_the_child_has_the_jobs_environment(
    child: ChildProcess, job: Job, project: Project
) -> None:
    project.add("0001", "import os; assert os.environ['ANSWER'] == '42'")
    assert run(child, job)[0].heads == ("0001",)
    assert "ANSWER" not in os.environ


def test_the_childs_failure_is_raised_with_what_it_printed(
    child: ChildProcess, job: Job, project: Project
) -> None:
    project.add("0001", "print('so far so good')\n1 / 0")
    with pytest.raises(RevisionError) as raised:
        run(child, job)
    assert str(raised.value).splitlines() == [
        "revision 0001 failed",
        "  file: migrations/versions/0001_change.py:12",
        "  error: ZeroDivisionError: division by zero",
        "  left applied: nothing; 1 revision is not applied",
        "  to do: fix the revision and run the tests again",
        "  env.py and the migrations printed:",
        "    so far so good",
    ]


def test_what_the_child_printed_is_shown_without_the_password(
    child: ChildProcess, job: Job, project: Project
) -> None:
    project.add("0001", f"print('{project.database.password}')\n1 / 0")
    assert refusal(child, job)[-1] == "    ***"


def test_a_message_that_postgres_cannot_store_is_an_event_without_what_it_refuses(
    child: ChildProcess, job: Job, project: Project
) -> None:
    project.add("0001", "raise RuntimeError('a \\0 and a \\udcff')")
    assert "  error: RuntimeError: a \0 and a \udcff" in refusal(child, job)
    errors = project.history.execute("select error from event where kind = 'failed'").fetchall()
    assert errors == [("RuntimeError: a \ufffd and a ?",)]


def test_a_child_that_is_killed_is_named_with_the_revision_that_ran(
    child: ChildProcess, job: Job, project: Project
) -> None:
    project.add("0001", "import os, signal; os.kill(os.getpid(), signal.SIGSEGV)")
    assert refusal(child, job)[:2] == [
        "the process that runs the migrations was killed by SIGSEGV while revision 0001 ran",
        ADVICE,
    ]


def test_a_child_that_ends_itself_is_named_with_its_status(
    child: ChildProcess, job: Job, project: Project
) -> None:
    project.write_env("import os; os._exit(7)")
    assert refusal(child, job)[:2] == [
        "the process that runs the migrations ended with 7 before the first revision",
        ADVICE,
    ]


def test_a_child_that_died_before_its_job_came_is_noticed(child: ChildProcess, job: Job) -> None:
    os.kill(child._process.pid, signal.SIGKILL)
    os.waitid(os.P_PID, child._process.pid, os.WEXITED | os.WNOWAIT)
    assert refusal(child, job)[0] == (
        "the process that runs the migrations was killed by SIGKILL before the first revision"
    )


def test_work_is_done_while_the_child_works(
    child: ChildProcess, job: Job, project: Project
) -> None:
    project.add("0001", "pass")
    order: list[str] = []
    child.migrate(
        job, lambda message: order.append(message.kind), lambda: order.append("meanwhile")
    )
    assert order[0] == "meanwhile"


def test_a_child_that_is_not_needed_is_ended(
    project: Project, processes: Callable[[str], list[int]], eventually: Any
) -> None:
    project.upgrade()
    child = ChildProcess(str(project.folder))
    eventually(lambda: processes(str(project.folder)) == [child._process.pid])
    child.close()
    assert processes(str(project.folder)) == []


def test_a_child_without_a_job_ends_by_itself(project: Project) -> None:
    child = ChildProcess(str(project.folder))
    assert child._process.stdin is not None
    child._process.stdin.close()
    assert child._process.wait(30) == 0
    child.close()


def test_a_child_ends_with_its_parent_in_the_middle_of_a_migration(
    child: ChildProcess, job: Job, project: Project
) -> None:
    project.add("0001", "import signal; signal.pause()")

    def lose(message: ProgressMessage) -> None:
        if isinstance(message, Started):
            assert child._process.stdin is not None
            child._process.stdin.close()  # as the kernel does when the parent dies

    with pytest.raises(MigrationError) as raised:
        child.migrate(job, lose, meanwhile=lambda: None)
    assert str(raised.value).splitlines()[0] == (
        "the process that runs the migrations ended with 3 while revision 0001 ran"
    )
