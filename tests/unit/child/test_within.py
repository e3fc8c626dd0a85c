"""What the migrations are run within, whatever the project's code does around them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.plugin.projects import async_env, line_of

if TYPE_CHECKING:
    from tests.unit.jobs import JobProject

WITHIN = """
import asyncio
import contextlib
import contextvars
import threading

state = contextvars.ContextVar("state")


@contextlib.contextmanager
def managed():
    token = state.set("within")
    yield
    state.reset(token)


class Object:
    def __enter__(self):
        state.set("within")

    def __exit__(self, *error):
        pass


an_object = Object()


class Decorator(contextlib.ContextDecorator, Object):
    pass


a_decorator = Decorator()


def given(work):
    state.set("within")
    work()


def in_a_thread(work):
    def target():
        state.set("within")
        with contextlib.suppress(Exception):
            work()

    thread = threading.Thread(target=target)
    thread.start()
    thread.join()


def beside_a_loop(work):
    async def main():
        state.set("within")
        await asyncio.to_thread(work)

    asyncio.run(main())


def wrapping(work):
    try:
        given(work)
    except Exception as error:
        raise RuntimeError("wrapped") from error


@contextlib.contextmanager
def swallowing():
    state.set("within")
    with contextlib.suppress(Exception):
        yield


def forgetful(work):
    pass


async def never_awaited(work):
    work()


def nonsense():
    return 42


something = 42
"""
NEEDS_IT = 'import app\nassert app.state.get() == "within"\nop.execute("create table item ()")'


@pytest.fixture
def project(job_project: JobProject) -> JobProject:
    """A project with the module `app`."""
    job_project.write("app.py", WITHIN)
    return job_project


@pytest.mark.parametrize(
    "name",
    [
        *("managed", "Object", "an_object", "a_decorator", "given", "in_a_thread"),
        *("beside_a_loop", "swallowing"),
    ],
)
def test_migrations_are_run_within_what_is_named(project: JobProject, name: str) -> None:
    project.revision("0001", NEEDS_IT)
    assert project.migrated(within=f"app:{name}") == ["item"]


def test_an_asynchronous_env_is_run_beside_a_running_loop(project: JobProject) -> None:
    project.write(
        "alembic.ini",
        "[alembic]\nscript_location = migrations\nsqlalchemy.url = postgresql+asyncpg://\n",
    )
    project.env(async_env())
    project.revision("0001", 'op.execute("create table item ()")')
    assert project.migrated(within="app:beside_a_loop") == ["item"]


@pytest.mark.parametrize("name", ["in_a_thread", "swallowing", "wrapping", "managed"])
def test_a_revisions_error_is_reported_even_if_it_is_caught_around_it(
    project: JobProject, name: str
) -> None:
    file = project.revision("0001", 'op.execute("create tabel item ()")')
    assert project.explained(within=f"app:{name}") == [
        "revision 0001 failed",
        f"  file: migrations/versions/0001.py:{line_of(file, 'tabel')}",
        "  sql: create tabel item ()",
        "              ^",
        '  server: syntax error at or near "tabel"',
        "  left applied: nothing; 1 revision is not applied",
        "  to do: fix the revision and run the tests again",
    ]


@pytest.mark.filterwarnings("ignore:coroutine 'never_awaited' was never awaited")
@pytest.mark.parametrize("name", ["forgetful", "never_awaited"])
def test_one_that_does_not_do_the_work_is_an_error(project: JobProject, name: str) -> None:
    project.revision("0001")
    assert project.explained(within=f"app:{name}") == [
        f"dbmigrate_within names app:{name}, which did not do the work it was given",
        "  to do: let it call its argument, and wait until that returns",
    ]


@pytest.mark.parametrize(("name", "said"), [("nonsense", "returns"), ("something", "is")])
def test_a_reference_that_cannot_be_used_is_an_error(
    project: JobProject, name: str, said: str
) -> None:
    project.revision("0001")
    assert project.explained(within=f"app:{name}") == [
        f"dbmigrate_within names app:{name}, which cannot be used: it {said} a int",
        "  to do: let it return a context manager,",
        "         or take one argument, the work to be done, and call it",
    ]
