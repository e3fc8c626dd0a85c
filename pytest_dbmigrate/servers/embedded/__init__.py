"""Embedded Postgres servers, from programs on this machine."""
