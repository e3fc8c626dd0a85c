from alembic_utils.pg_function import PGFunction
from alembic_utils.pg_view import PGView
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column


class Base(DeclarativeBase):
    pass


class Order(Base):
    __tablename__ = "orders"
    id: Mapped[int] = mapped_column(primary_key=True)
    cents: Mapped[int]


big_orders = PGView(
    schema="public",
    signature="big_orders",
    definition="select id, cents from orders where cents > 10000",
)
in_euros = PGFunction(
    schema="public",
    signature="in_euros(cents integer)",
    definition="returns numeric language sql immutable as $$ select cents / 100.0 $$",
)
entities = [big_orders, in_euros]
