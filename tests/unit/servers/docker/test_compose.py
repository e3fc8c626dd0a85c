"""The compose file of a run: one Postgres service, and nothing that outlives the run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from pytest_dbmigrate.addresses.dsn import Dsn, Secret
from pytest_dbmigrate.errors import ServerError
from pytest_dbmigrate.servers.docker import compose
from pytest_dbmigrate.servers.options import THROW_AWAY

RUN = "0a1b2c3d"
DSN = Dsn("127.0.0.1", 0, "ann", Secret("s3cret"), "shop")
DURABILITY = [part for key, value in THROW_AWAY.items() for part in ("-c", f"{key}={value}")]

# What `docker compose config` says of a project whose service has all we must not keep.
GIVEN: dict[str, Any] = {
    "name": "shop",
    "services": {
        "db": {
            "image": "postgis/postgis:17-3.5",
            "command": ["postgres", "-c", "log_statement=all"],
            "container_name": "shop-db",
            "depends_on": {"web": {"condition": "service_started"}},
            "environment": {
                "POSTGRES_USER": "shopkeeper",
                "POSTGRES_PASSWORD_FILE": "/run/secrets/password",
                "POSTGRES_INITDB_ARGS": "--locale=C --icu-rules=$",
            },
            "healthcheck": {"test": ["CMD", "pg_isready"], "interval": "10s"},
            "labels": {"team": "shop"},
            "networks": {"default": None},
            "ports": [{"mode": "ingress", "target": 5432, "published": "5432"}],
            "profiles": ["dev"],
            "restart": "always",
            "secrets": [{"source": "key", "target": "/run/secrets/key"}],
            "shm_size": "1073741824",
            "volumes": [
                {"type": "volume", "source": "data", "target": "/var/lib/postgresql/data"},
                {"type": "volume", "source": "more", "target": "/more"},
                {"type": "bind", "source": "/shop/init", "target": "/docker-entrypoint-initdb.d"},
            ],
        },
        "web": {"image": "nginx"},
    },
    "networks": {"default": {"name": "shop_default"}},
    "secrets": {"key": {"file": "/shop/key"}},
    "volumes": {"data": {"name": "shop_data"}, "more": {"name": "shop_more"}},
}


def rendered(service: compose.Service) -> dict[str, Any]:
    """Return the run's compose file as Docker Compose understands it."""
    text = compose.render(service, DSN, RUN, "127.0.0.1")
    content: dict[str, Any] = json.loads(text.replace("$$", "$"))
    return content


def service_of_project() -> compose.Service:
    return compose.Service("db", "shopkeeper", "shopkeeper", "postgis/postgis:17-3.5", GIVEN)


def test_our_own_service_is_one_throw_away_postgres() -> None:
    assert rendered(compose.own("postgres:18")) == {
        "services": {
            "postgres": {
                "image": "postgres:18",
                "command": ["postgres", *DURABILITY],
                "environment": {
                    "POSTGRES_USER": "ann",
                    "POSTGRES_PASSWORD": "s3cret",
                    "POSTGRES_DB": "shop",
                    "PGDATA": "/dbmigrate/data",
                },
                "ports": ["127.0.0.1::5432"],
                "tmpfs": ["/dbmigrate"],
                "volumes": [],
                "labels": {"org.pytest-dbmigrate.run": RUN},
                "healthcheck": {"disable": True},
                "shm_size": "256mb",
            }
        },
        "volumes": {},
    }


def test_a_projects_service_keeps_all_but_its_data_its_place_and_its_password() -> None:
    assert rendered(service_of_project()) == {
        "services": {
            "db": {
                "image": "postgis/postgis:17-3.5",
                "command": ["postgres", "-c", "log_statement=all", *DURABILITY],
                "environment": {
                    "POSTGRES_INITDB_ARGS": "--locale=C --icu-rules=$",
                    "POSTGRES_USER": "ann",
                    "POSTGRES_PASSWORD": "s3cret",
                    "POSTGRES_DB": "shop",
                    "PGDATA": "/dbmigrate/data",
                },
                "ports": ["127.0.0.1::5432"],
                "secrets": [{"source": "key", "target": "/run/secrets/key"}],
                "tmpfs": ["/dbmigrate"],
                "volumes": [
                    {"type": "volume", "source": "more", "target": "/more"},
                    {
                        "type": "bind",
                        "source": "/shop/init",
                        "target": "/docker-entrypoint-initdb.d",
                    },
                ],
                "labels": {"team": "shop", "org.pytest-dbmigrate.run": RUN},
                "healthcheck": {"disable": True},
                "shm_size": "1073741824",
            }
        },
        "secrets": {"key": {"file": "/shop/key"}},
        "volumes": {"more": {}},
    }


def test_rendering_leaves_the_projects_own_content_as_it_was() -> None:
    before = json.dumps(GIVEN)
    compose.render(service_of_project(), DSN, RUN, "127.0.0.1")
    assert json.dumps(GIVEN) == before


def test_a_dollar_sign_is_written_so_that_compose_does_not_interpolate_it() -> None:
    text = compose.render(service_of_project(), DSN, RUN, "127.0.0.1")
    assert '"--locale=C --icu-rules=$$"' in text


def test_a_remote_engine_publishes_the_port_where_it_can_be_reached() -> None:
    text = compose.render(compose.own("postgres:18"), DSN, RUN, "0.0.0.0")
    assert json.loads(text)["services"]["postgres"]["ports"] == ["0.0.0.0::5432"]


def written(folder: Path, text: str) -> str:
    file = folder / "compose.yaml"
    file.write_text(text)
    return str(file)


ONE = """
services:
  db:
    image: ${SHOP_IMAGE:-postgres:17}
    environment:
      POSTGRES_USER: shopkeeper
      POSTGRES_INITDB_ARGS: --icu-rules=$$
"""
TWO = """
services:
  web: {image: nginx}
  db:
    image: postgres:17
    environment: {POSTGRES_DB: shop}
"""


@pytest.mark.docker
def test_the_only_service_of_a_project_is_its_postgres(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SHOP_IMAGE", "postgres:16")
    found = compose.from_project(written(tmp_path, ONE), "")
    assert (found.name, found.user, found.dbname, found.image) == (
        "db",
        "shopkeeper",
        "shopkeeper",
        "postgres:16",
    )


@pytest.mark.docker
def test_a_projects_dollar_sign_arrives_as_it_was_meant(tmp_path: Path) -> None:
    found = compose.from_project(written(tmp_path, ONE), "db")
    environment = rendered(found)["services"]["db"]["environment"]
    assert environment["POSTGRES_INITDB_ARGS"] == "--icu-rules=$"


@pytest.mark.docker
def test_the_named_service_is_taken_of_several(tmp_path: Path) -> None:
    found = compose.from_project(written(tmp_path, TWO), "db")
    assert (found.name, found.user, found.dbname) == ("db", "postgres", "shop")
    assert list(rendered(found)["services"]) == ["db"]


@pytest.mark.docker
def test_a_service_that_is_built_has_no_image_to_pull(tmp_path: Path) -> None:
    text = "services: {db: {image: shop-db, build: .}}"
    assert compose.from_project(written(tmp_path, text), "").image == ""


def refusal(file: str, wanted: str) -> list[str]:
    with pytest.raises(ServerError) as refused:
        compose.from_project(file, wanted)
    return str(refused.value).splitlines()


@pytest.mark.docker
def test_several_services_without_a_name_are_refused_with_their_names(tmp_path: Path) -> None:
    file = written(tmp_path, TWO)
    assert refusal(file, "") == [
        f"{file} has several services",
        "  tried: its services are db, web",
        "  to do: set dbmigrate_compose_service to the one that is Postgres",
    ]


@pytest.mark.docker
def test_a_service_that_does_not_exist_is_refused_with_those_that_do(tmp_path: Path) -> None:
    file = written(tmp_path, ONE)
    assert refusal(file, "postgres") == [
        f"{file} has no service postgres",
        "  tried: its services are db",
        "  to do: set dbmigrate_compose_service to the one that is Postgres",
    ]


@pytest.mark.docker
def test_a_compose_file_that_cannot_be_read_is_refused_with_what_compose_said(
    tmp_path: Path,
) -> None:
    file = written(tmp_path, "services: [")
    first, *said, todo = refusal(file, "")
    assert (first, todo) == (
        f"Docker Compose cannot read {file}",
        "  to do: mend the file, or unset dbmigrate_compose_file",
    )
    assert said[0].startswith("  tried: ")
