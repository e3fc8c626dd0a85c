"""The naive way: the usual lines with `sqlalchemy.url`, or the recipe of Alembic's cookbook."""

from collections.abc import Callable

import pytest
from alembic import command
from alembic.config import Config
from empty import new_database
from sqlalchemy import Engine, NullPool, create_engine

__all__ = ["new_database"]


@pytest.fixture(params=["url", "recipe"])
def engine(new_database: Callable[[], str], request: pytest.FixtureRequest) -> Engine:
    url = new_database()
    engine = create_engine(url, poolclass=NullPool)
    config = Config("alembic.ini")
    config.set_main_option("sqlalchemy.url", url)
    with engine.begin() as connection:
        if request.param == "recipe":
            config.attributes["connection"] = connection
        command.upgrade(config, "head")
    return engine
