"""the key an issuer's signatures are checked with

Revision ID: 0003_signing_public_key
Revises: 0002_issued_tokens
Create Date: 2025-02-11 11:47:22

"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision: str = "0003_signing_public_key"
down_revision: str | None = "0002_issued_tokens"
branch_labels: str | None = None
depends_on: str | None = None


def upgrade() -> None:
    op.add_column("issuer_profiles", sa.Column("signing_public_key", sa.Text(), nullable=True))


def downgrade() -> None:
    op.drop_column("issuer_profiles", "signing_public_key")
