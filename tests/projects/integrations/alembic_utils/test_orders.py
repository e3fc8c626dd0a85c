from models import Order
from sqlalchemy import text
from sqlalchemy.orm import Session

from pytest_dbmigrate import MigratedDatabase


def test_a_big_order(migrated_db: MigratedDatabase) -> None:
    with Session(migrated_db.engine) as session:
        session.add_all([Order(cents=900), Order(cents=90000)])
        session.commit()
        euros = session.execute(text("select in_euros(cents) from big_orders")).scalars().all()
    assert euros == [900]
