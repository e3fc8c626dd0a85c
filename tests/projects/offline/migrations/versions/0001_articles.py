"""articles"""

from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    op.execute("create table article (name text primary key, slug text)")
    op.execute("insert into article (name) values ('Blue Ink')")
