"""What is run before the first revision, and what the migrations are run within."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.plugin.environments import TESTS, explained
from tests.plugin.projects import Project, told
from tests.plugin.resuming import Resumer, cached, how, tables

PREPARES = """
import sqlalchemy as sa

metadata = sa.MetaData()
sa.Table("legacy", metadata, sa.Column("id", sa.Integer, primary_key=True))


def prepare(connection):
    metadata.create_all(connection)
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
        resumer = Resumer(project, cache, project.server_url())
        yield resumer
        resumer.stop()


def test_files_statements_and_functions_are_run_in_their_order_and_listed(
    project: Project,
) -> None:
    """With their times, when verbose."""
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
        f"select 1 -- {'long ' * 20}",
    )
    project.revision("0001", 'op.execute("create table one (like shapes.square)")')
    project.tests(TESTS)

    result = project.run("-v", "-rP")

    result.assert_outcomes(passed=2)
    assert [name for name in tables(result) if name != "alembic_version"] == [
        *("early", "legacy", "one", "shapes.circle", "shapes.square")
    ]
    lines = [re.sub(r"\d+ ms", "? ms", line) for line in told(result)]
    assert lines[2:8] == [
        "before: create table early (id int, name tex ... (? ms)",
        "before: shapes.sql (? ms)",
        "before: prepare:prepare (? ms)",
        "before: create table shapes.square (like legacy) (? ms)",
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
    lines = project.run("--db-status").outlines[1:]
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


def test_a_file_outside_of_the_rootdir_and_another_line_count_too(resumer: Resumer) -> None:
    project = resumer.project
    outside = resumer.cache / "outside.sql"
    outside.write_text("create table legacy (id int)")
    before(project, str(outside))
    assert resumer.how() == "fresh: 1 revision applied"
    outside.write_text("create table legacy (id bigint)")
    assert resumer.how() == "rebuilt: outside.sql was edited; 1 revision applied"
    before(project, "create table legacy (id int)")
    assert resumer.how() == (
        f"rebuilt: dbmigrate_before was {outside}, "
        "and is create table legacy (id int) now; 1 revision applied"
    )


def test_a_failed_step_is_shown_by_status_and_run_again(resumer: Resumer) -> None:
    sql = resumer.project.write("prepare.sql", "create tabel legacy (id int)")
    before(resumer.project, "create table early ()", "prepare.sql")
    assert resumer.run().ret == 1
    lines = resumer.project.run("--db-status").outlines[1:]
    assert [line.split()[0] for line in lines] == ["dbmigrate_before:", "done", "failed", "pending"]
    sql.write_text("create table legacy (id int)")
    assert resumer.how() == "fresh: 1 revision applied"


def test_migrations_and_what_is_run_before_are_run_within_what_is_named(project: Project) -> None:
    project.write(
        "app.py",
        """
        import contextlib
        import contextvars

        state = contextvars.ContextVar("state")

        @contextlib.contextmanager
        def managed():
            token = state.set("within")
            yield
            state.reset(token)

        def prepare(connection):
            state.get()
        """,
    )
    project.ini("dbmigrate_within = app:managed\ndbmigrate_before = app:prepare")
    project.revision(
        "0001", 'import app\nassert app.state.get() == "within"\nop.execute("create table item ()")'
    )

    assert migrated(project) == ["item"]
