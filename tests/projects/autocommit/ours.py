"""With pytest-dbmigrate: each revision has a transaction of its own, which it may leave."""

from collections.abc import Iterator

import pytest
from sqlalchemy import Connection

from pytest_dbmigrate import MigratedDatabase


@pytest.fixture
def connection(migrated_db: MigratedDatabase) -> Iterator[Connection]:
    with migrated_db.engine.connect() as connection:
        yield connection
