"""issuer profiles, and the two that every installation has

Revision ID: 0001_issuer_profiles
Revises:
Create Date: 2025-01-14 09:12:40

"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision: str = "0001_issuer_profiles"
down_revision: str | None = None
branch_labels: str | None = None
depends_on: str | None = None

issuer_status = postgresql.ENUM("active", "suspended", name="issuer_status", create_type=False)


def upgrade() -> None:
    op.execute("CREATE TYPE issuer_status AS ENUM ('active', 'suspended')")
    issuer_profiles = op.create_table(
        "issuer_profiles",
        sa.Column("id", sa.Integer(), sa.Identity(), nullable=False),
        sa.Column("name", sa.String(63), nullable=False),
        sa.Column("status", issuer_status, server_default="active", nullable=False),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.Column(
            "updated_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.CheckConstraint(
            "name ~ '^[a-z][a-z0-9-]*$'", name=op.f("ck_issuer_profiles_name_is_a_slug")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_issuer_profiles")),
        sa.UniqueConstraint("name", name=op.f("uq_issuer_profiles_name")),
    )
    op.bulk_insert(
        issuer_profiles,
        [
            {"name": "platform", "status": "active"},
            {"name": "legacy-sso", "status": "suspended"},
        ],
    )


def downgrade() -> None:
    op.drop_table("issuer_profiles")
    op.execute("DROP TYPE issuer_status")
