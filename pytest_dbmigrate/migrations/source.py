"""Where the project's Alembic configuration is. Imports no Alembic."""

from __future__ import annotations

import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pytest_dbmigrate.errors import MigrationError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

_INI, _TOML = "alembic.ini", "pyproject.toml"


@dataclass(frozen=True)
class Source:
    """The files Alembic reads: an ini file, a pyproject.toml, or both.

    `folder` is where `alembic` would be run: relative paths start there.
    """

    ini: str
    toml: str
    folder: str

    def as_record(self) -> dict[str, Any]:
        """Return the source as JSON data."""
        return asdict(self)

    def __str__(self) -> str:
        return self.ini or self.toml


def find(configured: str, folders: tuple[Path, ...]) -> Source:
    """Return the configured source, or the first one in `folders`.

    Raises `MigrationError` that lists where it looked.
    """
    if configured:
        return _from_file(Path(configured))
    tried = []
    for folder in dict.fromkeys(folders):
        ini, toml = folder / _INI, folder / _TOML
        has_section = _has_section(toml)
        if ini.is_file() or has_section:
            return Source(
                str(ini) if ini.is_file() else "", str(toml) if has_section else "", str(folder)
            )
        tried += [f"{ini}: no such file", f"{toml}: no [tool.alembic] section"]
    raise MigrationError(
        "no Alembic configuration was found",
        tried=tuple(tried),
        todo=("name it with --db-alembic or dbmigrate_alembic",),
    )


def _from_file(path: Path) -> Source:
    if path.suffix != ".toml":
        beside = path.parent / _TOML
        return Source(str(path), str(beside) if _has_section(beside) else "", str(path.parent))
    if not _has_section(path):
        raise MigrationError(
            f"{path} has no [tool.alembic] section",
            todo=("name another file with --db-alembic or dbmigrate_alembic",),
        )
    return Source("", str(path), str(path.parent))


def _has_section(path: Path) -> bool:
    try:
        with open(path, "rb") as file:
            return "alembic" in tomllib.load(file).get("tool", {})
    except (FileNotFoundError, tomllib.TOMLDecodeError):
        return False
