"""An application that logs, as any does: by a logger of its module."""

import logging
from typing import Any

import psycopg

log = logging.getLogger(__name__)


def order(connection: psycopg.Connection[Any], name: str) -> bool:
    """Return whether there was an article left."""
    taken = connection.execute(
        "update article set stock = stock - 1 where name = %s and stock > 0", (name,)
    ).rowcount
    if not taken:
        log.warning("%s is sold out", name)
    return bool(taken)
