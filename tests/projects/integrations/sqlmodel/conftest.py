from collections.abc import Iterator

import pytest
from sqlmodel import Session

from pytest_dbmigrate import MigratedDatabase


@pytest.fixture
def session(migrated_db: MigratedDatabase) -> Iterator[Session]:
    with Session(migrated_db.engine) as session:
        yield session
