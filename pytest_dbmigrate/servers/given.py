"""A server that somebody else runs: only our databases there are ours."""

from __future__ import annotations

from dataclasses import replace

from pytest_dbmigrate.addresses.dsn import Dsn
from pytest_dbmigrate.errors import ServerError
from pytest_dbmigrate.servers.server import Server, wait_until_ready


def connect(dsn: Dsn, seconds: float) -> Server:
    """Return the server at `dsn`, once it answers and its role may create databases.

    A missing user is taken from libpq's own defaults. Raises `ServerError`.
    """
    import psycopg

    server = wait_until_ready(
        Server("url", dsn), seconds, is_alive=lambda: _may_be_starting(dsn), log=lambda: ""
    )
    with psycopg.connect(dsn.conninfo(), autocommit=True) as connection:
        row = connection.execute(
            "select rolname, rolcreatedb or rolsuper from pg_roles where rolname = current_user"
        ).fetchone()
    assert row is not None
    role, may_create = row
    if not may_create:
        raise ServerError(
            f"role {role} may not create databases on {server}",
            todo=(f'run there, as a superuser: ALTER ROLE "{role}" CREATEDB',),
        )
    return replace(server, dsn=replace(dsn, user=dsn.user or role))


def _may_be_starting(dsn: Dsn) -> bool:
    """Whether to go on trying: a service container next to us may still be coming up."""
    return not dsn.is_socket
