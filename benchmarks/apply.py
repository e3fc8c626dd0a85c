"""200 revisions: our apply against `alembic upgrade head`, on one server."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import psycopg
from psycopg import sql

from benchmarks import project, timing
from pytest_dbmigrate.addresses.dsn import Dsn
from pytest_dbmigrate.databases import control_tables, names
from pytest_dbmigrate.migrations import environments, events
from pytest_dbmigrate.migrations.messages import AlembicOptions, Job, Result
from pytest_dbmigrate.migrations.process import ChildProcess
from pytest_dbmigrate.session import Session

REVISIONS = 200
ROUNDS = 15
MOST = 1.15
_DATABASE = "benchmark"
_PEER, _OURS, _CHECKED = "alembic upgrade head", "apply", "apply and check"


@dataclass
class Bench:
    """One project on one server; each of its methods migrates a new, empty database."""

    folder: Path
    session: Session
    server: Dsn

    @property
    def dsn(self) -> Dsn:
        """The database to migrate."""
        return self.server.at(_DATABASE)

    @property
    def url(self) -> str:
        """What env.py reads from its environment."""
        return self.dsn.url("psycopg")

    def alembic(self) -> float:
        """Return the seconds of Alembic's own command."""
        self._renew()
        command = [sys.executable, "-m", "alembic", "upgrade", "head"]
        environ = timing.environ(DATABASE_URL=self.url)
        return timing.timed(
            lambda: subprocess.run(
                command, cwd=self.folder, env=environ, check=True, capture_output=True
            )
        )

    def apply(self, *, check: bool) -> float:
        """Return the seconds of our apply: the start of the child, its events, its end."""
        self._renew()
        (found,) = environments.find((), (self.folder,))
        job = Job(
            environment=found,
            name="",
            dsn=self.dsn,
            history=self.server.at(names.control(self.session.run.id)),
            run=self.session.run.id,
            build=self.session.run.id,
            target=("head",),
            options=AlembicOptions(root=str(self.folder)),
            check=check,
            environ={"DATABASE_URL": self.url},
        )

        def work() -> None:
            with contextlib.closing(ChildProcess(found.folder)) as child:
                self._expect(child.migrate(job, lambda _: None, lambda: None), check=check)

        return timing.timed(work)

    def _expect(self, result: Result, *, check: bool) -> None:
        assert result.heads == (f"{REVISIONS - 1:04}",), result
        assert result.comparison.differences == [], result
        assert (result.comparison.seconds is not None) == check, result

    def _renew(self) -> None:
        name = sql.Identifier(_DATABASE)
        with psycopg.connect(self.server.conninfo(), autocommit=True) as connection:
            connection.execute(sql.SQL("drop database if exists {} with (force)").format(name))
            connection.execute(sql.SQL("create database {} template template0").format(name))


def main() -> None:
    """Measure and print."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        project.write(folder, REVISIONS)
        with project.session(folder) as session:
            server = session.server()
            control_tables.create(server.dsn, session.run.id, events.TABLE)
            bench = Bench(folder, session, server.dsn)
            times = timing.in_turns(
                {
                    _PEER: bench.alembic,
                    _OURS: lambda: bench.apply(check=False),
                    _CHECKED: lambda: bench.apply(check=True),
                },
                ROUNDS,
            )
    timing.show(f"{REVISIONS} revisions, {server}", times, _PEER)
    timing.judge(
        "apply against alembic upgrade head", timing.ratio(times[_OURS], times[_PEER]), MOST
    )


if __name__ == "__main__":
    main()
