"""Port of an embedded server: reserved before the server starts, so that its address is known."""

from __future__ import annotations

import secrets
import socket

from pytest_dbmigrate.addresses.dsn import Dsn, Secret

_HOST, _USER, _DATABASE = "127.0.0.1", "postgres", "postgres"


def reserve(before: Dsn | None = None) -> tuple[Dsn, socket.socket]:
    """Return an address on this machine that no one else gets while the socket is held.

    It is the one a server had `before`, if its port is free, and keeps its password.
    """
    # The socket is bound but never listens. The kernel gives a bound port to nobody who asks for
    # any free one, but lets a second socket bind it by its number if both have SO_REUSEADDR and
    # neither listens yet. Postgres sets that option, so that it can listen on the port while we
    # still hold it: the port is never free in between.
    holder = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        holder.bind((_HOST, before.port if before else 0))
    except OSError:
        holder.bind((_HOST, 0))
    password = Secret(before.password if before else secrets.token_hex(16))
    return Dsn(_HOST, holder.getsockname()[1], _USER, password, _DATABASE), holder
