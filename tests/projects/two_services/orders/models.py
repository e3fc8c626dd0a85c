import sqlalchemy as sa

VERSION_TABLE = "orders_version"
metadata = sa.MetaData()
purchase = sa.Table(
    "purchase", metadata, sa.Column("id", sa.Integer, primary_key=True, autoincrement=False)
)
