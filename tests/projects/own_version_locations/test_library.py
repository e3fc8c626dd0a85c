"""env.py says where the revisions are: seen from outside, there are none."""

from sqlalchemy import Engine


def test_a_member_has_a_loan(engine: Engine) -> None:
    with engine.begin() as connection:
        connection.exec_driver_sql("insert into member values (1)")
        connection.exec_driver_sql("insert into loan values (1)")
