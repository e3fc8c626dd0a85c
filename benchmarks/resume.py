"""A resumed run with nothing new, on 300 revisions, against pytest on an empty test."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks import project, timing

REVISIONS = 300
ROUNDS = 25
MOST = 0.5  # seconds
_EMPTY, _RESUMED = "pytest, an empty test", "--db-resume, an empty database test"
_INI = "[pytest]\ndbmigrate_env = DATABASE_URL\ndbmigrate_server = embedded\n"


def main() -> None:
    """Measure and print."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        project.write(folder, REVISIONS)
        (folder / "pytest.ini").write_text(_INI)
        (folder / "test_empty.py").write_text("def test_it(): pass\n")
        (folder / "test_database.py").write_text("def test_it(migrated_db): pass\n")
        first = _said(folder, "test_database.py", "dbmigrate", "--db-resume")
        assert f"fresh: {REVISIONS} revisions" in first, first
        try:
            times = timing.in_turns(
                {
                    _EMPTY: lambda: _run(folder, "test_empty.py", "no:dbmigrate"),
                    _RESUMED: lambda: _run(folder, "test_database.py", "dbmigrate", "--db-resume"),
                },
                ROUNDS,
            )
            last = _said(folder, "test_database.py", "dbmigrate", "--db-resume")
            assert f"unchanged: {REVISIONS} revisions" in last, last
        finally:
            _said(folder, "test_database.py", "dbmigrate", "--db-stop")
    timing.show(f"{REVISIONS} revisions, embedded server", times, _EMPTY)
    more = timing.difference(times[_RESUMED], times[_EMPTY])
    timing.judge("a resumed run with nothing new, more than pytest alone", more, MOST, " s")


def _run(folder: Path, *arguments: str) -> float:
    """Return the seconds of a whole pytest process; other plugins would only add noise."""
    return timing.timed(lambda: _said(folder, *arguments))


def _said(folder: Path, module: str, plugin: str, *options: str) -> str:
    command = [sys.executable, "-m", "pytest", "-p", plugin, *options, module]
    cache = str(folder / "cache")
    environ = timing.environ(PYTEST_DISABLE_PLUGIN_AUTOLOAD="1", XDG_CACHE_HOME=cache)
    done = subprocess.run(
        command, cwd=folder, env=environ, check=True, capture_output=True, text=True
    )
    return done.stdout


if __name__ == "__main__":
    main()
