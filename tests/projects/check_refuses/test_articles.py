"""`alembic check` crashes on an env.py that empties the list of directives if nothing differs."""

from sqlalchemy import Engine


def test_the_table_is_there(engine: Engine) -> None:
    with engine.connect() as connection:
        assert connection.exec_driver_sql("select count(*) from article").scalar() == 0
