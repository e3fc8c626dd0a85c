"""The naive way: the usual lines, which give the URL as `sqlalchemy.url`."""

from collections.abc import Callable

import pytest
from alembic import command
from alembic.config import Config
from empty import new_database
from sqlalchemy import Engine, NullPool, create_engine

__all__ = ["new_database"]


@pytest.fixture
def engine(new_database: Callable[[], str]) -> Engine:
    url = new_database()
    config = Config("alembic.ini")
    config.set_main_option("sqlalchemy.url", url)
    command.upgrade(config, "head")
    return create_engine(url, poolclass=NullPool)
