"""Compose files of projects, as Docker Compose itself resolves them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from pytest_dbmigrate.addresses.dsn import Dsn, Secret
from pytest_dbmigrate.errors import ServerError
from pytest_dbmigrate.servers.docker import compose

pytestmark = pytest.mark.docker

RUN = "0a1b2c3d"
DSN = Dsn("127.0.0.1", 0, "ann", Secret("s3cret"), "shop")


def rendered(service: compose.Service) -> dict[str, Any]:
    """Return the run's compose file as Docker Compose understands it."""
    text = compose.render(service, DSN, RUN, "127.0.0.1")
    content: dict[str, Any] = json.loads(text.replace("$$", "$"))
    return content


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


def refusal(file: str, wanted: str) -> list[str]:
    with pytest.raises(ServerError) as refused:
        compose.from_project(file, wanted)
    return str(refused.value).splitlines()


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


def test_a_projects_dollar_sign_arrives_as_it_was_meant(tmp_path: Path) -> None:
    found = compose.from_project(written(tmp_path, ONE), "db")
    environment = rendered(found)["services"]["db"]["environment"]
    assert environment["POSTGRES_INITDB_ARGS"] == "--icu-rules=$"


def test_the_named_service_is_taken_of_several(tmp_path: Path) -> None:
    found = compose.from_project(written(tmp_path, TWO), "db")
    assert (found.name, found.user, found.dbname) == ("db", "postgres", "shop")
    assert list(rendered(found)["services"]) == ["db"]


def test_a_service_that_is_built_has_no_image_to_pull(tmp_path: Path) -> None:
    text = "services: {db: {image: shop-db, build: .}}"
    assert compose.from_project(written(tmp_path, text), "").image == ""


def test_several_services_without_a_name_are_refused_with_their_names(tmp_path: Path) -> None:
    file = written(tmp_path, TWO)
    assert refusal(file, "") == [
        f"{file} has several services",
        "  tried: its services are db, web",
        "  to do: set dbmigrate_compose_service to the one that is Postgres",
    ]


def test_a_service_that_does_not_exist_is_refused_with_those_that_do(tmp_path: Path) -> None:
    file = written(tmp_path, ONE)
    assert refusal(file, "postgres") == [
        f"{file} has no service postgres",
        "  tried: its services are db",
        "  to do: set dbmigrate_compose_service to the one that is Postgres",
    ]


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
