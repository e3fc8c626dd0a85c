"""issued tokens

Revision ID: 0002_issued_tokens
Revises: 0001_issuer_profiles
Create Date: 2025-01-21 16:03:05

"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision: str = "0002_issued_tokens"
down_revision: str | None = "0001_issuer_profiles"
branch_labels: str | None = None
depends_on: str | None = None


def upgrade() -> None:
    op.create_table(
        "issued_tokens",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("issuer_id", sa.Integer(), nullable=False),
        sa.Column("subject", sa.String(255), nullable=False),
        sa.Column(
            "issued_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("signature", sa.Text(), nullable=False),
        sa.CheckConstraint(
            "expires_at > issued_at", name=op.f("ck_issued_tokens_expires_after_issue")
        ),
        sa.ForeignKeyConstraint(
            ["issuer_id"],
            ["issuer_profiles.id"],
            name=op.f("fk_issued_tokens_issuer_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_issued_tokens")),
    )
    op.create_index(
        "ix_issued_tokens_issuer_id_expires_at", "issued_tokens", ["issuer_id", "expires_at"]
    )


def downgrade() -> None:
    op.drop_index("ix_issued_tokens_issuer_id_expires_at", table_name="issued_tokens")
    op.drop_table("issued_tokens")
