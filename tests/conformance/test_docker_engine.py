"""Docker engine and images, on a real engine: whether one answers, and what it has."""

from __future__ import annotations

import shlex
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from pytest_dbmigrate.errors import ServerError
from pytest_dbmigrate.servers.docker import engine, image
from pytest_dbmigrate.servers.docker.engine import Engine
from tests.conformance.kinds import IMAGE

pytestmark = pytest.mark.docker

NO_IMAGE = "registry.invalid/no-such-image:1"
ADVICE = "  to do: start Docker, or use --db-server=embedded or a postgresql:// URL"


@pytest.fixture
def silent_engine(temporary_files: Path) -> Iterator[Path]:
    """The socket of an engine that never says a word."""
    path = Path(tempfile.mkdtemp(dir=temporary_files)) / "engine.sock"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        yield path


@pytest.fixture
def docker_commands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file in which each docker command of the test is written down before it is run."""
    found = shutil.which("docker")
    assert found is not None
    file = tmp_path / "commands"
    folder = tmp_path / "bin"
    folder.mkdir()
    script = folder / "docker"
    words = f'echo "$*" >> {shlex.quote(str(file))}\nexec {shlex.quote(found)} "$@"\n'
    script.write_text(f"#!/bin/sh\n{words}")
    script.chmod(0o755)
    monkeypatch.setenv("PATH", str(folder), prepend=":")
    return file


def refusal() -> list[str]:
    with pytest.raises(ServerError) as refused:
        engine.find(0.5)
    return str(refused.value).splitlines()


def test_an_engine_that_does_not_answer_in_time_is_named(
    silent_engine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKER_HOST", f"unix://{silent_engine}")
    assert refusal() == [
        "no Docker engine answered within 0.5 s",
        f"  tried: docker version, at unix://{silent_engine}",
        ADVICE,
    ]


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


def test_the_engine_of_this_machine_answers_with_its_version() -> None:
    said = subprocess.run(
        ["docker", "version", "--format", "{{.Server.Version}}"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert engine.find(10) == Engine("127.0.0.1", said.stdout.strip())


def test_an_image_that_the_engine_has_is_not_pulled(docker_commands: Path) -> None:
    image.ensure(IMAGE)
    assert docker_commands.read_text().splitlines() == [f"image inspect {IMAGE}"]


def test_an_image_that_cannot_be_pulled_is_named() -> None:
    with pytest.raises(ServerError) as refused:
        image.ensure(NO_IMAGE)
    first, tried, _, todo = str(refused.value).splitlines()
    assert (first, tried, todo) == (
        f"the Docker engine does not have image {NO_IMAGE}, and cannot pull it",
        f"  tried: docker pull {NO_IMAGE}",
        "  to do: name another one with --db-image, or use --db-server=embedded",
    )
