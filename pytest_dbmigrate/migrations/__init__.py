"""How a schema is built by the project's own migrations, and the history of that."""
