"""Postgres servers in Docker containers."""
