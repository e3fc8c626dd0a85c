"""What env.py is given: arguments, attributes, a driver, variables."""

from __future__ import annotations

import pytest

from tests.plugin.environments import TESTS
from tests.plugin.projects import Project
from tests.plugin.resuming import tables

ENV = """
import os

from alembic import context

assert context.get_x_argument(as_dictionary=True) == {"tenant": "acme", "mode": "a=b c"}
attributes = context.config.attributes
assert attributes["a"] is True and attributes["b"] is False
assert (attributes["c"], attributes["d"]) == ("some text", "")
assert os.environ["DATABASE_URL"].startswith("postgresql+psycopg2://")
assert os.environ["PLAIN"].startswith("postgresql://")
assert context.config.get_main_option("sqlalchemy.url") == os.environ["DATABASE_URL"]

with attributes.get("db_engine").connect() as connection:
    assert connection.dialect.driver == "psycopg2"
    context.configure(connection=connection)
    with context.begin_transaction():
        context.run_migrations()
"""


def test_arguments_attributes_the_driver_and_variables_are_given(items_project: Project) -> None:
    items_project.env(ENV)
    items_project.ini(
        """
        dbmigrate_x =
            tenant=acme
            mode=a=b c
        dbmigrate_attributes =
            db_engine = {engine}
            a = true
            b=false
            c = some text
            d =
        dbmigrate_driver = psycopg2
        dbmigrate_env =
            DATABASE_URL={url}
            PLAIN={url:postgresql}
        """
    )
    items_project.tests(TESTS)

    result = items_project.run("-rP")

    result.assert_outcomes(passed=2)
    assert tables(result) == ["alembic_version", "item"]


def test_an_argument_with_its_option_is_refused(items_project: Project) -> None:
    items_project.ini("dbmigrate_x = -x tenant=acme\n")

    result = items_project.run()

    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert result.stderr.str().splitlines()[0] == (
        "ERROR: dbmigrate: dbmigrate_x cannot be used: "
        "'-x tenant=acme' is an option: it is given without the -x before it"
    )


def test_an_attribute_that_cannot_be_one_is_refused(items_project: Project) -> None:
    items_project.ini("dbmigrate_attributes = connection\n")

    result = items_project.run()

    assert result.stderr.str().splitlines()[0] == (
        "ERROR: dbmigrate: dbmigrate_attributes cannot be used: 'connection' is not name = value"
    )
