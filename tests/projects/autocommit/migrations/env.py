"""The recipe of Alembic's cookbook: a connection that tests have opened, or one of its own."""

from alembic import context
from sqlalchemy import Connection, engine_from_config


def migrate(connection: Connection) -> None:
    context.configure(connection=connection)
    with context.begin_transaction():
        context.run_migrations()


given = context.config.attributes.get("connection")
if given is not None:
    migrate(given)
else:
    with engine_from_config(context.config.get_section("alembic", {})).connect() as connection:
        migrate(connection)
