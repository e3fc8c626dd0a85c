"""Steps ahead of the first revision that fail: each is explained with all that is known."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.plugin.projects import line_of

if TYPE_CHECKING:
    from tests.unit.jobs import JobProject

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


def test_sql_of_a_file_that_fails_is_shown_with_its_place(job_project: JobProject) -> None:
    text = "create table early (id int);\ncreate tabel late ();\n"
    file = job_project.write("my sql/early.sql", text)
    assert job_project.explained(before=(str(file),)) == [
        "early.sql, of dbmigrate_before, failed",
        "  file: my sql/early.sql:2",
        "  sql: create table early (id int);",
        "       create tabel late ();",
        "              ^",
        '  server: syntax error at or near "tabel"',
        "  to do: fix it and run the tests again",
    ]


def test_a_statement_that_fails_is_shown(job_project: JobProject) -> None:
    steps = ("create table early (id int)", "insert into early values ('one')")
    assert job_project.explained(before=steps) == [
        "insert into early values ('one'), of dbmigrate_before, failed",
        "  sql: insert into early values ('one')",
        "                                 ^",
        '  server: invalid input syntax for type integer: "one"',
        "  to do: fix it and run the tests again",
    ]


def test_the_error_of_a_missing_extension_says_where_to_get_it(job_project: JobProject) -> None:
    assert job_project.explained(before=("create extension postgis",)) == [
        "create extension postgis, of dbmigrate_before, failed",
        "  sql: create extension postgis",
        '  server: extension "postgis" is not available',
        "  hint: The extension must first be installed on the system where PostgreSQL is running.",
        "  to do: this server does not ship the extension. The official postgres images ship all",
        "         of PostgreSQL's own (uuid-ossp, pgcrypto); postgis/postgis ships PostGIS:",
        "         use --db-server=docker, with --db-image where needed, or the URL of such a server",  # noqa: E501
    ]


def test_a_function_that_fails_is_named_with_its_line(job_project: JobProject) -> None:
    path = job_project.write("prepare.py", PREPARES)
    assert job_project.explained(before=("prepare:raises",)) == [
        "prepare:raises, of dbmigrate_before, failed",
        f"  file: prepare.py:{line_of(path, 'not today')}",
        "  error: RuntimeError: not today",
        "  to do: fix it and run the tests again",
    ]


def test_sql_of_a_function_that_fails_is_shown(job_project: JobProject) -> None:
    path = job_project.write("prepare.py", PREPARES)
    assert job_project.explained(before=("prepare:fails",)) == [
        "prepare:fails, of dbmigrate_before, failed",
        f"  file: prepare.py:{line_of(path, 'insert into')}",
        "  sql: insert into legacy values (%(id)s)",
        '  server: relation "legacy" does not exist',
        "  to do: fix it and run the tests again",
    ]


@pytest.mark.parametrize("name", ["waits", "metadata"])
def test_what_is_no_plain_function_is_refused(job_project: JobProject, name: str) -> None:
    job_project.write("prepare.py", PREPARES)
    assert job_project.explained(before=(f"prepare:{name}",)) == [
        f"dbmigrate_before names prepare:{name}, which is not a plain function",
        "  to do: name a function that takes a Connection of SQLAlchemy",
    ]


def test_a_module_that_cannot_be_imported_names_the_line(job_project: JobProject) -> None:
    path = job_project.write("prepare.py", "import surely_nothing_like_this\n")
    assert job_project.explained(before=("prepare:prepare",)) == [
        "prepare:prepare, of dbmigrate_before, failed",
        f"  file: prepare.py:{line_of(path, 'import')}",
        "  error: ModuleNotFoundError: No module named 'surely_nothing_like_this'",
        "  to do: fix it and run the tests again",
    ]
