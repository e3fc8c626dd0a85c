"""Connects with the engine it is given; its name says something else."""

from alembic import context

engine = context.config.attributes["connection"]
with engine.connect() as connection:
    context.configure(connection=connection)
    with context.begin_transaction():
        context.run_migrations()
