from sqlmodel import Field, SQLModel


class Article(SQLModel, table=True):
    name: str = Field(primary_key=True)
    note: str | None = Field(default=None, max_length=80)
