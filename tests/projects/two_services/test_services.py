"""Two services with modules of the same names share a database."""

from sqlalchemy import Engine


def test_an_invoice_for_a_purchase(engine: Engine) -> None:
    with engine.begin() as connection:
        connection.exec_driver_sql("insert into purchase values (1)")
        connection.exec_driver_sql("insert into invoice values (1)")
