"""Small projects with an Alembic environment of their own, written into a pytester folder."""

from __future__ import annotations

import itertools
import os
import shutil
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

from tests.plugin.forkserver import ForkServer

_PROJECTS = Path(__file__).parents[1] / "projects"
PATIENCE = 120.0  # seconds an inner run may take
ITEM_TABLE = 'op.execute("create table item (id integer primary key, name text)")'
ITEM_MODEL = """
item = sa.Table(
    "item",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("name", sa.Text),
)
"""

ALEMBIC_INI = """
[alembic]
script_location = %(here)s/migrations
path_separator = os
# the name of it before Alembic 1.16
version_path_separator = os
prepend_sys_path = .
sqlalchemy.url = driver://user:pass@localhost/dbname
"""

_SYNC_ENV = """
from alembic import context
from sqlalchemy import create_engine, pool
{imports}

engine = create_engine({url}, poolclass=pool.NullPool)
with engine.connect() as connection:
    context.configure(connection=connection, target_metadata={metadata}, {configure})
    with context.begin_transaction():
        context.run_migrations()
"""

_ASYNC_ENV = """
import asyncio

from alembic import context
from sqlalchemy import pool
from sqlalchemy.ext.asyncio import create_async_engine
{imports}


def migrate(connection):
    context.configure(connection=connection, target_metadata={metadata}, {configure})
    with context.begin_transaction():
        context.run_migrations()


async def main():
    engine = create_async_engine({url}, poolclass=pool.NullPool)
    async with engine.connect() as connection:
        await connection.run_sync(migrate)
    await engine.dispose()


asyncio.run(main())
"""

REVISION = '''"""{doc}"""

import sqlalchemy as sa
from alembic import op

revision = {revision!r}
down_revision = {down!r}
branch_labels = None
depends_on = None


def upgrade():
{body}
'''

CONFIGURED_URL = 'context.config.get_main_option("sqlalchemy.url")'
VARIABLE_URL = 'os.environ["DATABASE_URL"]'


def sync_env(
    *, url: str = CONFIGURED_URL, metadata: str = "None", configure: str = "", imports: str = ""
) -> str:
    """Return an env.py; each argument is Python source, put in at its place."""
    return _env(_SYNC_ENV, url, metadata, configure, imports)


def async_env(
    *, url: str = CONFIGURED_URL, metadata: str = "None", configure: str = "", imports: str = ""
) -> str:
    """Return an env.py that connects with an asynchronous engine."""
    return _env(_ASYNC_ENV, url, metadata, configure, imports)


def _env(template: str, url: str, metadata: str, configure: str, imports: str) -> str:
    if "models." in metadata:
        imports += "\nimport models"
    if "os." in url:
        imports += "\nimport os"
    return template.format(url=url, metadata=metadata, configure=configure, imports=imports)


class AlembicProject:
    """A folder with an Alembic environment: `alembic.ini`, `migrations/`, what env.py imports."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._last: str | None = None
        self.write("alembic.ini", ALEMBIC_INI)
        self.env(sync_env())
        (self.path / "migrations" / "versions").mkdir()

    def write(self, name: str, text: str) -> Path:
        """Write a file, its text dedented; its folders are made."""
        path = self.path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text).lstrip("\n"), encoding="utf-8")
        return path

    def env(self, text: str) -> Path:
        """Write `migrations/env.py`."""
        return self.write("migrations/env.py", text)

    def models(self, text: str = ITEM_MODEL, *, configure: str = "") -> None:
        """Write `models.py`, in which `metadata` and `sa` are known, and an env.py with it."""
        head = "import sqlalchemy as sa\n\nmetadata = sa.MetaData()\n"
        self.write("models.py", head + textwrap.dedent(text))
        self.env(sync_env(metadata="models.metadata", configure=configure))

    def revision(
        self,
        revision: str,
        upgrade: str = ITEM_TABLE,
        *,
        after: str | tuple[str, ...] | None = "",
        doc: str = "a revision",
    ) -> Path:
        """Write a revision whose `upgrade()` has this body; return its file.

        It follows the one written before it if `after` does not say otherwise.
        """
        down = self._last if after == "" else after
        self._last = revision
        body = textwrap.indent(textwrap.dedent(upgrade).strip("\n"), "    ")
        text = REVISION.format(doc=doc, revision=revision, down=down, body=body)
        return self.write(f"migrations/versions/{revision}.py", text)


class Project(AlembicProject):
    """A project in a folder of its own: `alembic.ini`, `migrations/`, `pytest.ini`, tests.

    `server_url` tells the URL of a server that is up already: an inner run on it is
    quicker than one that starts a server.
    """

    def __init__(
        self,
        pytester: pytest.Pytester,
        server_url: Callable[[], str],
        fork_server: ForkServer | None = None,
    ) -> None:
        super().__init__(pytester.path)
        self.pytester = pytester
        self._fork_server = fork_server
        self._runs = itertools.count()
        self.server_url = server_url
        self.ini()

    def copy(self, name: str) -> None:
        """Put a project of `tests/projects` in the place of this one.

        Its `pytest.ini` stays if the other has none.
        """
        (self.path / "alembic.ini").unlink()
        shutil.rmtree(self.path / "migrations")
        ignored = shutil.ignore_patterns("__pycache__")
        for folder in ("common", name):
            shutil.copytree(_PROJECTS / folder, self.path, ignore=ignored, dirs_exist_ok=True)

    def run_naive(self, *arguments: str) -> pytest.RunResult:
        """Run a copied project's tests without us, its database made by its `naive.py`."""
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("SERVER_URL", self.server_url())
            return self._run("-p", "naive", *arguments)

    def ini(self, lines: str = "") -> None:
        """Write a `pytest.ini` with these lines."""
        self.write("pytest.ini", "[pytest]\n" + textwrap.dedent(lines).lstrip("\n"))

    def tests(self, text: str, name: str = "test_it.py") -> Path:
        """Write a module of tests."""
        return self.write(name, text)

    def command(
        self, *arguments: str, server: str | None = None, plugins: Iterable[str] = ()
    ) -> list[str]:
        """Return the command of an inner run with our plugin, and of the named ones only.

        `server` is `--db-server`; if it is None the server that is up already, if it is
        empty none is named.
        """
        return [sys.executable, "-m", "pytest", *self._options(arguments, server, plugins)]

    def run(
        self, *arguments: str, server: str | None = None, plugins: Iterable[str] = ()
    ) -> pytest.RunResult:
        """Run the project's tests in a process of their own, as `command` tells."""
        return self._run(*self._options(arguments, server, plugins))

    def popen(
        self, *arguments: str, server: str | None = None, plugins: Iterable[str] = ()
    ) -> subprocess.Popen[bytes]:
        """Start the project's tests; standard output and error are one pipe."""
        process: subprocess.Popen[bytes] = self.pytester.popen(
            self.command(*arguments, server=server, plugins=plugins),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        return process

    def _run(self, *arguments: str) -> pytest.RunResult:
        """Do what `runpytest_subprocess` does, with the fork server where it can."""
        path = os.pathsep.join(filter(None, [str(Path.cwd()), os.environ.get("PYTHONPATH", "")]))
        environment = {**os.environ, "PYTHONPATH": path}
        server = self._fork_server
        if server is None or not server.can_run(environment):
            return self.pytester.runpytest_subprocess(*arguments, timeout=PATIENCE)
        arguments = (f"--basetemp={self.path / f'runpytest-{next(self._runs)}'}", *arguments)
        print("running: pytest", *arguments)
        files = (self.path / "stdout", self.path / "stderr")
        began = time.monotonic()
        ended = server.run(arguments, environment, Path.cwd(), files, PATIENCE)
        took = time.monotonic() - began
        out, err = (file.read_text(encoding="utf-8").splitlines() for file in files)
        print(*out, sep="\n")
        print(*err, sep="\n", file=sys.stderr)
        return pytest.RunResult(ended.status, out, err, took)

    def _options(
        self, arguments: tuple[str, ...], server: str | None, plugins: Iterable[str]
    ) -> list[str]:
        server = self.server_url() if server is None else server
        return [
            *("-p", "dbmigrate"),
            *(part for name in plugins for part in ("-p", name)),
            *([f"--db-server={server}"] if server else []),
            *arguments,
        ]


def output(result: pytest.RunResult) -> str:
    """Return what a run printed."""
    return result.stdout.str()


def block(result: pytest.RunResult, title: str) -> str:
    """Return the lines below the `==== title ====` of a run's output, up to the next title."""
    lines = result.outlines
    start = next(n for n, line in enumerate(lines) if line.strip("= ") == title)
    end = next(n for n in range(start + 1, len(lines)) if lines[n].startswith("===="))
    return "\n".join(lines[start + 1 : end])


def told(result: pytest.RunResult) -> list[str]:
    """Return what the plugin said while the run went on, without its name before each line."""
    begin = "dbmigrate: "
    return [line[len(begin) :] for line in result.outlines if line.startswith(begin)]


def line_of(path: Path, text: str) -> int:
    """Return the number of the first line of a file that has this text in it."""
    lines = path.read_text(encoding="utf-8").splitlines()
    return next(number for number, line in enumerate(lines, 1) if text in line)
