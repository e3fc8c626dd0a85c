"""What every inner run needs: a clean environment, a project, a server that is up already."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pytest_dbmigrate.runs.run import Run
from pytest_dbmigrate.servers import startup
from pytest_dbmigrate.settings.resolution import resolve
from tests.plugin.forkserver import ForkServer
from tests.plugin.projects import Project
from tests.plugin.suites import Suites

_FOREIGN = (
    "BUILD_NUMBER",  # as `CI`: pytest's last lines are longer with it
    "CI",
    "DBMIGRATE_",
    "PYTEST_ADDOPTS",
    "PYTEST_DISABLE_",
    "PYTEST_PLUGINS",
    "PYTEST_XDIST_",
    "PG",
    "DATABASE_URL",
)
_PG_BIN = os.environ.get("DBMIGRATE_PG_BIN")  # another PostgreSQL than the wheel's
_FORKS = os.environ.get("TESTS_FORK") != "no" and hasattr(os, "fork")


@pytest.fixture(scope="session")
def server_url() -> Iterator[Callable[[], str]]:
    """The URL of a server that is up already; it is started when it is first asked for."""
    run = Run.start(str(Path.cwd()))
    known: list[str] = []

    def url() -> str:
        if not known:
            settings = resolve(Path.cwd(), {"server": "embedded", "pg_bin": _PG_BIN}, {}, {})
            known.append(startup.server(settings, run).dsn.url())
        return known[0]

    yield url
    run.finish()


@pytest.fixture(scope="session")
def fork_server() -> Iterator[ForkServer | None]:
    """The server that inner runs are forks of; none with `TESTS_FORK=no`."""
    if not _FORKS:
        yield None
        return
    server = ForkServer()
    yield server
    server.close()


@pytest.fixture
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """No variable that would change an inner run."""
    for name in os.environ:
        if name.startswith(_FOREIGN):
            monkeypatch.delenv(name)


@pytest.fixture
def project(
    pytester: pytest.Pytester,
    monkeypatch: pytest.MonkeyPatch,
    server_url: Callable[[], str],
    fork_server: ForkServer | None,
    clean_environment: None,
) -> Project:
    """A project whose Alembic environment has no revision yet.

    Its runs load no plugin but those they name.
    """
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    return Project(pytester, server_url, fork_server)


@pytest.fixture
def items_project(project: Project) -> Project:
    """A project with one revision, `0001`, that makes table `item` (id, name)."""
    project.revision("0001")
    return project


@pytest.fixture
def suites(project: Project) -> Suites:
    """A project with nothing in it; what suites it has is the test's to say."""
    return Suites(project)
