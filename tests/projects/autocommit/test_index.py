"""A revision with autocommit_block() cannot be run in a transaction of somebody else's."""

from sqlalchemy import Connection


def test_the_index_is_valid(connection: Connection) -> None:
    found = connection.exec_driver_sql(
        "select indisvalid from pg_index where indexrelid = 'article_name'::regclass"
    )
    assert found.scalar() is True
