"""A revision that fails is shown with all that is known of it, and only once."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.plugin.projects import Project, async_env, block, line_of, output

TESTS = """
import pytest

def test_unit(): pass

@pytest.mark.parametrize("number", [1, 2])
def test_database(migrated_db, number): pass
"""
MEND = "  to do: fix the revision and run the tests again"


def explained(project: Project) -> list[str]:
    """Run a unit test and two database tests; return what is said of the failed revision."""
    project.tests(TESTS)
    result = project.run()
    result.assert_outcomes(passed=1, errors=2)
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    return block(result, "dbmigrate: no database").splitlines()


def broken_sql(project: Project, driver: str) -> Path:
    """Write an environment of this driver; its second revision names an unknown column."""
    url = f"sqlalchemy.url = postgresql+{driver}://"
    project.write("alembic.ini", f"[alembic]\nscript_location = %(here)s/migrations\n{url}\n")
    if driver == "asyncpg":
        project.env(async_env())
    project.revision("0001")
    file = project.revision(
        "0002",
        '''
        op.execute("create table colour (id integer)")
        op.execute(
            """
            update item
               set name = nam || '!'
             where id > 0
            """
        )
        ''',
    )
    project.revision("0003", "pass")
    return file


@pytest.mark.parametrize("driver", ["psycopg", "psycopg2", "asyncpg"])
def test_broken_sql_is_shown_with_its_file_line_and_position(project: Project, driver: str) -> None:
    file = broken_sql(project, driver)

    assert explained(project) == [
        "revision 0002 failed",
        f"  file: migrations/versions/0002.py:{line_of(file, 'op.execute(') + 1}",
        "  sql: update item",
        "          set name = nam || '!'",
        "                     ^",
        "        where id > 0",
        '  server: column "nam" does not exist',
        '  hint: Perhaps you meant to reference the column "item.name".',
        "  left applied: up to 0001; 2 revisions are not applied",
        MEND,
    ]


@pytest.mark.parametrize("driver", ["psycopg", "psycopg2", "asyncpg"])
def test_what_the_server_adds_is_shown(project: Project, driver: str) -> None:
    broken_sql(project, driver)
    file = project.revision(
        "0002",
        """
        op.execute("insert into item values (1, 'one')")
        op.execute("insert into item values (1, 'two')")
        """,
        after="0001",
    )

    assert explained(project) == [
        "revision 0002 failed",
        f"  file: migrations/versions/0002.py:{line_of(file, 'two')}",
        "  sql: insert into item values (1, 'two')",
        '  server: duplicate key value violates unique constraint "item_pkey"',
        "  detail: Key (id)=(1) already exists.",
        "  left applied: up to 0001; 2 revisions are not applied",
        MEND,
    ]


def test_a_statement_with_parameters_is_shown_without_a_position(project: Project) -> None:
    project.revision("0001")
    file = project.revision(
        "0002",
        """
        op.get_bind().execute(
            sa.text("update item set colour = :colour"), {"colour": "red"}
        )
        """,
    )

    assert explained(project) == [
        "revision 0002 failed",
        f"  file: migrations/versions/0002.py:{line_of(file, 'get_bind')}",
        "  sql: update item set colour = %(colour)s",
        '  server: column "colour" of relation "item" does not exist',
        "  left applied: up to 0001; 1 revision is not applied",
        MEND,
    ]


def test_the_first_revision_leaves_nothing_applied(project: Project) -> None:
    file = project.revision("0001", 'op.execute("createtable item (id integer)")')

    assert explained(project) == [
        "revision 0001 failed",
        f"  file: migrations/versions/0001.py:{line_of(file, 'createtable')}",
        "  sql: createtable item (id integer)",
        "       ^",
        '  server: syntax error at or near "createtable"',
        "  left applied: nothing; 1 revision is not applied",
        MEND,
    ]


def test_an_error_of_python_names_the_line_of_the_revision(items_project: Project) -> None:
    items_project.write("helpers.py", "def prices():\n    return {}['lamp']\n")
    file = items_project.revision("0002", "import helpers\n\nhelpers.prices()")

    assert explained(items_project) == [
        "revision 0002 failed",
        f"  file: migrations/versions/0002.py:{line_of(file, 'helpers.prices')}",
        "  error: KeyError: 'lamp'",
        "  left applied: up to 0001; 1 revision is not applied",
        MEND,
    ]


def test_a_message_that_postgres_cannot_store_is_shown_all_the_same(items_project: Project) -> None:
    file = items_project.revision("0002", 'raise RuntimeError("a \\0 of a file")')

    said = explained(items_project)

    assert said[:2] == [
        "revision 0002 failed",
        f"  file: migrations/versions/0002.py:{line_of(file, 'RuntimeError')}",
    ]
    assert said[2].startswith("  error: RuntimeError: a ")
    assert said[2].endswith(" of a file")
    assert said[3:] == ["  left applied: up to 0001; 1 revision is not applied", MEND]


def test_a_revision_that_exits_is_a_revision_that_failed(items_project: Project) -> None:
    file = items_project.revision("0002", "raise SystemExit(0)")

    assert explained(items_project) == [
        "revision 0002 failed",
        f"  file: migrations/versions/0002.py:{line_of(file, 'SystemExit')}",
        "  error: SystemExit: 0",
        "  left applied: up to 0001; 1 revision is not applied",
        MEND,
    ]


def test_a_revision_that_fails_when_it_is_committed_is_named(items_project: Project) -> None:
    items_project.revision(
        "0002",
        """
        op.execute(
            "create table lot ("
            " item integer references item deferrable initially deferred)"
        )
        op.execute("insert into lot values (7)")
        """,
    )

    assert explained(items_project) == [
        "revision 0002 failed",
        "  file: migrations/versions/0002.py",
        '  error: insert or update on table "lot" violates foreign key constraint "lot_item_fkey"',
        '  detail: Key (item)=(7) is not present in table "item".',
        "  left applied: up to 0001; 1 revision is not applied",
        MEND,
    ]


def test_a_migration_process_that_is_killed_is_named_with_its_revision(
    items_project: Project,
) -> None:
    items_project.revision(
        "0002",
        """
        import os

        print("so far so good", flush=True)
        os.kill(os.getpid(), 9)
        """,
    )

    assert explained(items_project) == [
        "the process that runs the migrations was killed by SIGKILL while revision 0002 ran",
        "  to do: see what it printed: it may be out of memory, or a library may have crashed",
        "  env.py and the migrations printed:",
        "    so far so good",
    ]


def test_the_error_of_a_missing_extension_says_where_to_get_it(items_project: Project) -> None:
    file = items_project.revision("0002", 'op.execute("create extension postgis")')

    assert explained(items_project) == [
        "revision 0002 failed",
        f"  file: migrations/versions/0002.py:{line_of(file, 'postgis')}",
        "  sql: create extension postgis",
        '  server: extension "postgis" is not available',
        "  hint: The extension must first be installed on the system where PostgreSQL is running.",
        "  left applied: up to 0001; 1 revision is not applied",
        "  to do: this server does not ship the extension. The official postgres images ship all",
        "         of PostgreSQL's own (uuid-ossp, pgcrypto); postgis/postgis ships PostGIS:",
        "         use --db-server=docker, with --db-image where needed, or the URL of such a server",  # noqa: E501
    ]


def test_what_was_printed_before_the_failure_is_shown(items_project: Project) -> None:
    items_project.revision("0002", 'print("halfway")\nraise RuntimeError("no further")')

    assert explained(items_project)[-2:] == ["  env.py and the migrations printed:", "    halfway"]


def test_each_database_test_ends_in_one_line(items_project: Project) -> None:
    items_project.revision("0002", 'raise RuntimeError("no")')
    items_project.tests(TESTS)

    result = items_project.run("-v")

    result.assert_outcomes(passed=1, errors=2)
    said = "no database: revision 0002 failed (explained at the end)"
    assert [line.strip("_ ") for line in block(result, "ERRORS").splitlines()] == [
        "ERROR at setup of test_database[1]",
        said,
        "ERROR at setup of test_database[2]",
        said,
    ]
    assert output(result).count("RuntimeError: no") == 1


def test_the_failure_is_reported_as_soon_as_it_happens(items_project: Project) -> None:
    items_project.revision("0002", 'raise RuntimeError("no")')
    items_project.tests(TESTS)

    result = items_project.run("-v")

    result.stdout.fnmatch_lines(
        [
            "dbmigrate: revision 0002 failed (explained at the end)",
            "test_it.py::test_unit PASSED*",
        ]
    )
