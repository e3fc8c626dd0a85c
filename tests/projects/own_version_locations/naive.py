"""The naive way: migrate to the heads that Alembic's ScriptDirectory knows of."""

from collections.abc import Callable

import pytest
from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from empty import new_database
from sqlalchemy import Engine, NullPool, create_engine

__all__ = ["new_database"]


@pytest.fixture
def engine(new_database: Callable[[], str]) -> Engine:
    url = new_database()
    config = Config("alembic.ini")
    config.set_main_option("sqlalchemy.url", url)
    for head in ScriptDirectory.from_config(config).get_heads():
        command.upgrade(config, head)
    return create_engine(url, poolclass=NullPool)
