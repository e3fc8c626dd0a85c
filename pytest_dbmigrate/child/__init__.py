"""The migration child process; only here are Alembic and SQLAlchemy imported at module level."""
