"""an index, made while the shop is open"""

from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    with op.get_context().autocommit_block():
        op.execute("create index concurrently article_name on article (name)")
