"""Docker as a kind of server: a container for each run, or one that a project keeps."""

from __future__ import annotations

from dataclasses import replace

from pytest_dbmigrate.addresses.dsn import Dsn
from pytest_dbmigrate.runs.run import Run
from pytest_dbmigrate.servers.address import Address
from pytest_dbmigrate.servers.docker import compose, engine, image
from pytest_dbmigrate.servers.docker.compose import Service
from pytest_dbmigrate.servers.docker.container import Project
from pytest_dbmigrate.servers.docker.engine import ANSWER_SECONDS, Engine
from pytest_dbmigrate.servers.kept.record import Kept, Record
from pytest_dbmigrate.servers.kind import ServerKind
from pytest_dbmigrate.servers.server import Server
from pytest_dbmigrate.settings.values import Settings

_REQUESTED_SECONDS = 10.0  # for an engine that was asked for
_FILE = "compose.json"


class Docker(ServerKind):
    """A container of our own service, or of the service in the project's compose file.

    The engine chooses the port, so the address is known only once the container runs.
    """

    name = "docker"
    noun = "container"
    is_automatic = True

    def __init__(self, settings: Settings, reason: str = "") -> None:
        super().__init__(settings, reason)
        self._found: tuple[Engine, Service] | None = None

    def is_required(self) -> bool:
        """Whether the project has named a compose file: no other kind reads it."""
        return bool(self.settings.compose_file)

    def require(self) -> None:
        """Find an engine and the image. Raises `ServerError`."""
        self._found = self._find(_REQUESTED_SECONDS)

    def probe(self) -> None:
        """Find an engine that answers within a second, and the image. Raises `ServerError`."""
        self._found = self._find(ANSWER_SECONDS)

    def start(self, run: Run, address: Address | None) -> Server:
        """Return the container's server; the guardian removes the container."""
        del address  # only its engine can tell
        project = Project(run.folder / _FILE, run.id)
        with run.start_guardian(project.work()):
            return self._start(project)

    def keep(self, kept: Kept, before: Record | None = None) -> Server:
        """Return the server of a new container that stays."""
        del before  # a container has another port each time
        project = Project(kept.folder / _FILE, kept.key, is_kept=True)
        record = self.record(Dsn("", 0, "", "", ""))
        record = replace(record, down=tuple(project.work().commands[0]))
        with self.recorded(kept, record):
            server = self._start(project)
        kept.write(record.ready(server.dsn))
        return server

    def _start(self, project: Project) -> Server:
        found, service = self._found or self._find(_REQUESTED_SECONDS)
        return project.start(service, found, self.settings.timeout, self.reason)

    def _find(self, seconds: float) -> tuple[Engine, Service]:
        found = engine.find(seconds)
        if self.settings.compose_file:
            service = compose.from_project(
                self.settings.compose_file, self.settings.compose_service
            )
        else:
            service = compose.own(self.settings.image)
        if service.image:
            image.ensure(service.image)
        return found, service
