"""Migrations as the parent process knows them: environments, history, the child's messages."""
