"""For the naive way: empty databases on a server that is up already."""

import os
from collections.abc import Callable, Iterator
from uuid import uuid4

import psycopg
import pytest


@pytest.fixture(scope="session")
def new_database() -> Iterator[Callable[[], str]]:
    """Make an empty database, and return its URL; all are dropped when the tests are over."""
    server, names = os.environ["SERVER_URL"], list[str]()
    with psycopg.connect(server, autocommit=True) as admin:

        def make() -> str:
            names.append(f"naive_{uuid4().hex}")
            admin.execute(f"create database {names[-1]}".encode())
            return f"{server.rpartition('/')[0]}/{names[-1]}".replace("://", "+psycopg://")

        yield make
        for name in names:
            admin.execute(f"drop database {name} with (force)".encode())
