"""The naive way: the SQL of `alembic upgrade --sql`, loaded into the database."""

from collections.abc import Callable
from io import StringIO

import pytest
from alembic import command
from alembic.config import Config
from empty import new_database
from sqlalchemy import Engine, NullPool, create_engine

__all__ = ["new_database"]


@pytest.fixture
def engine(new_database: Callable[[], str]) -> Engine:
    url, script = new_database(), StringIO()
    config = Config("alembic.ini", output_buffer=script)
    config.set_main_option("sqlalchemy.url", url)
    command.upgrade(config, "head", sql=True)
    engine = create_engine(url, poolclass=NullPool)
    with engine.begin() as connection:
        connection.exec_driver_sql(script.getvalue())
    return engine
