"""What the application maps; the partitions of `reading` are made by a job in the database."""

import sqlalchemy as sa

metadata = sa.MetaData()
reading = sa.Table(
    "reading",
    metadata,
    sa.Column("day", sa.Date, nullable=False),
    sa.Column("degrees", sa.Numeric(4, 1)),
)
