"""Migration children that are started ahead of their jobs.

A child imports Alembic and SQLAlchemy first, which takes about as long as a server needs to
start: so both happen at once.
"""

from __future__ import annotations

from collections.abc import Sequence

from pytest_dbmigrate.migrations.environments import Environment
from pytest_dbmigrate.migrations.process import ChildProcess


class EarlyChildren:
    """A migration child for each environment, which may have been started ahead of its job."""

    def __init__(self, environments: Sequence[Environment]) -> None:
        self._environments = environments
        self._children: dict[Environment, ChildProcess] = {}

    def start(self) -> None:
        """Start a child for each environment now."""
        self._children = {it: ChildProcess(it.folder) for it in self._environments}

    def take(self, environment: Environment) -> ChildProcess:
        """Return an environment's child, started now if need be; the caller closes it."""
        return self._children.pop(environment, None) or ChildProcess(environment.folder)

    def close(self) -> None:
        """End the children that were not needed."""
        for child in self._children.values():
            child.close()
