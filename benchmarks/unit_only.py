"""A run of unit tests alone: what it costs that the plugin is there."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from importlib.metadata import entry_points
from pathlib import Path

from benchmarks import timing

TESTS = 100
ROUNDS = 60
MOST = 30.0  # milliseconds
_WITHOUT, _WITH = "-p no:dbmigrate", "-p dbmigrate"
_MODULE = """\
import sys

import pytest


@pytest.mark.parametrize("number", range({tests}))
def test_a_unit(number):
    assert number >= 0
    assert not {{"sqlalchemy", "alembic", "psycopg"}} & set(sys.modules)
"""


def main() -> None:
    """Measure and print."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "pytest.ini").write_text("[pytest]\n")
        (folder / "test_units.py").write_text(_MODULE.format(tests=TESTS))
        times = timing.in_turns(
            {
                _WITHOUT: lambda: _run(folder, "no:dbmigrate"),
                _WITH: lambda: _run(folder, "dbmigrate"),
            },
            ROUNDS,
        )
    timing.show(f"{TESTS} unit tests, no other plugin", times, _WITHOUT)
    more = timing.difference(times[_WITH], times[_WITHOUT]) * 1000
    timing.judge("the plugin's share of a run of unit tests", more, MOST, " ms")


def _run(folder: Path, plugin: str) -> float:
    """Return the seconds of a whole pytest process; other plugins would only add noise.

    Both sides let pytest look for installed plugins, as it does for everybody.
    """
    others = [it.name for it in entry_points(group="pytest11") if it.name != "dbmigrate"]
    blocked = [part for name in [*others, "cacheprovider"] for part in ("-p", f"no:{name}")]
    command = [sys.executable, "-m", "pytest", "-q", *blocked, "-p", plugin]
    return timing.timed(
        lambda: subprocess.run(
            command, cwd=folder, env=timing.environ(), check=True, capture_output=True
        )
    )


if __name__ == "__main__":
    main()
