"""a trigger that keeps issuer_profiles.updated_at

Revision ID: 0005_touch_updated_at
Revises: 0004_backfill_signing_keys
Create Date: 2025-02-26 08:30:51

"""

from __future__ import annotations

from alembic import op

revision: str = "0005_touch_updated_at"
down_revision: str | None = "0004_backfill_signing_keys"
branch_labels: str | None = None
depends_on: str | None = None


def upgrade() -> None:
    op.execute(
        """
        CREATE FUNCTION touch_updated_at() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            NEW.updated_at = clock_timestamp();
            RETURN NEW;
        END
        $$
        """
    )
    op.execute(
        """
        CREATE TRIGGER issuer_profiles_touch_updated_at
        BEFORE UPDATE ON issuer_profiles
        FOR EACH ROW EXECUTE FUNCTION touch_updated_at()
        """
    )


def downgrade() -> None:
    op.execute("DROP TRIGGER issuer_profiles_touch_updated_at ON issuer_profiles")
    op.execute("DROP FUNCTION touch_updated_at()")
