"""The naive way: both are migrated in one process, where there is one module `models`.

The second one looks into the version table of the first, finds its 0001 there, and is done.
"""

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
    for service in ("orders", "billing"):
        config = Config(f"{service}/alembic.ini")
        config.set_main_option("sqlalchemy.url", url)
        command.upgrade(config, "head")
    return create_engine(url, poolclass=NullPool)
