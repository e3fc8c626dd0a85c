"""What env.py is given: arguments, attributes, a driver; and what it may not do with it."""

from __future__ import annotations

import pytest

from tests.plugin.environments import TESTS, explained
from tests.plugin.projects import Project, async_env, line_of, sync_env
from tests.plugin.resuming import tables

GIVEN_CONNECTION = """
from alembic import context

connection = context.config.attributes["connection"]
context.configure(connection=connection)
with context.begin_transaction():
    context.run_migrations()
"""
GIVEN_ENGINE = """
from alembic import context

with context.config.attributes.get("db_engine").connect() as connection:
    context.configure(connection=connection)
    with context.begin_transaction():
        context.run_migrations()
"""


def migrated(project: Project) -> list[str]:
    """Return the tables that the database test of a green run has found."""
    project.tests(TESTS)
    result = project.run("-rP")
    result.assert_outcomes(passed=2)
    return [name for name in tables(result) if name != "alembic_version"]


def test_arguments_are_found_with_x(items_project: Project) -> None:
    items_project.env(
        sync_env(
            imports="given = context.get_x_argument(as_dictionary=True)\n"
            'assert given == {"tenant": "acme", "mode": "a=b c"}, given'
        )
    )
    items_project.ini("dbmigrate_x =\n    tenant=acme\n    mode=a=b c\n")

    assert migrated(items_project) == ["item"]


def test_an_argument_with_its_option_is_refused(items_project: Project) -> None:
    items_project.ini("dbmigrate_x = -x tenant=acme\n")

    result = items_project.run()

    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert result.stderr.str().splitlines()[0] == (
        "ERROR: dbmigrate: dbmigrate_x cannot be used: "
        "'-x tenant=acme' is an option: it is given without the -x before it"
    )


@pytest.mark.parametrize("driver", ["psycopg", "psycopg2", "asyncpg"])
def test_a_connection_is_given_whatever_the_driver(items_project: Project, driver: str) -> None:
    items_project.env(GIVEN_CONNECTION)
    items_project.ini(
        f"dbmigrate_attributes = connection = {{connection}}\ndbmigrate_driver = {driver}\n"
    )

    assert migrated(items_project) == ["item"]


def test_uncommitted_work_on_a_given_connection_is_committed(items_project: Project) -> None:
    items_project.env(
        GIVEN_CONNECTION.replace(
            "context.configure", 'connection.exec_driver_sql("select 1")\ncontext.configure'
        )
    )
    items_project.ini("dbmigrate_attributes = connection = {connection}\n")

    assert migrated(items_project) == ["item"]


def test_an_engine_and_texts_are_given(items_project: Project) -> None:
    items_project.env(
        GIVEN_ENGINE + "\nattributes = context.config.attributes\n"
        'assert attributes["a"] is True and attributes["b"] is False\n'
        'assert (attributes["c"], attributes["d"]) == ("some text", "")\n'
    )
    items_project.ini(
        """
        dbmigrate_attributes =
            db_engine = {engine}
            a = true
            b=false
            c = some text
            d =
        """
    )

    assert migrated(items_project) == ["item"]


def test_an_attribute_that_cannot_be_one_is_refused(items_project: Project) -> None:
    items_project.ini("dbmigrate_attributes = connection\n")

    result = items_project.run()

    assert result.stderr.str().splitlines()[0] == (
        "ERROR: dbmigrate: dbmigrate_attributes cannot be used: 'connection' is not name = value"
    )


@pytest.mark.parametrize(
    ("env", "error", "name", "value"),
    [
        (GIVEN_CONNECTION, "KeyError: 'connection'", "connection", "{connection}"),
        (
            'from alembic import context\ncontext.config.attributes.get("configure_logger", True)\n'
            + GIVEN_ENGINE,
            "AttributeError: 'NoneType' object has no attribute 'connect'",
            "db_engine",
            "{engine}",
        ),
    ],
)
def test_a_missing_attribute_that_env_py_looked_for_is_named(
    items_project: Project, env: str, error: str, name: str, value: str
) -> None:
    path = items_project.env(env)

    assert explained(items_project) == [
        "the migrations could not be run: env.py failed",
        f"  tried: migrations/env.py:{line_of(path, name)}",
        f"         {error}",
        "  to do: fix what it reports; if it is about the address of the database:",
        "         let env.py take its URL from config.get_main_option('sqlalchemy.url'),",
        "         or name the environment variable it reads in dbmigrate_env",
        f"         env.py looked for {name!r} in config.attributes: it can be given a connection,",
        f"         or an engine, with dbmigrate_attributes = {name} = {value}",
    ]


@pytest.mark.parametrize("driver", ["psycopg", "psycopg2", "asyncpg"])
def test_the_driver_is_in_the_setting_and_in_variables(items_project: Project, driver: str) -> None:
    env = async_env if driver == "asyncpg" else sync_env
    items_project.env(
        env(
            url='os.environ["DATABASE_URL"]',
            imports="import os\n"
            f'assert os.environ["DATABASE_URL"].startswith("postgresql+{driver}://")\n'
            'assert os.environ["PLAIN"].startswith("postgresql://")\n'
            'configured = context.config.get_main_option("sqlalchemy.url")\n'
            'assert configured == os.environ["DATABASE_URL"]\n',
        )
    )
    items_project.ini(
        f"""
        dbmigrate_driver = {driver}
        dbmigrate_env =
            DATABASE_URL={{url}}
            PLAIN={{url:postgresql}}
        """
    )

    assert migrated(items_project) == ["item"]


def test_a_driver_that_is_not_installed_is_an_error(items_project: Project) -> None:
    items_project.ini("dbmigrate_driver = pg8000\n")

    found = explained(items_project)

    assert found[0] == "the migrations could not be run: env.py failed"
    assert "         ModuleNotFoundError: No module named 'pg8000'" in found


SWALLOWS = """
import sys

from alembic import context
from sqlalchemy import create_engine

engine = create_engine(context.config.get_main_option("sqlalchemy.url"))
with engine.connect() as connection:
    context.configure(connection=connection)
    try:
        with context.begin_transaction():
            context.run_migrations()
    except Exception as error:
        {}
"""


@pytest.mark.parametrize(
    "then",
    ["print(error)", "sys.exit(1)", 'raise RuntimeError("it failed") from None', "raise"],
)
def test_the_error_of_a_revision_is_reported_whatever_env_py_does_with_it(
    items_project: Project, then: str
) -> None:
    items_project.env(SWALLOWS.format(then))
    file = items_project.revision("0002", 'op.execute("create tabel more ()")')

    assert explained(items_project)[:7] == [
        "revision 0002 failed",
        f"  file: migrations/versions/0002.py:{line_of(file, 'tabel')}",
        "  sql: create tabel more ()",
        "              ^",
        '  server: syntax error at or near "tabel"',
        "  left applied: up to 0001; 1 revision is not applied",
        "  to do: fix the revision and run the tests again",
    ]


ROLLS_BACK = """
from alembic import context
from sqlalchemy import create_engine

engine = create_engine(context.config.get_main_option("sqlalchemy.url"))
with engine.connect() as connection:
    transaction = connection.begin()
    context.configure(connection=connection)
    with context.begin_transaction():
        context.run_migrations()
    transaction.{}()
"""


def test_an_env_py_that_rolls_back_is_an_error(items_project: Project) -> None:
    items_project.env(ROLLS_BACK.format("rollback"))

    assert explained(items_project)[:4] == [
        (
            "the migrations ran, but version table alembic_version in the database prepared "
            "for them is empty"
        ),
        "  tried: running env.py once, which applied 0001",
        "  to do: let env.py commit what it runs, on the connection it gives Alembic",
    ]


def test_an_env_py_may_commit_its_own_transaction(items_project: Project) -> None:
    items_project.env(ROLLS_BACK.format("commit"))

    assert migrated(items_project) == ["item"]


def test_an_env_py_that_commits_elsewhere_is_an_error(items_project: Project) -> None:
    items_project.env(
        ROLLS_BACK.format("close").replace(
            "    transaction.close()",
            "    with engine.begin() as other:\n"
            '        other.exec_driver_sql("create table elsewhere ()")\n'
            "    transaction.close()",
        )
    )

    assert explained(items_project)[0] == (
        "the migrations ran, but version table alembic_version in the database prepared for them "
        "is empty"
    )
