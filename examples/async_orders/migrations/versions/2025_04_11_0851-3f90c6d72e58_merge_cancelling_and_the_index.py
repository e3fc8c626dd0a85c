"""merge cancelling and the index

Revision ID: 3f90c6d72e58
Revises: a84d6e03f1b9, e27b915c04d6
Create Date: 2025-04-11 08:51:02.663904

"""

from __future__ import annotations

revision: str = "3f90c6d72e58"
down_revision: str | tuple[str, ...] | None = ("a84d6e03f1b9", "e27b915c04d6")
branch_labels: str | tuple[str, ...] | None = None
depends_on: str | tuple[str, ...] | None = None


def upgrade() -> None:
    pass


def downgrade() -> None:
    pass
