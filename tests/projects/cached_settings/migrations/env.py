"""Takes the URL from the application's settings, as so many do."""

from alembic import context
from settings import settings
from sqlalchemy import NullPool, create_engine

engine = create_engine(settings.database_url, poolclass=NullPool)
with engine.connect() as connection:
    context.configure(connection=connection)
    with context.begin_transaction():
        context.run_migrations()
