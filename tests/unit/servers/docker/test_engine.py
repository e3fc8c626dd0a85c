"""The Docker engine: whether one answers, where it is, and whether it has an image."""

from __future__ import annotations

import os
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from pytest_dbmigrate.errors import ServerError
from pytest_dbmigrate.servers.docker import engine, image
from pytest_dbmigrate.servers.docker.engine import Engine
from pytest_dbmigrate.settings.specs import DEFAULT_IMAGE

NO_IMAGE = "registry.invalid/no-such-image:1"
ADVICE = "  to do: start Docker, or use --db-server=embedded or a postgresql:// URL"


@pytest.fixture
def silent_engine(runs_folder: Path) -> Iterator[Path]:
    """The socket of an engine that never says a word."""
    path = runs_folder.parent / "engine.sock"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        yield path


def refusal() -> list[str]:
    with pytest.raises(ServerError) as refused:
        engine.find(0.5)
    return str(refused.value).splitlines()


def test_a_machine_without_docker_is_told_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert refusal() == ["there is no docker command", ADVICE]


@pytest.mark.docker
def test_an_engine_that_does_not_answer_in_time_is_named(
    silent_engine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKER_HOST", f"unix://{silent_engine}")
    assert refusal() == [
        "no Docker engine answered within 0.5 s",
        f"  tried: docker version, at unix://{silent_engine}",
        ADVICE,
    ]


@pytest.mark.docker
def test_an_engine_that_is_not_there_is_named_with_what_docker_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/none")
    first, tried, said, todo = refusal()
    assert (first, tried, todo) == (
        "no Docker engine answered",
        f"  tried: docker version, at unix://{tmp_path}/none",
        ADVICE,
    )
    assert "docker daemon" in said


@pytest.mark.docker
def test_the_engine_of_this_machine_answers_with_its_version() -> None:
    said = subprocess.run(
        ["docker", "version", "--format", "{{.Server.Version}}"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert engine.find(10) == Engine("127.0.0.1", said.stdout.strip())


@pytest.mark.docker
def test_an_image_that_the_engine_has_is_not_pulled() -> None:
    image.ensure(os.environ.get("DBMIGRATE_IMAGE", DEFAULT_IMAGE))


@pytest.mark.docker
def test_an_image_that_cannot_be_pulled_is_named() -> None:
    with pytest.raises(ServerError) as refused:
        image.ensure(NO_IMAGE)
    first, tried, _, todo = str(refused.value).splitlines()
    assert (first, tried, todo) == (
        f"the Docker engine does not have image {NO_IMAGE}, and cannot pull it",
        f"  tried: docker pull {NO_IMAGE}",
        "  to do: name another one with --db-image, or use --db-server=embedded",
    )


@pytest.mark.parametrize(
    ("endpoint", "host"),
    [
        ("unix:///var/run/docker.sock", "127.0.0.1"),
        ("npipe:////./pipe/docker_engine", "127.0.0.1"),
        ("", "127.0.0.1"),
        ("tcp://localhost:2375", "127.0.0.1"),
        ("tcp://127.0.0.2:2375", "127.0.0.1"),
        ("tcp://[::1]:2375", "127.0.0.1"),
        ("tcp://docker:2375", "docker"),
        ("tcp://10.1.2.3:2376", "10.1.2.3"),
        ("ssh://ann@build.example.com", "build.example.com"),
    ],
)
def test_an_engines_ports_are_reached_at_its_own_host(endpoint: str, host: str) -> None:
    assert engine._reached_at(endpoint) == host


def test_a_local_engine_publishes_to_this_machine_alone() -> None:
    assert Engine("127.0.0.1", "27").publish_on == "127.0.0.1"


def test_a_remote_engine_publishes_where_it_can_be_reached() -> None:
    assert Engine("10.1.2.3", "27").publish_on == "0.0.0.0"
