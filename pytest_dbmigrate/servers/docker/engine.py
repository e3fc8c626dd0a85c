"""Docker engine: whether one answers, and where its ports are reached."""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import dataclass
from ipaddress import ip_address
from urllib.parse import urlsplit

from pytest_dbmigrate.errors import ServerError
from pytest_dbmigrate.servers import commands

ANSWER_SECONDS = 1.0


@dataclass(frozen=True)
class Engine:
    """An engine that answered. Its published ports are reached at `host`."""

    host: str
    version: str

    @property
    def publish_on(self) -> str:
        """The address a port is bound to on the engine's machine."""
        return "127.0.0.1" if self.host == "127.0.0.1" else "0.0.0.0"  # noqa: S104  # remote


def find(seconds: float = ANSWER_SECONDS) -> Engine:
    """Return the engine that the docker command talks to.

    `DOCKER_HOST` and Docker's contexts are honoured. Raises `ServerError` if there is no
    command, no engine that answers within `seconds`, or no compose plugin.
    """
    if not shutil.which("docker"):
        raise ServerError("there is no docker command", todo=_advice())
    try:
        result = commands.run(["docker", "version", "--format", "{{.Server.Version}}"], seconds)
    except subprocess.TimeoutExpired:
        raise ServerError(
            f"no Docker engine answered within {seconds:g} s", tried=(_where(),), todo=_advice()
        ) from None
    if result.returncode:
        raise ServerError(
            "no Docker engine answered",
            tried=(_where(), *result.stderr.strip().splitlines()[-1:]),
            todo=_advice(),
        )
    if commands.run(["docker", "compose", "version"], 10).returncode:
        raise ServerError(
            "docker has no compose plugin",
            tried=("docker compose version",),
            todo=("install Docker Compose v2, or use --db-server=embedded",),
        )
    return Engine(_reached_at(_endpoint()), result.stdout.strip())


def _endpoint() -> str:
    configured = os.environ.get("DOCKER_HOST", "").strip()
    if configured:
        return configured
    result = commands.run(
        ["docker", "context", "inspect", "--format", "{{.Endpoints.docker.Host}}"], 10
    )
    return result.stdout.strip()


def _reached_at(endpoint: str) -> str:
    host = urlsplit(endpoint).hostname if endpoint.startswith(("tcp:", "ssh:", "http")) else None
    if host is None or host == "localhost":
        return "127.0.0.1"
    try:
        return "127.0.0.1" if ip_address(host).is_loopback else host
    except ValueError:
        return host


def _where() -> str:
    return f"docker version, at {os.environ.get('DOCKER_HOST') or 'the current context'}"


def _advice() -> tuple[str, ...]:
    return ("start Docker, or use --db-server=embedded or a postgresql:// URL",)
