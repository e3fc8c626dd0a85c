"""An application whose database is configured by advanced-alchemy, and its migrations, too."""

import os

from advanced_alchemy.alembic.commands import AlembicCommands
from advanced_alchemy.base import BigIntBase
from advanced_alchemy.config import AlembicAsyncConfig, SQLAlchemyAsyncConfig
from alembic.config import Config
from sqlalchemy.orm import Mapped


class Article(BigIntBase):
    name: Mapped[str]


alchemy = SQLAlchemyAsyncConfig(
    connection_string=os.environ["DATABASE_URL"],
    alembic_config=AlembicAsyncConfig(script_location="migrations"),
)


def alembic_config() -> Config:
    return AlembicCommands(alchemy).config
