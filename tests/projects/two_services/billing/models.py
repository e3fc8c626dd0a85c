import sqlalchemy as sa

VERSION_TABLE = "billing_version"
metadata = sa.MetaData()
invoice = sa.Table(
    "invoice", metadata, sa.Column("id", sa.Integer, primary_key=True, autoincrement=False)
)
