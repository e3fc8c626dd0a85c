"""Role of a process in its run: begun by the user, or ordered by another process of the run.

The orders come in environment variables, which are taken out before anything else can see them:
a test that starts pytest must not have it join this run.
"""

from __future__ import annotations

import json
from collections.abc import MutableMapping
from dataclasses import asdict, dataclass

RUN_VARIABLE = "DBMIGRATE_RUN"  # the folder of the run to join
COVERAGE_VARIABLE = "DBMIGRATE_RUN_COVERAGE"  # how a process of the run measures itself
FOREGROUND_VARIABLE = "DBMIGRATE_RUN_FOREGROUND"  # how its run in the foreground goes, in JSON
SUITE_VARIABLE = "DBMIGRATE_RUN_SUITE"  # the one suite of this process
_XDIST_VARIABLE = "PYTEST_XDIST_WORKER"


@dataclass(frozen=True)
class ForegroundOrder:
    """What one suite's own run in the foreground is to do; JSON only in its variable.

    `index` is the suite's place in the order of the suites, `folder` the one for its report.
    `maxfail` is how many failures are left to it, 0 for any number. `begun_with` are the tests
    that had failed before the first suite began, empty as long as no suite has found any.
    """

    folder: str
    index: int
    is_last: bool
    maxfail: int = 0
    begun_with: tuple[str, ...] = ()

    @classmethod
    def from_text(cls, text: str) -> ForegroundOrder | None:
        """Return the order in the variable's text, None if it is empty."""
        if not text:
            return None
        record = json.loads(text)
        return cls(**{**record, "begun_with": tuple(record["begun_with"])})

    def as_text(self) -> str:
        """Return the text of the variable."""
        return json.dumps(asdict(self))


@dataclass(frozen=True)
class ProcessRole:
    """The role of a process in its run.

    A process that is nothing of the rest is a plain run, or xdist's controller. `name` tells it
    from the run's other processes, and `run_folder` is of the run that it joins, None if it is
    to begin one. `foreground` is what a suite's own run in the foreground was ordered.
    """

    name: str = "main"
    run_folder: str | None = None
    suite: str = ""
    coverage: str = ""
    foreground: ForegroundOrder | None = None

    @classmethod
    def from_environ(cls, environ: MutableMapping[str, str]) -> ProcessRole:
        """Return the role of the process with this environment; its variables are removed."""
        worker = environ.get(_XDIST_VARIABLE)
        suite = environ.pop(SUITE_VARIABLE, "")
        coverage = environ.pop(COVERAGE_VARIABLE, "")
        foreground = ForegroundOrder.from_text(environ.pop(FOREGROUND_VARIABLE, ""))
        if worker is None and foreground is None:
            return cls(suite=suite, coverage=coverage)  # a run to join would be a mistake
        run_folder = environ.pop(RUN_VARIABLE, None)
        if foreground is not None:
            return cls(f"fg{foreground.index}", run_folder, suite, coverage, foreground)
        name = "main" if worker is None or run_folder is None else worker
        return cls(name, run_folder, suite, coverage)

    @property
    def is_worker(self) -> bool:
        """Whether this is a worker of xdist."""
        return self.run_folder is not None and self.foreground is None

    @property
    def is_suite_worker(self) -> bool:
        """Whether this is a worker of xdist with a suite of its own."""
        return self.is_worker and bool(self.suite)
