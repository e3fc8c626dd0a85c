"""Pools of this process never give out a connection to a database that is gone."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator

import psycopg
import pytest
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from pytest_dbmigrate.addresses.dsn import Dsn
from pytest_dbmigrate.databases.pools import Pools

DRIVERS = ("psycopg", "psycopg2")
ASYNC_DRIVERS = ("psycopg", "asyncpg")


@pytest.fixture
def dsn(new_database: Callable[[], Dsn]) -> Dsn:
    """The database that is watched."""
    return new_database()


@pytest.fixture
def early(dsn: Dsn) -> Iterator[sa.Engine]:
    """An engine that was made before anybody watched."""
    engine = sa.create_engine(dsn.url("psycopg"))
    yield engine
    engine.dispose()


@pytest.fixture
def pools(dsn: Dsn, early: sa.Engine) -> Iterator[Pools]:
    """The watch."""
    pools = Pools(dsn.dbname)
    yield pools
    pools.close()


def server_process(engine: sa.Engine) -> int:
    """Return the number of the server's process behind a connection of the pool."""
    with engine.connect() as connection:
        number: int = connection.scalar(sa.text("select pg_backend_pid()"))
    return number


def test_an_engine_that_was_made_before_is_watched(early: sa.Engine, pools: Pools) -> None:
    before = server_process(early)
    pools.empty()
    assert server_process(early) != before


@pytest.mark.parametrize("driver", DRIVERS)
def test_a_pooled_connection_is_replaced(driver: str, dsn: Dsn, pools: Pools) -> None:
    engine = sa.create_engine(dsn.url(driver))
    before = server_process(engine)
    assert server_process(engine) == before  # it is pooled
    pools.empty()
    assert server_process(engine) != before
    engine.dispose()


def test_a_replaced_connection_is_replaced_again(dsn: Dsn, pools: Pools) -> None:
    engine = sa.create_engine(dsn.url("psycopg"))
    seen = set()
    for _ in range(3):
        seen.add(server_process(engine))
        pools.empty()
    assert len(seen) == 3
    engine.dispose()


def test_a_connection_that_is_checked_out_is_ended(
    dsn: Dsn, pools: Pools, eventually: Callable[[Callable[[], object]], None]
) -> None:
    engine = sa.create_engine(dsn.url("psycopg"))
    held = engine.connect()
    assert open_connections(dsn) == 1
    pools.empty()
    eventually(lambda: open_connections(dsn) == 0)
    held.close()
    engine.dispose()


def open_connections(dsn: Dsn) -> int:
    with psycopg.connect(dsn.at("postgres").conninfo()) as connection:
        query = "select count(*) from pg_stat_activity where datname = %s"
        row = connection.execute(query, (dsn.dbname,)).fetchone()
    assert row is not None
    return int(row[0])


def test_a_connection_to_another_database_is_left_alone(
    pools: Pools, new_database: Callable[[], Dsn]
) -> None:
    engine = sa.create_engine(new_database().url("psycopg"))
    before = server_process(engine)
    pools.empty()
    assert server_process(engine) == before
    engine.dispose()


def test_a_connection_of_an_engines_own_creator_is_replaced(dsn: Dsn, pools: Pools) -> None:
    engine = sa.create_engine(
        "postgresql+psycopg://", creator=lambda: psycopg.connect(dsn.conninfo())
    )
    before = server_process(engine)
    pools.empty()
    assert server_process(engine) != before
    engine.dispose()


def test_nothing_is_watched_any_more_once_the_watch_is_closed(dsn: Dsn, early: sa.Engine) -> None:
    pools = Pools(dsn.dbname)
    pools.close()
    before = server_process(early)
    pools.empty()
    assert server_process(early) == before


async def async_server_process(engine: AsyncEngine) -> int:
    async with engine.connect() as connection:
        number: int = await connection.scalar(sa.text("select pg_backend_pid()"))
    return number


@pytest.mark.parametrize("driver", ASYNC_DRIVERS)
def test_a_pooled_connection_of_an_event_loop_that_is_closed_is_replaced_without_a_word(
    driver: str, dsn: Dsn, pools: Pools, caplog: pytest.LogCaptureFixture
) -> None:
    engine = create_async_engine(dsn.url(driver))
    before = asyncio.run(async_server_process(engine))
    pools.empty()

    async def after() -> int:
        number = await async_server_process(engine)
        await engine.dispose()
        return number

    assert asyncio.run(after()) != before
    assert caplog.messages == []


def test_the_loggers_of_pools_are_as_before(dsn: Dsn, pools: Pools) -> None:
    logger = logging.getLogger("sqlalchemy.pool")
    engine = sa.create_engine(dsn.url("psycopg"))
    server_process(engine)
    before = logger.disabled
    pools.empty()
    assert logger.disabled is before
    engine.dispose()
