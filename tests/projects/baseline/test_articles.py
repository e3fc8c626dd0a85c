"""A project that has lived with differences for years: they are accepted, and only they."""

from sqlalchemy import Engine


def test_the_table_is_there(engine: Engine) -> None:
    with engine.connect() as connection:
        assert connection.exec_driver_sql("select count(*) from article").scalar() == 0
