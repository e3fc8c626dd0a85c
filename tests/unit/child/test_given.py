"""What env.py is given: arguments, attributes, a driver; and what it may not do with it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pytest_dbmigrate.addresses.env_variable import EnvVariable
from pytest_dbmigrate.migrations.messages import AlembicOptions
from tests.plugin.projects import async_env, line_of, sync_env

if TYPE_CHECKING:
    from tests.unit.jobs import JobProject

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


@pytest.fixture
def project(job_project: JobProject) -> JobProject:
    """A project with one revision, `0001`, that makes table `item`."""
    job_project.revision("0001")
    return job_project


def connection(driver: str = "") -> AlembicOptions:
    return AlembicOptions(attributes=(("connection", "{connection}"),), driver=driver)


@pytest.mark.parametrize("driver", ["psycopg", "psycopg2", "asyncpg"])
def test_a_connection_is_given_whatever_the_driver(project: JobProject, driver: str) -> None:
    project.env(GIVEN_CONNECTION)
    assert project.migrated(options=connection(driver)) == ["item"]


def test_uncommitted_work_on_a_given_connection_is_committed(project: JobProject) -> None:
    project.env(
        GIVEN_CONNECTION.replace(
            "context.configure", 'connection.exec_driver_sql("select 1")\ncontext.configure'
        )
    )
    assert project.migrated(options=connection()) == ["item"]


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
    project: JobProject, env: str, error: str, name: str, value: str
) -> None:
    path = project.env(env)
    assert project.explained() == [
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
def test_the_driver_is_in_the_setting_and_in_variables(project: JobProject, driver: str) -> None:
    env = async_env if driver == "asyncpg" else sync_env
    project.env(
        env(
            url='os.environ["DATABASE_URL"]',
            imports="import os\n"
            f'assert os.environ["DATABASE_URL"].startswith("postgresql+{driver}://")\n'
            'assert os.environ["PLAIN"].startswith("postgresql://")\n'
            'configured = context.config.get_main_option("sqlalchemy.url")\n'
            'assert configured == os.environ["DATABASE_URL"]\n',
        )
    )
    variables = [EnvVariable("DATABASE_URL", "{url}"), EnvVariable("PLAIN", "{url:postgresql}")]
    environ = {it.name: it.value(project.dsn, driver) for it in variables}
    options = AlembicOptions(driver=driver)
    assert project.migrated(options=options, environ=environ) == ["item"]


def test_a_driver_that_is_not_installed_is_an_error(project: JobProject) -> None:
    found = project.explained(options=AlembicOptions(driver="pg8000"))
    assert found[0] == "the migrations could not be run: env.py failed"
    assert "         ModuleNotFoundError: No module named 'pg8000'" in found


SWALLOWS = """
import sys

from alembic import context
from sqlalchemy import create_engine, pool

url = context.config.get_main_option("sqlalchemy.url")
engine = create_engine(url, poolclass=pool.NullPool)
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
    project: JobProject, then: str
) -> None:
    project.env(SWALLOWS.format(then))
    file = project.revision("0002", 'op.execute("create tabel more ()")')
    assert project.explained() == [
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
from sqlalchemy import create_engine, pool

url = context.config.get_main_option("sqlalchemy.url")
engine = create_engine(url, poolclass=pool.NullPool)
with engine.connect() as connection:
    transaction = connection.begin()
    context.configure(connection=connection)
    with context.begin_transaction():
        context.run_migrations()
    transaction.{}()
"""


def test_an_env_py_that_rolls_back_is_an_error(project: JobProject) -> None:
    project.env(ROLLS_BACK.format("rollback"))
    assert project.explained() == [
        (
            "the migrations ran, but version table alembic_version in the database prepared "
            "for them is empty"
        ),
        "  tried: running env.py once, which applied 0001",
        "  to do: let env.py commit what it runs, on the connection it gives Alembic",
    ]


def test_an_env_py_may_commit_its_own_transaction(project: JobProject) -> None:
    project.env(ROLLS_BACK.format("commit"))
    assert project.migrated() == ["item"]


def test_an_env_py_that_commits_elsewhere_is_an_error(project: JobProject) -> None:
    project.env(
        ROLLS_BACK.format("close").replace(
            "    transaction.close()",
            "    with engine.begin() as other:\n"
            '        other.exec_driver_sql("create table elsewhere ()")\n'
            "    transaction.close()",
        )
    )
    assert project.explained()[0] == (
        "the migrations ran, but version table alembic_version in the database prepared for them "
        "is empty"
    )
