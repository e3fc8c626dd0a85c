"""What a test sees of its database."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator

import psycopg
import pytest
import sqlalchemy as sa

from pytest_dbmigrate.addresses.dsn import Dsn, Secret
from pytest_dbmigrate.databases.lease import MigratedDatabase

DSN = Dsn("127.0.0.1", 5433, "ann", Secret("s3/cret"), "shop")


@pytest.fixture
def database(new_database: Callable[[], Dsn]) -> Iterator[MigratedDatabase]:
    """A database that is really there."""
    database = MigratedDatabase(new_database())
    yield database
    database.close()


def test_the_address_is_there_in_the_form_each_library_wants() -> None:
    database = MigratedDatabase(DSN)
    assert (database.name, database.url, database.url_for("asyncpg"), database.url_for("")) == (
        "shop",
        "postgresql+psycopg://ann:s3%2Fcret@127.0.0.1:5433/shop",
        "postgresql+asyncpg://ann:s3%2Fcret@127.0.0.1:5433/shop",
        "postgresql://ann:s3%2Fcret@127.0.0.1:5433/shop",
    )
    assert database.dsn == "host=127.0.0.1 port=5433 user=ann password=s3/cret dbname=shop"
    assert database.parts == {
        "host": "127.0.0.1",
        "port": 5433,
        "user": "ann",
        "password": "s3/cret",
        "dbname": "shop",
    }


def test_no_password_is_shown_by_the_repr_of_anything() -> None:
    database = MigratedDatabase(DSN)
    assert [repr(it) for it in (database, database.url, database.url_for(""), database.dsn)] == [
        "<MigratedDatabase postgresql://ann:***@127.0.0.1:5433/shop>",
        "'postgresql+psycopg://ann:***@127.0.0.1:5433/shop'",
        "'postgresql://ann:***@127.0.0.1:5433/shop'",
        "'host=127.0.0.1 port=5433 user=ann password=*** dbname=shop'",
    ]
    assert "s3/cret" not in repr(database.parts)


def test_a_connection_is_one_of_psycopg_with_the_callers_keywords(
    database: MigratedDatabase,
) -> None:
    connection = database.connect(autocommit=True, application_name="shop")
    assert (connection.autocommit, connection.info.dbname) == (True, database.name)
    assert connection.execute("show application_name").fetchone() == ("shop",)


def test_the_engine_is_made_once(database: MigratedDatabase) -> None:
    assert database.engine is database.engine


def test_the_engine_leads_to_the_database(database: MigratedDatabase) -> None:
    with database.engine.connect() as connection:
        assert connection.scalar(sa.text("select current_database()")) == database.name


def test_the_async_engine_leads_to_the_database_from_any_event_loop(
    database: MigratedDatabase,
) -> None:
    async def name() -> object:
        async with database.async_engine.connect() as connection:
            return await connection.scalar(sa.text("select current_database()"))

    assert [asyncio.run(name()), asyncio.run(name())] == [database.name, database.name]


def test_what_was_opened_is_closed_with_the_database(database: MigratedDatabase) -> None:
    connection = database.connect()
    with database.engine.connect():
        pass
    database.close()
    assert (connection.closed, database.engine.pool.checkedin()) == (True, 0)  # type: ignore[attr-defined]


def test_a_connection_that_the_test_has_closed_itself_is_no_trouble(
    database: MigratedDatabase,
) -> None:
    database.connect().close()
    database.close()


def test_a_database_that_cannot_be_reached_is_psycopgs_error() -> None:
    with pytest.raises(psycopg.OperationalError):
        MigratedDatabase(Dsn("127.0.0.1", 1, "ann", Secret(), "shop")).connect()
