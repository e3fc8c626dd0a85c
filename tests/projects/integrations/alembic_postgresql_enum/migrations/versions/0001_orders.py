"""orders"""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    op.create_table(
        "orders",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("state", sa.Enum("ordered", "sent", name="state"), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
