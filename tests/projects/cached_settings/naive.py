"""The naive way: a database for each test, its URL in the variable while it is migrated.

The settings were read for the first one, and so it is migrated twice. Nobody says a word.
"""

from collections.abc import Callable

import pytest
from alembic import command
from alembic.config import Config
from empty import new_database
from sqlalchemy import Engine, NullPool, create_engine

__all__ = ["new_database"]


@pytest.fixture
def engine(new_database: Callable[[], str], monkeypatch: pytest.MonkeyPatch) -> Engine:
    url = new_database()
    monkeypatch.setenv("DATABASE_URL", url)
    command.upgrade(Config("alembic.ini"), "head")
    return create_engine(url, poolclass=NullPool)
