"""An env.py that is about to migrate another database is refused, and that one is untouched."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import psycopg
import pytest

from pytest_dbmigrate.addresses.dsn import Dsn
from tests.plugin.projects import (
    VARIABLE_URL,
    Project,
    async_env,
    block,
    output,
    sync_env,
)

TESTS = """
def test_unit(): pass

def test_database(migrated_db): pass
"""
HAND_OVER = [
    "  to do: let env.py take its URL from config.get_main_option('sqlalchemy.url'),",
    "         or name the environment variable it reads in dbmigrate_env",
]


@dataclass
class Production:
    """A database that belongs to somebody else."""

    dsn: Dsn

    def url(self, driver: str = "psycopg") -> str:
        return self.dsn.url(driver)

    def is_untouched(self) -> bool:
        with psycopg.connect(self.dsn.conninfo()) as connection:
            tables = connection.execute(
                "select schemaname, tablename from pg_tables"
                " where schemaname not in ('pg_catalog', 'information_schema')"
            ).fetchall()
            rows = connection.execute("select * from customer").fetchall()
        return tables == [("public", "customer")] and rows == [("ada",)]


@pytest.fixture
def production(project: Project) -> Iterator[Production]:
    """A database on the server that is up already."""
    server = Dsn.parse(project.server_url())
    with psycopg.connect(server.conninfo(), autocommit=True) as connection:
        connection.execute("create database production")
    dsn = server.at("production")
    with psycopg.connect(dsn.conninfo()) as connection:
        connection.execute("create table customer as select 'ada' as name")
    yield Production(dsn)
    with psycopg.connect(server.conninfo(), autocommit=True) as connection:
        connection.execute("drop database production with (force)")


def refused(result: pytest.RunResult, production: Production) -> None:
    """Check that the run was stopped by one error that names both databases."""
    result.assert_outcomes(passed=1, errors=1)
    said = block(result, "dbmigrate: no database").splitlines()
    assert said[1:] == [
        "  tried: asking its connection for current_database(); nothing was run there",
        *HAND_OVER,
    ]
    begin = f"env.py connects to database production at 127.0.0.1:{production.dsn.port}, "
    end = "not to the one prepared for it (dbm_"
    assert said[0].startswith(begin + end)
    assert said[0].endswith("_build)")
    assert production.dsn.password not in output(result)
    assert production.is_untouched()


@pytest.mark.parametrize("driver", ["psycopg", "psycopg2", "asyncpg"])
def test_another_database_of_the_same_server_is_not_migrated(
    items_project: Project, production: Production, driver: str
) -> None:
    env = async_env if driver == "asyncpg" else sync_env
    items_project.env(env(url=repr(str(production.url(driver)))))
    items_project.tests(TESTS)

    refused(items_project.run(), production)


def test_a_database_of_another_server_is_not_migrated(
    items_project: Project, production: Production
) -> None:
    items_project.env(sync_env(url=repr(str(production.url()))))
    items_project.tests(TESTS)

    refused(items_project.run(server="embedded"), production)


def test_a_variable_that_nobody_named_does_not_lead_to_production(
    items_project: Project, production: Production, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", production.url())
    items_project.env(sync_env(url=VARIABLE_URL))
    items_project.tests(TESTS)

    refused(items_project.run(), production)


def test_an_open_transaction_of_env_is_refused_as_well(
    items_project: Project, production: Production
) -> None:
    items_project.env(
        f"""
        from alembic import context
        from sqlalchemy import create_engine

        with create_engine({str(production.url())!r}).begin() as connection:
            context.configure(connection=connection)
            context.run_migrations()
        """
    )
    items_project.tests(TESTS)

    refused(items_project.run(), production)


def test_the_second_of_two_databases_is_refused(
    items_project: Project, production: Production
) -> None:
    """The recipe of Alembic's multidb template, with one address of its own."""
    items_project.env(sync_env() + sync_env(url=repr(str(production.url()))))
    items_project.tests(TESTS)

    refused(items_project.run(), production)


def test_the_url_of_the_configuration_file_is_replaced(
    items_project: Project, production: Production
) -> None:
    items_project.write(
        "alembic.ini",
        "[alembic]\nscript_location = %(here)s/migrations\n"
        f"sqlalchemy.url = {production.url('psycopg2')!s}\n",
    )
    items_project.tests(
        'def test_it(migrated_db): migrated_db.connect().execute("select * from item")'
    )

    items_project.run().assert_outcomes(passed=1)
    assert production.is_untouched()
