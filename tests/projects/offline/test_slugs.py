"""A revision that reads what it has written, and an env.py that knows no offline mode."""

from sqlalchemy import Engine


def test_each_article_has_a_slug(engine: Engine) -> None:
    with engine.connect() as connection:
        assert connection.exec_driver_sql("select slug from article").scalars().all() == [
            "blue-ink"
        ]
