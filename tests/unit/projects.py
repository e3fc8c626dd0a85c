"""Small Alembic environments, and a way to run them in this process."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg
import pytest

from pytest_dbmigrate.addresses.dsn import Dsn
from pytest_dbmigrate.child.configuration import configuration
from pytest_dbmigrate.child.env_run import EnvRun
from pytest_dbmigrate.child.plan import Plan
from pytest_dbmigrate.child.progress import Progress
from pytest_dbmigrate.child.upgrade import Upgrade
from pytest_dbmigrate.migrations import events
from pytest_dbmigrate.migrations.environments import Environment
from pytest_dbmigrate.migrations.messages import AlembicOptions, ProgressMessage

INI = """
[alembic]
script_location = %(here)s/migrations
path_separator = os
sqlalchemy.url = postgresql+{driver}://nobody@nowhere/nothing
"""
ENV = """
from alembic import context
from sqlalchemy import create_engine, pool

engine = create_engine(context.config.get_main_option("sqlalchemy.url"), poolclass=pool.NullPool)
with engine.connect() as connection:
    context.configure(connection=connection)
    with context.begin_transaction():
        context.run_migrations()
"""
ASYNC_ENV = """
import asyncio
from alembic import context
from sqlalchemy import pool
from sqlalchemy.ext.asyncio import create_async_engine

def migrate(connection):
    context.configure(connection=connection)
    with context.begin_transaction():
        context.run_migrations()

async def main():
    url = context.config.get_main_option("sqlalchemy.url")
    async with create_async_engine(url, poolclass=pool.NullPool).connect() as connection:
        await connection.run_sync(migrate)

asyncio.run(main())
"""
REVISION = '''"""{doc}"""

from alembic import op
from sqlalchemy import text

revision = {name!r}
down_revision = {after!r}


def upgrade():
{body}


def downgrade():
    pass
'''


@dataclass
class Project:
    """An Alembic environment in a folder, and what its last upgrade told."""

    folder: Path
    database: Dsn
    history: psycopg.Connection[tuple[Any, ...]]
    driver: str = "psycopg"
    told: list[ProgressMessage] = field(default_factory=list)

    def write_env(self, text: str) -> Path:
        """Write env.py."""
        file = self.folder / "migrations/env.py"
        file.write_text(text)
        return file

    def add(self, name: str, body: str, after: str | tuple[str, ...] | None = None) -> Path:
        """Add a revision whose upgrade has this body, and return its file."""
        file = self.folder / f"migrations/versions/{name}_change.py"
        lines = "\n".join(f"    {line}" for line in body.splitlines())
        file.write_text(REVISION.format(doc=f"Change {name}.", name=name, after=after, body=lines))
        return file

    def upgrade(self, *target: str, check: Callable[..., None] | None = None) -> Upgrade:
        """Return an upgrade of the project's database, ready to run."""
        (self.folder / "alembic.ini").write_text(INI.format(driver=self.driver))
        target = target or ("head",)
        environment = Environment(str(self.folder / "alembic.ini"), "", str(self.folder))
        with configuration(environment, self.database, target, AlembicOptions()) as config:
            pass  # it gives no connection that would be closed by now
        log = events.EventLog(self.history, "0a1b2c3d", "00000001")
        return Upgrade(
            EnvRun(config, self.database),
            Plan(target),
            Progress(log, self.told.append),
            check or (lambda *_: None),
        )

    def query(self, statement: str) -> list[tuple[Any, ...]]:
        """Return what the migrated database answers."""
        with psycopg.connect(self.database.conninfo()) as connection:
            return connection.execute(statement.encode()).fetchall()


@pytest.fixture
def history(new_database: Callable[[], Dsn]) -> Iterator[psycopg.Connection[tuple[Any, ...]]]:
    """A connection to a database with an empty history."""
    with psycopg.connect(new_database().conninfo(), autocommit=True) as connection:
        connection.execute(events.TABLE.encode())
        yield connection


@pytest.fixture
def project(
    tmp_path: Path,
    new_database: Callable[[], Dsn],
    history: psycopg.Connection[tuple[Any, ...]],
    monkeypatch: pytest.MonkeyPatch,
) -> Project:
    """A project without revisions; the working folder is its folder."""
    (tmp_path / "migrations/versions").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    project = Project(tmp_path, new_database(), history)
    project.write_env(ENV)
    return project


@pytest.fixture(params=["psycopg", "psycopg2", "asyncpg"])
def driven_project(request: pytest.FixtureRequest, project: Project) -> Project:
    """The project, for each driver."""
    project.driver = request.param
    if project.driver == "asyncpg":
        project.write_env(ASYNC_ENV)
    return project
