"""A database for each test: what ours costs, against two ways that need no plugin."""

from __future__ import annotations

import importlib.util
import tempfile
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql
from sqlalchemy import MetaData, create_engine

from benchmarks import project, timing
from pytest_dbmigrate.addresses.dsn import Dsn
from pytest_dbmigrate.session import Session

REVISIONS = 80  # 20 tables
ROUNDS = 100
MOST = 1.0
_OURS, _CLONE, _TABLES = (
    "migrated_db",
    "CREATE DATABASE ... TEMPLATE, DROP DATABASE",
    "create_all, drop_all",
)


class Clones:
    """Copies of a template as plain SQL makes them: the server's own default strategy."""

    def __init__(self, server: Dsn, metadata: MetaData) -> None:
        """Make a template with the models' tables."""
        self._connection = psycopg.connect(server.conninfo(), autocommit=True)
        self._connection.execute("create database plain_template")
        engine = create_engine(server.at("plain_template").url("psycopg"))
        metadata.create_all(engine)
        engine.dispose()

    def take_and_drop(self) -> float:
        """Return the seconds of making a copy and dropping it."""
        name = sql.Identifier("plain")

        def work() -> None:
            self._connection.execute(
                sql.SQL("create database {} template plain_template").format(name)
            )
            self._connection.execute(sql.SQL("drop database {}").format(name))

        return timing.timed(work)


class Tables:
    """One database, in which every test's tables are created and dropped."""

    def __init__(self, server: Dsn, metadata: MetaData) -> None:
        """Make the database."""
        with psycopg.connect(server.conninfo(), autocommit=True) as connection:
            connection.execute("create database tables")
        self._engine = create_engine(server.at("tables").url("psycopg"))
        self._metadata = metadata

    def create_and_drop(self) -> float:
        """Return the seconds of creating all tables and dropping them."""

        def work() -> None:
            self._metadata.create_all(self._engine)
            self._metadata.drop_all(self._engine)

        return timing.timed(work)


def lease(session: Session) -> float:
    """Return the seconds of a test's hold on its database, with nothing done in it."""

    def work() -> None:
        session.take()
        session.release("a test", name_leaks=False)

    return timing.timed(work)


def main() -> None:
    """Measure and print."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        project.write(folder, REVISIONS)
        metadata = _metadata(folder)
        with project.session(folder) as session:
            session.prepare()
            server = session.server()
            tables, clones = Tables(server.dsn, metadata), Clones(server.dsn, metadata)
            times = timing.in_turns(
                {
                    _TABLES: tables.create_and_drop,
                    _CLONE: clones.take_and_drop,
                    _OURS: lambda: lease(session),
                },
                ROUNDS,
            )
    timing.show(f"a database of {len(metadata.tables)} tables, {server}", times, _TABLES)
    for peer in (_TABLES, _CLONE):
        timing.judge(f"{_OURS} against {peer}", timing.ratio(times[_OURS], times[peer]), MOST)


def _metadata(folder: Path) -> MetaData:
    spec = importlib.util.spec_from_file_location("models", folder / "models.py")
    assert spec is not None
    assert spec.loader is not None
    models: Any = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(models)
    found: MetaData = models.metadata
    return found


if __name__ == "__main__":
    main()
