"""articles"""

from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    op.execute("create table article (name text primary key, stock integer not null)")
    op.execute("insert into article values ('pen', 0)")
    print("one article is there")
