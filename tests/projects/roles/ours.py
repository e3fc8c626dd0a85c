"""With pytest-dbmigrate: each test has a copy of one migrated database."""

from typing import Any

import psycopg
import pytest

from pytest_dbmigrate import MigratedDatabase


@pytest.fixture
def connection(migrated_db: MigratedDatabase) -> psycopg.Connection[tuple[Any, ...]]:
    connection = migrated_db.connect()
    connection.autocommit = True
    return connection
