"""a role that may read the orders, and no more"""

from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.execute("create role app_reader")
    op.execute("grant select on orders to app_reader")
