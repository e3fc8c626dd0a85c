"""Two suites in one run, against two runs of plain pytest: what it costs to have one report."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from importlib.metadata import entry_points
from pathlib import Path

from benchmarks import timing

TESTS = 200
ROUNDS = 10
MOST = 1.3  # times
_TWO_RUNS, _ONE_RUN = "two plain runs, a suite each", "one run of both suites"
_SIDE_BY_SIDE = "one run, side by side"
_MODULE = """\
import pytest


@pytest.mark.parametrize("number", range({tests}))
def test_a_unit(number):
    assert number >= 0
"""


def main() -> None:
    """Measure and print."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "pytest.ini").write_text("[pytest]\n")
        for suite in ("unit", "integration"):
            (folder / "tests" / suite).mkdir(parents=True)
            (folder / "tests" / suite / f"test_{suite}.py").write_text(_MODULE.format(tests=TESTS))
        times = timing.in_turns(
            {
                _TWO_RUNS: lambda: (
                    _run(folder, "-p", "no:dbmigrate", "tests/unit")
                    + _run(folder, "-p", "no:dbmigrate", "tests/integration")
                ),
                _ONE_RUN: lambda: _run(folder),
                _SIDE_BY_SIDE: lambda: _run(folder, "--db-suites=concurrent"),
            },
            ROUNDS,
        )
    timing.show(f"two suites of {TESTS} trivial tests", times, _TWO_RUNS)
    ratio = timing.ratio(times[_ONE_RUN], times[_TWO_RUNS])
    timing.judge("one run of two suites, against two plain runs", ratio, MOST, " times")


def _run(folder: Path, *arguments: str) -> float:
    """Return the seconds of a whole command; plugins that neither side needs would add noise."""
    needed = ("dbmigrate", "xdist", "xdist.looponfail")
    others = [it.name for it in entry_points(group="pytest11") if it.name not in needed]
    blocked = [part for name in [*others, "cacheprovider"] for part in ("-p", f"no:{name}")]
    command = [sys.executable, "-m", "pytest", "-q", *blocked, *arguments]
    return timing.timed(
        lambda: subprocess.run(
            command, cwd=folder, env=timing.environ(), check=True, capture_output=True
        )
    )


if __name__ == "__main__":
    main()
