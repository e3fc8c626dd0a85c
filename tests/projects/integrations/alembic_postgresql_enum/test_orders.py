from models import Order, State
from sqlalchemy.orm import Session

from pytest_dbmigrate import MigratedDatabase


def test_an_order_is_sent(migrated_db: MigratedDatabase) -> None:
    with Session(migrated_db.engine) as session:
        session.add(Order(state=State.sent))
        session.commit()
