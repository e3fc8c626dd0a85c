"""The naive way: one database for the session, migrated in the process of the tests."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from alembic import command
from alembic.config import Config


@pytest.fixture(scope="session")
def migrated() -> Iterator[str]:
    server, name = os.environ["SERVER_URL"], f"naive_{uuid4().hex}"
    with psycopg.connect(server, autocommit=True) as admin:
        admin.execute(f"create database {name}".encode())
        url = f"{server.rpartition('/')[0]}/{name}"
        config = Config(Path(__file__).with_name("alembic.ini"))
        config.set_main_option("sqlalchemy.url", url.replace("://", "+psycopg://"))
        command.upgrade(config, "head")
        yield url
        admin.execute(f"drop database {name} with (force)".encode())


@pytest.fixture
def connection(migrated: str) -> Iterator[psycopg.Connection[Any]]:
    with psycopg.connect(migrated) as connection:
        yield connection
        connection.rollback()
