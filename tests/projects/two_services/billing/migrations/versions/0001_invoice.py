"""invoice"""

from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    op.execute("create table invoice (id integer primary key)")
