"""a slug for each article"""

from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    connection = op.get_bind()
    for (name,) in connection.exec_driver_sql("select name from article").all():
        slug = name.lower().replace(" ", "-")
        connection.exec_driver_sql("update article set slug = %s where name = %s", (slug, name))
