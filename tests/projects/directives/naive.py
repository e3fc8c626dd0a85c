"""The naive way: migrate, and compare with Alembic's `compare_metadata`, which knows no env.py."""

from collections.abc import Callable

import models
import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from empty import new_database
from sqlalchemy import Engine, NullPool, create_engine

__all__ = ["new_database"]


@pytest.fixture
def engine(new_database: Callable[[], str]) -> Engine:
    url = new_database()
    config = Config("alembic.ini")
    config.set_main_option("sqlalchemy.url", url)
    command.upgrade(config, "head")
    engine = create_engine(url, poolclass=NullPool)
    with engine.connect() as connection:
        found = compare_metadata(MigrationContext.configure(connection), models.metadata)
    assert [(kind, table.name) for kind, table in found] == []
    return engine
