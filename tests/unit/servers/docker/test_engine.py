"""The Docker engine: whether one answers, where it is, and whether it has an image."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_dbmigrate.errors import ServerError
from pytest_dbmigrate.servers.docker import engine
from pytest_dbmigrate.servers.docker.engine import Engine

NO_IMAGE = "registry.invalid/no-such-image:1"
ADVICE = "  to do: start Docker, or use --db-server=embedded or a postgresql:// URL"


def refusal() -> list[str]:
    with pytest.raises(ServerError) as refused:
        engine.find(0.5)
    return str(refused.value).splitlines()


def test_a_machine_without_docker_is_told_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert refusal() == ["there is no docker command", ADVICE]


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
