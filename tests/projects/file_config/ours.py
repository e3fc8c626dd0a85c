"""With pytest-dbmigrate: the migrations run in a process of their own."""

from typing import Any

import psycopg
import pytest

from pytest_dbmigrate import MigratedDatabase


@pytest.fixture
def connection(migrated_db: MigratedDatabase) -> psycopg.Connection[Any]:
    return migrated_db.connect()
