"""Jobs of the migration child in this process: a project whose migrations run without a child."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import psycopg
import pytest

from pytest_dbmigrate.addresses.dsn import Dsn
from pytest_dbmigrate.child.job import JobRunner
from pytest_dbmigrate.errors import DbmigrateError
from pytest_dbmigrate.migrations import environments, events
from pytest_dbmigrate.migrations.messages import AlembicOptions, Job, ProgressMessage, Result
from tests.plugin.projects import AlembicProject

_TABLES = """
select tablename from pg_tables
where schemaname = 'public' and tablename <> 'alembic_version' order by 1
"""


class JobProject(AlembicProject):
    """A project, the database that its jobs migrate, and what they tell meanwhile."""

    def __init__(self, path: Path, dsn: Dsn, history: Dsn) -> None:
        super().__init__(path)
        self.dsn = dsn
        self.history = history
        self.told: list[ProgressMessage] = []

    def run(
        self,
        *,
        before: tuple[str, ...] = (),
        within: str = "",
        target: tuple[str, ...] = ("head",),
        options: AlembicOptions | None = None,
        environ: Mapping[str, str] | None = None,
    ) -> Result:
        """Do what the child does with a job; raises what it would report as its failure."""
        os.environ.update(environ or {})
        (environment,) = environments.find((), (self.path,))
        job = Job(
            environment=environment,
            name="",
            dsn=self.dsn,
            history=self.history,
            run="0a1b2c3d",
            build="00000001",
            target=target,
            options=replace(options or AlembicOptions(), root=str(self.path)),
            check=True,
            before=before,
            helpers=before,
            within=within,
        )
        return JobRunner(job, self.told.append).upgrade()

    def migrated(self, **job: Any) -> list[str]:
        """Return the tables that a job, as for `run`, has made."""
        self.run(**job)
        with psycopg.connect(self.dsn.conninfo()) as connection:
            return [name for (name,) in connection.execute(_TABLES)]

    def explained(self, **job: Any) -> list[str]:
        """Return the lines of the error that a job, as for `run`, ends with."""
        with pytest.raises(DbmigrateError) as raised:
            self.run(**job)
        return raised.value.lines()


@pytest.fixture
def job_project(
    tmp_path: Path, new_database: Callable[[], Dsn], monkeypatch: pytest.MonkeyPatch
) -> Iterator[JobProject]:
    """A project without revisions; the working folder is its folder.

    Its modules, its folders in the path and its variables are forgotten after the test.
    """
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    history = new_database()
    with psycopg.connect(history.conninfo(), autocommit=True) as connection:
        connection.execute(events.TABLE.encode())
    environ, modules = dict(os.environ), set(sys.modules)
    yield JobProject(tmp_path, new_database(), history)
    os.environ.clear()
    os.environ.update(environ)
    for name in set(sys.modules) - modules:
        if str(getattr(sys.modules[name], "__file__", None)).startswith(str(tmp_path)):
            del sys.modules[name]
