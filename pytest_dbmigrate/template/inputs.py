"""Inputs of a template besides the project's files: versions and settings.

With other inputs a kept template is of no use.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING

from pytest_dbmigrate.settings.values import Settings
from pytest_dbmigrate.version import __version__

if TYPE_CHECKING:
    from pytest_dbmigrate.migrations.environments import Environment


def shape(settings: Settings, release: str, sources: Iterable[Environment]) -> dict[str, str]:
    """Return each input by its name, as text; `release` is the server's version."""
    return {
        "pytest-dbmigrate": __version__,
        "the server": release,
        "Python": ".".join(str(part) for part in sys.version_info[:2]),
        **{name: _version(name) for name in ("alembic", "sqlalchemy")},
        "dbmigrate_target": _list(" ".join(it) for it in settings.target),
        "dbmigrate_env": _list(f"{it.name}={it.pattern}" for it in settings.env),
        "dbmigrate_env_file": _list(map(str, settings.env_file)),
        "dbmigrate_alembic": _list(str(it) for it in sources),
        "dbmigrate_x": _list(settings.x),
        "dbmigrate_attributes": _list(f"{it.name}={it.value}" for it in settings.attributes),
        "dbmigrate_driver": settings.driver or "not set",
        "dbmigrate_before": _list(settings.before),
        "dbmigrate_within": settings.within or "not set",
    }


def _list(lines: Iterable[str]) -> str:
    return ", ".join(lines) or "not set"


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "unknown"
