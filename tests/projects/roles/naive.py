"""The naive way: each test has a database of its own, and the migrations are applied to it."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from alembic import command
from alembic.config import Config


@pytest.fixture
def connection() -> Iterator[psycopg.Connection[tuple[Any, ...]]]:
    server, name = os.environ["SERVER_URL"], f"naive_{uuid4().hex}"
    with psycopg.connect(server, autocommit=True) as admin:
        admin.execute(f"create database {name}".encode())
        url = f"{server.rpartition('/')[0]}/{name}"
        config = Config(Path(__file__).with_name("alembic.ini"))
        config.set_main_option("sqlalchemy.url", url.replace("://", "+psycopg://"))
        try:
            command.upgrade(config, "head")
            with psycopg.connect(url, autocommit=True) as connection:
                yield connection
        finally:
            admin.execute(f"drop database {name} with (force)".encode())
