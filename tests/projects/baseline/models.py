"""The models have moved on; nobody wrote all of the migrations."""

import sqlalchemy as sa

metadata = sa.MetaData()
article = sa.Table(
    "article",
    metadata,
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("price", sa.Numeric(10, 2), nullable=False),
)
