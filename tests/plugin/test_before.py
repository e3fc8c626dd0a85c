"""What is run before the first revision, and what the migrations are run within."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.plugin.environments import TESTS, explained
from tests.plugin.projects import Project, async_env, line_of, told
from tests.plugin.resuming import Resumer, cached, how, tables

PREPARES = """
import sqlalchemy as sa

metadata = sa.MetaData()
sa.Table("legacy", metadata, sa.Column("id", sa.Integer, primary_key=True))


def prepare(connection):
    metadata.create_all(connection)


def fails(connection):
    connection.execute(sa.text("insert into legacy values (:id)"), {"id": 1})


def raises(connection):
    raise RuntimeError("not today")


async def waits(connection):
    pass
"""


def before(project: Project, *lines: str) -> None:
    """Let the settings name these steps."""
    project.ini("dbmigrate_before =\n" + "".join(f"    {line}\n" for line in lines))


def migrated(project: Project) -> list[str]:
    """Return the tables that the database test of a green run has found."""
    project.tests(TESTS)
    result = project.run("-rP")
    result.assert_outcomes(passed=2)
    return [name for name in tables(result) if name != "alembic_version"]


@pytest.fixture
def resumer(project: Project, temporary_files: Path) -> Iterator[Resumer]:
    """A project whose runs resume, and whose first revision needs what is run before it."""
    with cached(temporary_files) as cache:
        project.revision("0001", 'op.execute("create table one (like legacy)")')
        resumer = Resumer(project, cache)
        yield resumer
        resumer.stop()


def test_files_statements_and_functions_are_run_in_their_order(project: Project) -> None:
    project.write("prepare.py", PREPARES)
    project.write(
        "sql/shapes.sql",
        """
        -- several statements; with 100% of their signs
        create schema shapes;
        create function shapes.one() returns int language sql as $$ select 1; $$;
        create table shapes.circle (id int default shapes.one());
        """,
    )
    before(
        project,
        "create table early (id int, name text default ':x %s')",
        "sql/shapes.sql",
        "prepare:prepare",
        "create table shapes.square (like legacy)",
    )
    project.revision("0001", 'op.execute("create table one (like shapes.square)")')

    assert migrated(project) == ["early", "legacy", "one", "shapes.circle", "shapes.square"]


def test_steps_are_listed_with_their_times_when_verbose(project: Project) -> None:
    project.write("prepare.py", PREPARES)
    project.write("sql/early.sql", "create table early ()")
    before(project, "sql/early.sql", "prepare:prepare", f"select 1 -- {'long ' * 20}")
    project.revision("0001", "pass")
    project.tests(TESTS)

    lines = [re.sub(r"\d+ ms", "? ms", line) for line in told(project.run("-v"))]

    assert lines[2:6] == [
        "before: early.sql (? ms)",
        "before: prepare:prepare (? ms)",
        "before: select 1 -- long long long long long ... (? ms)",
        "1/1 0001 (? ms)",
    ]


def test_sql_of_a_file_that_fails_is_shown_with_its_place(project: Project) -> None:
    project.write("my sql/early.sql", "create table early (id int);\ncreate tabel late ();\n")
    before(project, "my sql/early.sql")

    assert explained(project) == [
        "early.sql, of dbmigrate_before, failed",
        "  file: my sql/early.sql:2",
        "  sql: create table early (id int);",
        "       create tabel late ();",
        "              ^",
        '  server: syntax error at or near "tabel"',
        "  to do: fix it and run the tests again",
    ]


def test_a_statement_that_fails_is_shown(project: Project) -> None:
    before(project, "create table early (id int)", "insert into early values ('one')")

    assert explained(project) == [
        "insert into early values ('one'), of dbmigrate_before, failed",
        "  sql: insert into early values ('one')",
        "                                 ^",
        '  server: invalid input syntax for type integer: "one"',
        "  to do: fix it and run the tests again",
    ]


def test_the_error_of_a_missing_extension_says_where_to_get_it(project: Project) -> None:
    before(project, "create extension postgis")

    assert explained(project) == [
        "create extension postgis, of dbmigrate_before, failed",
        "  sql: create extension postgis",
        '  server: extension "postgis" is not available',
        "  hint: The extension must first be installed on the system where PostgreSQL is running.",
        "  to do: this server does not ship the extension. The official postgres images ship all",
        "         of PostgreSQL's own (uuid-ossp, pgcrypto); postgis/postgis ships PostGIS:",
        "         use --db-server=docker, with --db-image where needed, or the URL of such a server",  # noqa: E501
    ]


def test_a_function_that_fails_is_named_with_its_line(project: Project) -> None:
    path = project.write("prepare.py", PREPARES)
    before(project, "prepare:raises")

    assert explained(project) == [
        "prepare:raises, of dbmigrate_before, failed",
        f"  file: prepare.py:{line_of(path, 'not today')}",
        "  error: RuntimeError: not today",
        "  to do: fix it and run the tests again",
    ]


def test_sql_of_a_function_that_fails_is_shown(project: Project) -> None:
    path = project.write("prepare.py", PREPARES)
    before(project, "prepare:fails")

    assert explained(project) == [
        "prepare:fails, of dbmigrate_before, failed",
        f"  file: prepare.py:{line_of(path, 'insert into')}",
        "  sql: insert into legacy values (%(id)s)",
        '  server: relation "legacy" does not exist',
        "  to do: fix it and run the tests again",
    ]


@pytest.mark.parametrize("name", ["waits", "metadata"])
def test_what_is_no_plain_function_is_refused(project: Project, name: str) -> None:
    project.write("prepare.py", PREPARES)
    before(project, f"prepare:{name}")

    assert explained(project) == [
        f"dbmigrate_before names prepare:{name}, which is not a plain function",
        "  to do: name a function that takes a Connection of SQLAlchemy",
    ]


def test_a_module_that_cannot_be_imported_names_the_line(project: Project) -> None:
    path = project.write("prepare.py", "import surely_nothing_like_this\n")
    before(project, "prepare:prepare")

    assert explained(project) == [
        "prepare:prepare, of dbmigrate_before, failed",
        f"  file: prepare.py:{line_of(path, 'import')}",
        "  error: ModuleNotFoundError: No module named 'surely_nothing_like_this'",
        "  to do: fix it and run the tests again",
    ]


def test_a_file_that_is_not_there_is_refused_at_once(project: Project) -> None:
    before(project, "sql/nothing.sql")

    result = project.run()

    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert result.stderr.str().splitlines()[0] == (
        "ERROR: dbmigrate: dbmigrate_before cannot be used: there is no file sql/nothing.sql"
    )


def test_a_file_is_run_once_and_causes_a_rebuild_when_edited(resumer: Resumer) -> None:
    project = resumer.project
    sql = project.write("prepare.sql", "create table legacy (id int)")
    before(project, "prepare.sql")
    assert resumer.how() == "fresh: 1 revision applied"
    project.revision("0002", 'op.execute("create table two ()")')
    result = resumer.run("-v")
    assert how(result) == "resumed: 1 of 2 applied now"
    assert "before: " not in result.stdout.str()
    lines = project.run("--db-status", server="embedded").outlines[1:]
    assert [line.split()[:2] for line in lines] == [
        ["dbmigrate_before:"],
        ["done", "prepare.sql"],
        ["done", "0001"],
        ["done", "0002"],
    ]
    sql.write_text("create table legacy (id bigint)")
    assert resumer.how() == "rebuilt: prepare.sql was edited; 2 revisions applied"
    assert resumer.how() == "unchanged: 2 revisions"


def test_an_edited_function_causes_a_rebuild_after_a_resumed_run(
    resumer: Resumer,
) -> None:
    project = resumer.project
    path = project.write("prepare.py", PREPARES)
    before(project, "prepare:prepare")
    resumer.how()
    project.revision("0002", 'op.execute("create table two ()")')
    resumer.how()
    path.write_text(path.read_text().replace("sa.Integer, primary", "sa.BigInteger, primary"))
    assert resumer.how() == "rebuilt: prepare.py was edited; 2 revisions applied"


def test_a_file_outside_of_the_rootdir_counts_too(resumer: Resumer) -> None:
    project = resumer.project
    outside = resumer.cache / "outside.sql"
    outside.write_text("create table legacy (id int)")
    before(project, str(outside))
    assert resumer.how() == "fresh: 1 revision applied"
    outside.write_text("create table legacy (id bigint)")
    assert resumer.how() == "rebuilt: outside.sql was edited; 1 revision applied"


def test_another_line_causes_a_rebuild(resumer: Resumer) -> None:
    before(resumer.project, "create table legacy (id int)")
    resumer.how()
    before(resumer.project, "create table legacy (id bigint)")
    assert resumer.how() == (
        "rebuilt: dbmigrate_before was create table legacy (id int), "
        "and is create table legacy (id bigint) now; 1 revision applied"
    )


def test_a_failed_step_is_shown_by_status_and_run_again(resumer: Resumer) -> None:
    sql = resumer.project.write("prepare.sql", "create tabel legacy (id int)")
    before(resumer.project, "create table early ()", "prepare.sql")
    assert resumer.run().ret == 1
    lines = resumer.project.run("--db-status", server="embedded").outlines[1:]
    assert [line.split()[0] for line in lines] == ["dbmigrate_before:", "done", "failed", "pending"]
    sql.write_text("create table legacy (id int)")
    assert resumer.how() == "fresh: 1 revision applied"


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


@pytest.mark.parametrize(
    "name",
    [
        *("managed", "Object", "an_object", "a_decorator", "given", "in_a_thread"),
        *("beside_a_loop", "swallowing"),
    ],
)
def test_migrations_are_run_within_what_is_named(project: Project, name: str) -> None:
    project.write("app.py", WITHIN)
    project.ini(f"dbmigrate_within = app:{name}")
    project.revision("0001", NEEDS_IT)

    assert migrated(project) == ["item"]


def test_an_asynchronous_env_is_run_beside_a_running_loop(project: Project) -> None:
    project.write("app.py", WITHIN)
    project.write(
        "alembic.ini",
        "[alembic]\nscript_location = migrations\nsqlalchemy.url = postgresql+asyncpg://\n",
    )
    project.env(async_env())
    project.ini("dbmigrate_within = app:beside_a_loop")
    project.revision("0001", 'op.execute("create table item ()")')

    assert migrated(project) == ["item"]


@pytest.mark.parametrize("name", ["in_a_thread", "swallowing", "wrapping", "managed"])
def test_a_revisions_error_is_reported_even_if_it_is_caught_around_it(
    project: Project, name: str
) -> None:
    project.write("app.py", WITHIN)
    project.ini(f"dbmigrate_within = app:{name}")
    file = project.revision("0001", 'op.execute("create tabel item ()")')

    assert explained(project) == [
        "revision 0001 failed",
        f"  file: migrations/versions/0001.py:{line_of(file, 'tabel')}",
        "  sql: create tabel item ()",
        "              ^",
        '  server: syntax error at or near "tabel"',
        "  left applied: nothing; 1 revision is not applied",
        "  to do: fix the revision and run the tests again",
    ]


@pytest.mark.parametrize("name", ["forgetful", "never_awaited"])
def test_one_that_does_not_do_the_work_is_an_error(project: Project, name: str) -> None:
    project.write("app.py", WITHIN)
    project.ini(f"dbmigrate_within = app:{name}")
    project.revision("0001")

    assert explained(project)[:2] == [
        f"dbmigrate_within names app:{name}, which did not do the work it was given",
        "  to do: let it call its argument, and wait until that returns",
    ]


@pytest.mark.parametrize(("name", "said"), [("nonsense", "returns"), ("something", "is")])
def test_a_reference_that_cannot_be_used_is_an_error(
    project: Project, name: str, said: str
) -> None:
    project.write("app.py", WITHIN)
    project.ini(f"dbmigrate_within = app:{name}")
    project.revision("0001")

    assert explained(project) == [
        f"dbmigrate_within names app:{name}, which cannot be used: it {said} a int",
        "  to do: let it return a context manager,",
        "         or take one argument, the work to be done, and call it",
    ]


def test_what_is_run_before_is_within_it_too(project: Project) -> None:
    project.write("app.py", WITHIN + "\n\ndef prepare(connection):\n    state.get()\n")
    project.ini("dbmigrate_within = app:managed\ndbmigrate_before = app:prepare")
    project.revision("0001", NEEDS_IT)

    assert migrated(project) == ["item"]
