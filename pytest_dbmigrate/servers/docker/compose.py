"""Compose file of a run: our own service, or the project's one made throw-away.

A project's file is taken as Docker Compose itself resolves it, so that its
interpolation, `extends` and `env_file` keep their meaning. Of the result only the one
service remains, with another place for its data, a port that Docker chooses, a password
of ours, and durability off. JSON is YAML, so no YAML library is needed.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from pytest_dbmigrate.addresses.dsn import Dsn
from pytest_dbmigrate.errors import ServerError
from pytest_dbmigrate.servers import commands
from pytest_dbmigrate.servers.options import KEPT, THROW_AWAY, as_arguments

PORT = 5432
_SERVICE = "postgres"
_MEMORY = "/dbmigrate"  # where the data is, in memory
_USUAL_DATA = "/var/lib/postgresql"
_RUN_LABEL, _PROJECT_LABEL = "org.pytest-dbmigrate.run", "org.pytest-dbmigrate.project"


@dataclass(frozen=True)
class Service:
    """One Postgres service, and the file that holds it alone."""

    name: str
    user: str
    dbname: str
    image: str
    content: dict[str, Any]


def own(image: str) -> Service:
    """Return a service that runs an image with the official image's contract."""
    return Service(_SERVICE, "postgres", "postgres", image, {"services": {_SERVICE: {}}})


def from_project(file: str, wanted: str) -> Service:
    """Return the Postgres service of a project's compose file.

    `wanted` may be empty if the file has one service. Raises `ServerError`.
    """
    content = _resolved(file)
    services: dict[str, Any] = content.get("services", {})
    if wanted not in services and (wanted or len(services) != 1):
        raise ServerError(
            f"{file} has no service {wanted}" if wanted else f"{file} has several services",
            tried=(f"its services are {', '.join(services) or 'none'}",),
            todo=("set dbmigrate_compose_service to the one that is Postgres",),
        )
    name = wanted or next(iter(services))
    environment = services[name].get("environment") or {}
    user = environment.get("POSTGRES_USER") or "postgres"
    dbname = environment.get("POSTGRES_DB") or user
    image = "" if services[name].get("build") else services[name].get("image", "")
    return Service(name, user, dbname, image, content)


def render(
    service: Service, dsn: Dsn, owner: str, publish_on: str, *, is_kept: bool = False
) -> str:
    """Return the text of a compose file for a run, or for the kept server of a project."""
    given = dict(service.content["services"][service.name])
    for key in ("container_name", "depends_on", "networks", "profiles", "restart"):
        given.pop(key, None)
    volumes = [
        volume
        for volume in given.pop("volumes", None) or []
        if not str(volume.get("target", "")).startswith(_USUAL_DATA)
    ]
    command = given.get("command") or ["postgres"]
    label = _PROJECT_LABEL if is_kept else _RUN_LABEL
    given.update(
        command=[*command, *as_arguments(KEPT if is_kept else THROW_AWAY)],
        environment={
            **_without_password_file(given.get("environment") or {}),
            "POSTGRES_USER": dsn.user,
            "POSTGRES_PASSWORD": str(dsn.password),
            "POSTGRES_DB": dsn.dbname,
            "PGDATA": f"{_MEMORY}/data",
        },
        ports=[f"{publish_on}::{PORT}"],
        tmpfs=[_MEMORY],
        volumes=volumes,
        labels={**(given.get("labels") or {}), label: owner},
        healthcheck={"disable": True},  # we connect to the server itself, which is sooner
    )
    given.setdefault("shm_size", "256mb")
    if service.image:
        given["image"] = service.image
    kept = {key: service.content[key] for key in ("secrets", "configs") if key in service.content}
    named: dict[str, Any] = {
        volume["source"]: {} for volume in volumes if volume.get("type") == "volume"
    }
    # a dollar sign is interpolated once more when the file is read
    text = json.dumps({"services": {service.name: given}, "volumes": named, **kept}, indent=1)
    return text.replace("$", "$$")


def _resolved(file: str) -> dict[str, Any]:
    done = commands.run(["docker", "compose", "-f", file, "config", "--format", "json"])
    if done.returncode:
        raise ServerError(
            f"Docker Compose cannot read {file}",
            tried=tuple(done.stderr.strip().splitlines()[-5:]),
            todo=("mend the file, or unset dbmigrate_compose_file",),
        )
    # Compose escapes dollar signs, so that its output can be its input
    content: dict[str, Any] = json.loads(done.stdout.replace("$$", "$"))
    return content


def _without_password_file(environment: dict[str, Any]) -> dict[str, Any]:
    return {k: v for k, v in environment.items() if k != "POSTGRES_PASSWORD_FILE"}
