"""Settings of a project in a folder, for the tests of all that makes them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pytest_dbmigrate.errors import SettingError
from pytest_dbmigrate.settings.resolution import resolve
from pytest_dbmigrate.settings.values import Settings

URL = "postgresql://ann:s3cret@127.0.0.1:5433/shop"
REMOTE = "postgresql://ann:s3cret@db.example.com/shop"


def with_url(path: Path) -> None:
    """Write a file with a place for the address."""
    path.write_text("{url}")


def resolved(
    root: Path,
    option: dict[str, str] | None = None,
    environ: dict[str, str] | None = None,
    ini: dict[str, Any] | None = None,
) -> Settings:
    """Return the settings of a project in `root`; all paths start there."""
    return resolve(root, option or {}, environ or {}, ini or {}, ini_folder=root, start=root)


def refusal(root: Path, **said: dict[str, Any]) -> list[str]:
    """Return the lines with which these settings are refused."""
    with pytest.raises(SettingError) as refused:
        resolved(root, **said)
    return str(refused.value).splitlines()
