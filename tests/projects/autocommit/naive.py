"""The naive way: all in one transaction, which is rolled back after the test."""

from collections.abc import Callable, Iterator

import pytest
from alembic import command
from alembic.config import Config
from empty import new_database
from sqlalchemy import Connection, create_engine

__all__ = ["new_database"]


@pytest.fixture
def connection(new_database: Callable[[], str]) -> Iterator[Connection]:
    with create_engine(new_database()).connect() as connection:
        transaction = connection.begin()
        config = Config("alembic.ini")
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
        yield connection
        transaction.rollback()
