import pytest
from flask.testing import FlaskClient
from shop import app

from pytest_dbmigrate import MigratedDatabase


@pytest.fixture
def client(migrated_db: MigratedDatabase) -> FlaskClient:
    return app.test_client()
