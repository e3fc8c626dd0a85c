"""The application caches its URL: changing the variable afterwards changes nothing."""

from sqlalchemy import Engine


def add(engine: Engine, name: str) -> int | None:
    with engine.begin() as connection:
        connection.exec_driver_sql("insert into article values (%s)", (name,))
        return connection.exec_driver_sql("select count(*) from article").scalar()


def test_an_article(engine: Engine) -> None:
    assert add(engine, "pen") == 1


def test_another_one(engine: Engine) -> None:
    assert add(engine, "ink") == 1
