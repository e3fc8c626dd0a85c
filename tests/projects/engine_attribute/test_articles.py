"""env.py takes config.attributes["connection"], which is an Engine here."""

from sqlalchemy import Engine


def test_the_table_is_there(engine: Engine) -> None:
    with engine.connect() as connection:
        assert connection.exec_driver_sql("select count(*) from article").scalar() == 0
