"""How to get a running Postgres, and how to be sure that it ends."""
