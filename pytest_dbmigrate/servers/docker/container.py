"""A Postgres in a container, through pytest-docker's compose machinery."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from pytest_dbmigrate import clock
from pytest_dbmigrate.addresses.dsn import Dsn, Secret
from pytest_dbmigrate.errors import ServerError
from pytest_dbmigrate.runs import guardian
from pytest_dbmigrate.runs.files import write_private
from pytest_dbmigrate.servers import commands
from pytest_dbmigrate.servers.docker import compose
from pytest_dbmigrate.servers.docker.engine import Engine
from pytest_dbmigrate.servers.server import Server, wait_until_ready

_LOG_LINES = 20
_LOOK_SECONDS = 1.0  # between two looks whether the container still runs


def project_name(owner: str) -> str:
    """Return the compose project's name: no two runs, or kept servers, share one."""
    return f"dbmigrate-{owner}"


def work(file: Path, owner: str) -> guardian.Work:
    """Return what the guardian has to remove in the end."""
    return guardian.Work(commands=[_command(file, owner, "down", "--volumes", "--timeout", "0")])


def start(
    service: compose.Service,
    engine: Engine,
    file: Path,
    owner: str,
    seconds: float,
    reason: str,
    *,
    is_kept: bool = False,
) -> Server:
    """Return the container's server once it answers. `file` is written.

    `owner` is the id of the run, or of the project that keeps the server.

    Raises `ServerError` with what compose said, or the tail of the container's log.
    """
    from pytest_docker.plugin import get_docker_services

    password = Secret(secrets.token_hex(16))
    dsn = Dsn(engine.host, 0, service.user, password, service.dbname)
    write_private(file, compose.render(service, dsn, owner, engine.publish_on, is_kept=is_kept))
    services = get_docker_services(
        "docker compose",
        str(file),
        project_name(owner),
        docker_setup=[f"up --detach {service.name}"],
        docker_cleanup=[],  # the guardian's, however the run ends
    )
    log = _log_of(file, owner)
    try:
        with services as running:
            port = running.port_for(service.name, compose.PORT)
    except Exception as error:  # noqa: BLE001  # pytest-docker raises nothing more precise
        raise ServerError(
            "Docker Compose could not start the server",
            tried=(f"image {service.image or 'built by the compose file'}", *_last_lines(error)),
            todo=("see what it said; --db-image names another image",),
            log=log(),
        ) from None
    server = Server("docker", replace(dsn, port=port), reason=reason)
    return wait_until_ready(server, seconds, _is_running(file, owner), log)


def _is_running(file: Path, owner: str) -> Callable[[], bool]:
    """Return a question that asks Docker at most once a second."""
    next_look = clock.now() + _LOOK_SECONDS
    running = True

    def ask() -> bool:
        nonlocal next_look, running
        if clock.now() > next_look:
            done = commands.run(_command(file, owner, "ps", "--quiet", "--status", "running"))
            running = bool(done.stdout.strip())
            next_look = clock.now() + _LOOK_SECONDS
        return running

    return ask


def _log_of(file: Path, owner: str) -> Callable[[], str]:
    command = _command(
        file, owner, "logs", "--no-color", "--no-log-prefix", "--tail", str(_LOG_LINES)
    )
    return lambda: commands.run(command).stdout


def _command(file: Path, owner: str, *arguments: str) -> list[str]:
    return ["docker", "compose", "-f", str(file), "-p", project_name(owner), *arguments]


def _last_lines(error: Exception) -> list[str]:
    return [line.strip() for line in str(error).replace('"""', "\n").splitlines() if line.strip()][
        -5:
    ]
