"""Database tests on a real Postgres that only your own migrations have built.

The public names are imported on first use: ``import pytest_dbmigrate`` alone
costs nothing, so a run of unit tests does not pay for SQLAlchemy or psycopg.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pytest_dbmigrate.version import __version__

if TYPE_CHECKING:
    from pytest_dbmigrate.addresses.dsn import Dsn
    from pytest_dbmigrate.databases.factory import FactoryDatabase, MigratedDatabaseFactory
    from pytest_dbmigrate.databases.lease import MigratedDatabase
    from pytest_dbmigrate.errors import DbmigrateError
    from pytest_dbmigrate.schema.difference import Difference
    from pytest_dbmigrate.servers.server import Server

__all__ = [
    "DbmigrateError",
    "Difference",
    "Dsn",
    "FactoryDatabase",
    "MigratedDatabase",
    "MigratedDatabaseFactory",
    "Server",
    "__version__",
]

_LAZY = {
    "DbmigrateError": "pytest_dbmigrate.errors",
    "Difference": "pytest_dbmigrate.schema.difference",
    "Dsn": "pytest_dbmigrate.addresses.dsn",
    "FactoryDatabase": "pytest_dbmigrate.databases.factory",
    "MigratedDatabase": "pytest_dbmigrate.databases.lease",
    "MigratedDatabaseFactory": "pytest_dbmigrate.databases.factory",
    "Server": "pytest_dbmigrate.servers.server",
}


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_LAZY[name]), name)
