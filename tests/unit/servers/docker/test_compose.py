"""The compose file of a run: one Postgres service, and nothing that outlives the run."""

from __future__ import annotations

import json
from typing import Any

from pytest_dbmigrate.addresses.dsn import Dsn, Secret
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
