"""Build context: what the steps of a build have in common."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

from pytest_dbmigrate.databases.control import Control
from pytest_dbmigrate.migrations.environments import Environment
from pytest_dbmigrate.migrations.process import ChildProcess
from pytest_dbmigrate.runs.run import Run
from pytest_dbmigrate.servers.kept.record import Kept
from pytest_dbmigrate.servers.server import Server
from pytest_dbmigrate.settings.values import Settings
from pytest_dbmigrate.template import inputs


@dataclass(frozen=True)
class BuildContext:
    """The settings, run, server, control database and environments of a build.

    `start_child` returns an environment's migration child, which the caller closes.
    """

    settings: Settings
    run: Run
    server: Server
    control: Control
    environments: tuple[Environment, ...]
    start_child: Callable[[Environment], ChildProcess]

    @property
    def is_kept(self) -> bool:
        """Whether the control database is the project's, and stays when the run ends."""
        return self.control.home != self.run.id

    @property
    def is_own_server(self) -> bool:
        """Whether the plugin has started the server, and nobody else has databases there."""
        return self.server.kind != "url"

    @cached_property
    def shape(self) -> dict[str, str]:
        """What shapes the schema besides the project's files."""
        return inputs.shape(self.settings, self.server.release, self.environments)

    def other_runs(self) -> list[str]:
        """Return the ids of the other runs that use the project's kept server now."""
        return [*Kept.of(self.settings.root).users(besides=self.run.id)]

    def is_alone(self) -> bool:
        """Whether nobody else can be working on the server."""
        return self.is_own_server and not (self.is_kept and self.other_runs())
