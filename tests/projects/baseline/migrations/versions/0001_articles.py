"""articles"""

from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    op.execute("create table article (name text primary key, price numeric(10, 2))")
    op.execute("create index article_price on article (price)")
