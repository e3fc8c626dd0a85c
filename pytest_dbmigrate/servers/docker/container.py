"""Container with Postgres: started through pytest-docker's compose machinery, and looked at."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from pytest_dbmigrate import clock
from pytest_dbmigrate.addresses.dsn import Dsn, Secret
from pytest_dbmigrate.errors import ServerError
from pytest_dbmigrate.runs import guardian
from pytest_dbmigrate.runs.files import write_private
from pytest_dbmigrate.servers import commands
from pytest_dbmigrate.servers.docker import compose
from pytest_dbmigrate.servers.docker.engine import Engine
from pytest_dbmigrate.servers.readiness import wait_until_ready
from pytest_dbmigrate.servers.server import Server

_LOG_LINES = 20
_CHECK_SECONDS = 1.0  # between two checks whether the container still runs


@dataclass(frozen=True)
class Project:
    """A compose project: its file, which `start` writes, and the id of its owner.

    That is a run, or the project that keeps the server. The id is in the name, so that no two
    owners share containers.
    """

    file: Path
    owner: str
    is_kept: bool = False

    @property
    def name(self) -> str:
        """Compose's name of the project."""
        return f"dbmigrate-{self.owner}"

    def command(self, *arguments: str) -> list[str]:
        """Return a command of Docker Compose for this project."""
        return ["docker", "compose", "-f", str(self.file), "-p", self.name, *arguments]

    def work(self) -> guardian.Work:
        """Return what the guardian has to remove at the end."""
        return guardian.Work(commands=[self.command("down", "--volumes", "--timeout", "0")])

    def start(
        self, service: compose.Service, engine: Engine, seconds: float, reason: str
    ) -> Server:
        """Return the container's server once it answers.

        Raises `ServerError` with what compose said, or the tail of the container's log.
        """
        dsn = Dsn(engine.host, 0, service.user, Secret(secrets.token_hex(16)), service.dbname)
        write_private(
            self.file,
            compose.render(service, dsn, self.owner, engine.publish_on, is_kept=self.is_kept),
        )
        server = Server("docker", replace(dsn, port=self._up(service)), reason=reason)
        return wait_until_ready(server, seconds, self._liveness(), self.log)

    def log(self) -> str:
        """Return the last lines of the container's log."""
        tail = ("--no-color", "--no-log-prefix", "--tail", str(_LOG_LINES))
        return commands.run(self.command("logs", *tail)).stdout

    def _up(self, service: compose.Service) -> int:
        """Start the container and return its port on the engine's machine."""
        from pytest_docker.plugin import get_docker_services

        services = get_docker_services(
            "docker compose",
            str(self.file),
            self.name,
            docker_setup=[f"up --detach {service.name}"],
            docker_cleanup=[],  # the guardian's, however the run ends
        )
        try:
            with services as running:
                return int(running.port_for(service.name, compose.PORT))
        except Exception as error:  # noqa: BLE001  # pytest-docker raises nothing more precise
            image = f"image {service.image or 'built by the compose file'}"
            raise ServerError(
                "Docker Compose could not start the server",
                tried=(image, *_last_lines(error)),
                todo=("see what it said; --db-image names another image",),
                log=self.log(),
            ) from None

    def _liveness(self) -> Callable[[], bool]:
        """Return a function that checks, at most once a second, whether the container runs."""
        next_check = clock.now() + _CHECK_SECONDS
        running = True

        def ask() -> bool:
            nonlocal next_check, running
            if clock.now() > next_check:
                done = commands.run(self.command("ps", "--quiet", "--status", "running"))
                running = bool(done.stdout.strip())
                next_check = clock.now() + _CHECK_SECONDS
            return running

        return ask


def _last_lines(error: Exception) -> list[str]:
    return [line.strip() for line in str(error).replace('"""', "\n").splitlines() if line.strip()][
        -5:
    ]
