"""orders can be cancelled

Revision ID: a84d6e03f1b9
Revises: 5c1f0b7e92ad
Create Date: 2025-04-09 15:12:44.917250

"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision: str = "a84d6e03f1b9"
down_revision: str | tuple[str, ...] | None = "5c1f0b7e92ad"
branch_labels: str | tuple[str, ...] | None = None
depends_on: str | tuple[str, ...] | None = None


def upgrade() -> None:
    op.add_column("orders", sa.Column("cancelled_at", sa.DateTime(timezone=True), nullable=True))


def downgrade() -> None:
    op.drop_column("orders", "cancelled_at")
