"""A revision that fails is shown with all that is known of it, and only once."""

from __future__ import annotations

import pytest

from tests.plugin.projects import Project, async_env, block, line_of, output

TESTS = """
import pytest

def test_unit(): pass

@pytest.mark.parametrize("number", [1, 2])
def test_database(migrated_db, number): pass
"""
MEND = "  to do: fix the revision and run the tests again"


def explanation(result: pytest.RunResult) -> list[str]:
    """Return what a run with a unit test and two database tests says of the failed revision."""
    result.assert_outcomes(passed=1, errors=2)
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    return block(result, "dbmigrate: no database").splitlines()


def explained(project: Project) -> list[str]:
    """Run these tests, and return the same."""
    project.tests(TESTS)
    return explanation(project.run())


@pytest.fixture(scope="module")
def runs() -> dict[str, pytest.RunResult]:
    """The run that several tests look at, once it was done."""
    return {}


@pytest.fixture
def broken(project: Project, runs: dict[str, pytest.RunResult]) -> pytest.RunResult:
    """A verbose run whose second revision prints something and names an unknown column."""
    if "broken" not in runs:
        project.revision("0001")
        project.revision(
            "0002",
            '''
            print("halfway")
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
        project.tests(TESTS)
        runs["broken"] = project.run("-v")
    return runs["broken"]


def test_broken_sql_is_shown_with_its_file_line_and_position(broken: pytest.RunResult) -> None:
    assert explanation(broken)[:-2] == [
        "revision 0002 failed",
        "  file: migrations/versions/0002.py:15",
        "  sql: update item",
        "          set name = nam || '!'",
        "                     ^",
        "        where id > 0",
        '  server: column "nam" does not exist',
        '  hint: Perhaps you meant to reference the column "item.name".',
        "  left applied: up to 0001; 2 revisions are not applied",
        MEND,
    ]


def test_what_was_printed_before_the_failure_is_shown(broken: pytest.RunResult) -> None:
    assert explanation(broken)[-2:] == ["  env.py and the migrations printed:", "    halfway"]


def test_each_database_test_ends_in_one_line(broken: pytest.RunResult) -> None:
    said = "no database: revision 0002 failed (explained at the end)"
    assert [line.strip("_ ") for line in block(broken, "ERRORS").splitlines()] == [
        "ERROR at setup of test_database[1]",
        said,
        "ERROR at setup of test_database[2]",
        said,
    ]
    assert output(broken).count('column "nam" does not exist') == 1


def test_the_failure_is_reported_as_soon_as_it_happens(broken: pytest.RunResult) -> None:
    broken.stdout.fnmatch_lines(
        [
            "dbmigrate: revision 0002 failed (explained at the end)",
            "test_it.py::test_unit PASSED*",
        ]
    )


def test_what_the_server_adds_to_an_asynchronous_driver_is_shown(project: Project) -> None:
    url = "sqlalchemy.url = postgresql+asyncpg://"
    project.write("alembic.ini", f"[alembic]\nscript_location = %(here)s/migrations\n{url}\n")
    project.env(async_env())
    project.revision("0001")
    file = project.revision(
        "0002",
        """
        op.execute("insert into item values (1, 'one')")
        op.execute("insert into item values (1, 'two')")
        """,
    )
    project.revision("0003", "pass")

    assert explained(project) == [
        "revision 0002 failed",
        f"  file: migrations/versions/0002.py:{line_of(file, 'two')}",
        "  sql: insert into item values (1, 'two')",
        '  server: duplicate key value violates unique constraint "item_pkey"',
        "  detail: Key (id)=(1) already exists.",
        "  left applied: up to 0001; 2 revisions are not applied",
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
