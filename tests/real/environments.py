"""A virtual environment for each project, kept between runs, and one copy of the plugin."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

_ROOT = Path(__file__).resolve().parents[2]
_WANTED = ("3.12", "3.11")  # what the requirements hold on
_PIPS = {"PIP_CERT": "SSL_CERT_FILE", "PIP_INDEX_URL": "UV_DEFAULT_INDEX"}  # uv's names for them


def _cache() -> Path:
    own = os.environ.get("DBMIGRATE_REAL_CACHE")
    usual = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(own) if own else Path(usual) / "pytest-dbmigrate-tests/real"


def _environment() -> dict[str, str]:
    given = {ours: os.environ[pips] for pips, ours in _PIPS.items() if pips in os.environ}
    return {**given, **os.environ}


# as they are before the tests have their own place for temporary files
_CACHE, _ENVIRONMENT = _cache(), _environment()


def project(name: str, requirements: Path, left: Callable[[], float]) -> Path:
    """Return the Python of a project's environment, which has all that the plugin needs, too.

    It is made if it is not there; an unfinished one is made anew. `left` tells the seconds
    that it may take.
    """
    python, version = _python()
    needed = requirements.read_bytes() + (_ROOT / "pyproject.toml").read_bytes()
    folder = _CACHE / f"{name}-{version}-{hashlib.sha256(needed).hexdigest()[:16]}"
    ready = folder / "ready"
    with _alone_in(folder):
        if not ready.exists():
            shutil.rmtree(folder, ignore_errors=True)
            _uv(left, "venv", "--python", python, str(folder))
            install = ("pip", "install", "--compile-bytecode", "--python", str(folder))
            _uv(left, *install, "--no-deps", "-r", str(requirements))
            _uv(left, *install, "-c", str(requirements), "-r", str(_ROOT / "pyproject.toml"))
            ready.touch()
    return folder / "bin/python"


def plugin(folder: Path) -> None:
    """Install the plugin of this checkout, and nothing else, into a folder for `PYTHONPATH`."""
    python, _ = _python()
    _uv(lambda: 120, "pip", "install", "--no-deps", "--python", python, "--target", str(folder),
        str(_ROOT))  # fmt: skip


@contextmanager
def _alone_in(folder: Path) -> Iterator[None]:
    """Keep others who want the same environment waiting; a dead process keeps nobody."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with folder.with_name(f"{folder.name}.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _python() -> tuple[str, str]:
    listed = subprocess.run(
        [str(_ROOT / ".ci/pythons")], capture_output=True, text=True, check=True
    ).stdout.splitlines()
    for version in _WANTED:
        for python in listed:
            if python.endswith(f"python{version}"):
                return python, version
    raise LookupError(f"none of Python {', '.join(_WANTED)} is on this machine: {listed}")


def _uv(left: Callable[[], float], *arguments: str) -> None:
    subprocess.run(
        [sys.executable, "-m", "uv", "--quiet", *arguments],
        env=_ENVIRONMENT,
        check=True,
        timeout=left(),
    )
