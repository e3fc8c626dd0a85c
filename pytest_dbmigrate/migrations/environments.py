"""Alembic environments of the project: where each is configured, found without Alembic."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from pytest_dbmigrate.errors import MigrationError
from pytest_dbmigrate.settings.alembic_location import AlembicLocation

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

_INI, _TOML = "alembic.ini", "pyproject.toml"


@dataclass(frozen=True)
class Environment:
    """One Alembic environment: the files Alembic reads, or what makes its configuration.

    `folder` is where `alembic` would be run: relative paths start there. `scripts` is a
    folder of scripts that has no file of its own; `module` and `attribute` are two sides of
    a colon that only an import can explain.
    """

    ini: str
    toml: str
    folder: str
    section: str = ""
    scripts: str = ""
    module: str = ""
    attribute: str = ""

    @classmethod
    def from_record(cls, record: dict[str, str]) -> Environment:
        """Return the environment that `as_record` wrote."""
        return cls(**record)

    def as_record(self) -> dict[str, str]:
        """Return it as JSON data."""
        return asdict(self)

    @property
    def files(self) -> list[str]:
        """The files that configure it."""
        return [path for path in (self.ini, self.toml) if path]

    def __str__(self) -> str:
        if self.module:
            return f"{self.module}:{self.attribute}"
        place = self.scripts or self.ini or self.toml
        return f"{place}:{self.section}" if self.section else place


def find(
    configured: Sequence[AlembicLocation], folders: tuple[Path, ...]
) -> tuple[Environment, ...]:
    """Return the configured environments, or the first one in `folders`.

    Raises `MigrationError` that lists where it looked.
    """
    if configured:
        return tuple(_at(location, folders[0]) for location in configured)
    tried = []
    for folder in dict.fromkeys(folders):
        ini, toml = folder / _INI, folder / _TOML
        has_section = _has_section(toml)
        if ini.is_file() or has_section:
            found = str(ini) if ini.is_file() else ""
            return (Environment(found, str(toml) if has_section else "", str(folder)),)
        tried += [f"{ini}: no such file", f"{toml}: no [tool.alembic] section"]
    raise MigrationError(
        "no Alembic configuration was found",
        tried=tuple(tried),
        todo=("name it with --db-alembic or dbmigrate_alembic",),
    )


def names(environments: Sequence[Environment]) -> list[str]:
    """Return the name of each environment in the history: empty if there is just one."""
    return [str(it) if len(environments) > 1 else "" for it in environments]


def _at(location: AlembicLocation, root: Path) -> Environment:
    """Return the environment at a location; a script folder or a module belongs to the root."""
    if location.file:
        return replace(_from_file(Path(location.file)), section=location.section)
    return Environment(
        "",
        "",
        str(root),
        scripts=location.scripts,
        module=location.module,
        attribute=location.attribute,
    )


def _from_file(path: Path) -> Environment:
    if path.suffix != ".toml":
        beside = path.parent / _TOML
        return Environment(str(path), str(beside) if _has_section(beside) else "", str(path.parent))
    if not _has_section(path):
        raise MigrationError(
            f"{path} has no [tool.alembic] section",
            todo=("name another file with --db-alembic or dbmigrate_alembic",),
        )
    return Environment("", str(path), str(path.parent))


def _has_section(path: Path) -> bool:
    try:
        with open(path, "rb") as file:
            return "alembic" in tomllib.load(file).get("tool", {})
    except (FileNotFoundError, tomllib.TOMLDecodeError):
        return False
