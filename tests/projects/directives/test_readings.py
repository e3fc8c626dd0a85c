"""env.py's process_revision_directives has the last word on what is a difference."""

from sqlalchemy import Engine


def test_a_reading_goes_to_its_year(engine: Engine) -> None:
    with engine.begin() as connection:
        connection.exec_driver_sql("insert into reading values ('2025-07-01', 31.5)")
        assert connection.exec_driver_sql("select count(*) from reading_2025").scalar() == 1
