"""Runs of a project that resume, in folders of their own."""

from __future__ import annotations

import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.plugin.projects import Project

HOW = re.compile(r"^dbmigrate: ((?:fresh|resumed|rebuilt|unchanged).*)$", re.MULTILINE)
SECONDS = re.compile(r" in \d+\.\d\d s")
TEST = """
def test_it(migrated_db):
    with migrated_db.connect() as connection:
        tables = connection.execute(
            "select relname from pg_class where relkind = 'r' and relnamespace = "
            "'public'::regnamespace and relname <> 'alembic_version' order by 1"
        ).fetchall()
    print("tables:", *(name for (name,) in tables))
"""


@contextmanager
def cached(folder: Path) -> Iterator[Path]:
    """Yield a cache for what is kept, and set it for the inner runs."""
    cache = Path(tempfile.mkdtemp(dir=folder))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(cache))
        yield cache
    shutil.rmtree(cache)


class Resumer:
    """A project, its kept server, and what its runs say."""

    def __init__(self, project: Project, cache: Path, server: str = "embedded") -> None:
        self.project = project
        self.cache = cache
        self.server = server
        project.tests(TEST)

    def run(self, *arguments: str, resume: bool = True) -> pytest.RunResult:
        """Run the tests."""
        option = ["--db-resume"] if resume else []
        return self.project.run(*option, "-rP", *arguments, server=self.server)

    def how(self, *arguments: str) -> str:
        """Return how a green run came to its template, without the seconds and the check."""
        result = self.run(*arguments)
        assert result.ret == 0, result.stdout.str()
        return how(result)

    def stop(self) -> str:
        """End what is kept; return what is said of it."""
        result = self.project.run("--db-stop", server=self.server)
        assert result.ret == 0, result.stdout.str()
        return result.stdout.str().strip()


def how(result: pytest.RunResult) -> str:
    """Return how a run came to its template, without the seconds and the check."""
    found = HOW.findall(result.stdout.str())
    assert found, result.stdout.str() + result.stderr.str()
    return SECONDS.sub("", str(found[0])).rpartition("; ")[0]


def tables(result: pytest.RunResult) -> list[str]:
    """Return the tables that the test has found."""
    found = re.findall(r"^tables: ?(.*)$", result.stdout.str(), re.MULTILINE)
    return str(found[0]).split()
