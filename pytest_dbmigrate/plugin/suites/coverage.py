"""Coverage by `coverage run -m pytest`: measures the processes of suites like the command itself.

pytest-cov does so by itself, and so does coverage if its own support for subprocesses is on.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest

_LOWEST = (7, 10, 4)
_ITS_OWN = ("COVERAGE_PROCESS_START", "COVERAGE_PROCESS_CONFIG")


class Measuring:
    """The measurement of the command, to which those of its processes are added at the end."""

    def __init__(self, coverage: Any) -> None:
        self._coverage = coverage
        self._folder: Path | None = None  # until another process needs it

    @classmethod
    def begun(cls, config: pytest.Config) -> Measuring | None:
        """Return it if this process is being measured from outside, else None."""
        if "coverage" not in sys.modules or any(name in os.environ for name in _ITS_OWN):
            return None
        if getattr(config.known_args_namespace, "cov_source", None):
            return None
        coverage = sys.modules["coverage"].Coverage.current()
        if coverage is None:
            return None
        # older versions cannot hand their configuration over as text, or cannot read it so
        known = sys.modules["coverage"].version_info >= _LOWEST
        if not known or not hasattr(coverage.config, "serialize"):
            raise pytest.UsageError(
                "dbmigrate: this version of coverage cannot measure suites in processes of their "
                "own: install coverage 7.10.4 or newer, or pytest-cov, or say --db-suites=off"
            )
        return cls(coverage)

    def order(self) -> str:
        """Return what another process needs to measure itself in the same way, as text."""
        if self._folder is None:
            self._folder = Path(tempfile.mkdtemp(prefix="dbm-coverage-"))
        return json.dumps(
            {"folder": str(self._folder), "config": self._coverage.config.serialize()}
        )

    def add_up(self) -> None:
        """Add what the other processes have measured to what this one has."""
        if self._folder is None:
            return
        from coverage import CoverageData

        for file in sorted(self._folder.iterdir()):
            data = CoverageData(str(file))
            data.read()
            self._coverage.get_data().update(data)
        shutil.rmtree(self._folder, ignore_errors=True)


def begin(config: pytest.Config, order: str) -> None:
    """Measure this process from now on, as it was ordered, until pytest ends."""
    from coverage import Coverage

    ordered = json.loads(order)
    # as serialized: options of the command and its configuration file together
    coverage = Coverage(config_file=f":data:{ordered['config']}", messages=False)
    coverage.config.data_file = str(Path(ordered["folder"]) / f"data-{os.getpid()}")
    coverage.config.parallel = False
    for name in ("no_data", "unimported_source", "preimported_source"):
        setattr(coverage, f"_warn_{name}", False)
    coverage.start()

    def end() -> None:
        coverage.stop()
        coverage.save()

    config.add_cleanup(end)
