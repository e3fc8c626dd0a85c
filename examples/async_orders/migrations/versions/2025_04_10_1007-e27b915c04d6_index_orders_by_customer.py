"""index orders by customer

Revision ID: e27b915c04d6
Revises: 5c1f0b7e92ad
Create Date: 2025-04-10 10:07:31.058873

"""

from __future__ import annotations

from alembic import op

revision: str = "e27b915c04d6"
down_revision: str | tuple[str, ...] | None = "5c1f0b7e92ad"
branch_labels: str | tuple[str, ...] | None = None
depends_on: str | tuple[str, ...] | None = None


def upgrade() -> None:
    # Orders keep coming in while the index is built, so it is built outside a transaction.
    with op.get_context().autocommit_block():
        op.create_index(
            "ix_orders_customer_placed_at",
            "orders",
            ["customer", "placed_at"],
            postgresql_concurrently=True,
        )


def downgrade() -> None:
    with op.get_context().autocommit_block():
        op.drop_index(
            "ix_orders_customer_placed_at",
            table_name="orders",
            postgresql_concurrently=True,
        )
