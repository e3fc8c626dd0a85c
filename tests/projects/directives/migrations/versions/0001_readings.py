"""readings, a partition for each year"""

from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    op.execute(
        "create table reading (day date not null, degrees numeric(4, 1)) partition by range (day)"
    )
    for year in (2024, 2025, 2026):
        op.execute(
            f"create table reading_{year} partition of reading "
            f"for values from ('{year}-01-01') to ('{year + 1}-01-01')"
        )
