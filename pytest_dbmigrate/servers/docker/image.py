"""Docker image: on the engine, or pulled."""

from __future__ import annotations

import subprocess

from pytest_dbmigrate.errors import ServerError
from pytest_dbmigrate.servers import commands

_PULL_SECONDS = 300.0


def ensure(image: str) -> None:
    """Make sure that the engine has the image; raises `ServerError` if it cannot be pulled."""
    if commands.run(["docker", "image", "inspect", image], 30).returncode == 0:
        return
    try:
        pulled = commands.run(["docker", "pull", "--quiet", image], _PULL_SECONDS)
    except subprocess.TimeoutExpired:
        output = [f"no end after {_PULL_SECONDS:g} s"]
    else:
        if pulled.returncode == 0:
            return
        output = pulled.stderr.strip().splitlines()[-1:]
    raise ServerError(
        f"the Docker engine does not have image {image}, and cannot pull it",
        tried=(f"docker pull {image}", *output),
        todo=("name another one with --db-image, or use --db-server=embedded",),
    )
