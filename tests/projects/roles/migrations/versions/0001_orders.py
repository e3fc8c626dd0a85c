"""orders"""

from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    op.execute("create table orders (id integer primary key, total numeric not null)")
