"""What the runs on real projects need: a server for both sides, and a table of what they took."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from pytest_dbmigrate.addresses.dsn import Dsn

ROOT = Path(__file__).resolve().parents[2]
_TABLE = ROOT / "build/real.txt"
_ROWS = pytest.StashKey[list[str]]()
_TITLE = f"{'project':<21} {'revisions':>9} {'differences':>11} {'Alembic':>9} {'ours':>9} ratio"

collect_ignore = [str(it.parent) for it in Path(__file__).parent.glob("*/pytest.ini")]


@pytest.fixture(scope="session")
def server(temporary_files: Path) -> Iterator[Dsn]:
    """An embedded server that is up for all of the projects."""
    from pytest_dbmigrate.runs.run import Run
    from pytest_dbmigrate.servers import startup
    from pytest_dbmigrate.settings.resolution import resolve

    run = Run.start(str(Path.cwd()))
    given = {"server": "embedded", "pg_bin": os.environ.get("DBMIGRATE_PG_BIN")}
    try:
        yield startup.server(resolve(Path.cwd(), given, {}, {}), run).dsn
    finally:
        run.finish()


@pytest.fixture(scope="session")
def rows(pytestconfig: pytest.Config) -> list[str]:
    """The rows of the table at the end, to be added to."""
    return pytestconfig.stash.setdefault(_ROWS, [])


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    """Show what each project took, and write it down."""
    rows = config.stash.get(_ROWS, [])
    if rows:
        terminalreporter.write_sep("=", "real projects: seconds of Alembic alone, and ours")
        terminalreporter.write_line("\n".join([_TITLE, *rows]))
        _TABLE.parent.mkdir(exist_ok=True)
        _TABLE.write_text("\n".join([_TITLE, *rows, ""]), encoding="utf-8")
