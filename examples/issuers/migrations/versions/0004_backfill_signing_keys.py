"""every issuer has a signing key

Revision ID: 0004_backfill_signing_keys
Revises: 0003_signing_public_key
Create Date: 2025-02-18 14:20:09

"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision: str = "0004_backfill_signing_keys"
down_revision: str | None = "0003_signing_public_key"
branch_labels: str | None = None
depends_on: str | None = None

# The keys that the issuers of the first revision have been using all along.
KNOWN_KEYS = {
    "platform": "9a676e676f3fe0b222bdff14cdc2e910770102e3e10f4473950acdceb6797068",
    "legacy-sso": "d16e7eb0741d28b2ed0c2d515917910c7309f27b011de3deff912222514107fe",
}
# Matches no private key: such an issuer has to rotate before it issues again.
NO_KEY_YET = "pending-rotation"

issuer_profiles = sa.table(
    "issuer_profiles",
    sa.column("name", sa.String),
    sa.column("signing_public_key", sa.Text),
)


def upgrade() -> None:
    op.execute(
        issuer_profiles.update()
        .where(issuer_profiles.c.signing_public_key.is_(None))
        .values(
            signing_public_key=sa.case(KNOWN_KEYS, value=issuer_profiles.c.name, else_=NO_KEY_YET)
        )
    )
    op.alter_column(
        "issuer_profiles", "signing_public_key", existing_type=sa.Text(), nullable=False
    )


def downgrade() -> None:
    # The keys stay: who goes further down loses them with the column.
    op.alter_column(
        "issuer_profiles", "signing_public_key", existing_type=sa.Text(), nullable=True
    )
