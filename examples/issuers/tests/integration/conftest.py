from __future__ import annotations

import pytest
from pytest_dbmigrate import MigratedDatabase
from sqlalchemy.orm import Session, sessionmaker


@pytest.fixture
def sessions(migrated_db: MigratedDatabase) -> sessionmaker[Session]:
    """Sessions of the application in this test's database: `with sessions.begin() as session`."""
    return sessionmaker(migrated_db.engine)
