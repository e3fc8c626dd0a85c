"""orders, and the big ones"""

import sqlalchemy as sa
from alembic import op
from alembic_utils.pg_function import PGFunction
from alembic_utils.pg_view import PGView

revision = "0001"
down_revision = None

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


def upgrade() -> None:
    op.create_table(
        "orders",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("cents", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_entity(big_orders)
    op.create_entity(in_euros)
