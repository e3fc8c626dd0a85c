import sqlalchemy as sa

metadata = sa.MetaData()
article = sa.Table("article", metadata, sa.Column("name", sa.Text, primary_key=True))
