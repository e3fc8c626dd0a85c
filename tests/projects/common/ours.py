"""With pytest-dbmigrate."""

import pytest
from sqlalchemy import Engine

from pytest_dbmigrate import MigratedDatabase


@pytest.fixture
def engine(migrated_db: MigratedDatabase) -> Engine:
    return migrated_db.engine
