"""What the user asked for, in one frozen value."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pytest_dbmigrate.addresses.env_variable import EnvVariable
from pytest_dbmigrate.settings import parsers
from pytest_dbmigrate.settings.server_request import ServerRequest
from pytest_dbmigrate.settings.specs import BY_NAME

if TYPE_CHECKING:
    from pytest_dbmigrate.addresses.dsn import Dsn
    from pytest_dbmigrate.addresses.env_file import EnvFile

Source = Literal["option", "environment", "ini", "default"]


@dataclass(frozen=True, eq=False, repr=False)
class Settings:
    """Every setting's value, and where each came from. Paths are absolute."""

    root: Path
    server: ServerRequest
    allow_remote: bool
    fresh: bool
    resume: bool
    keep: str
    shared: bool
    check: str
    alembic: tuple[str, ...]
    target: tuple[tuple[str, ...], ...]
    x: tuple[str, ...]
    attributes: tuple[parsers.Attribute, ...]
    driver: str
    before: tuple[str, ...]
    within: str
    image: str
    compose_file: str
    compose_service: str
    pg_bin: str
    timeout: float
    wait: float
    env: tuple[EnvVariable, ...]
    baseline: str
    accept_drift: bool
    env_file: tuple[EnvFile, ...]
    suites: tuple[str, ...]
    suites_mode: str
    suite: str
    sources: Mapping[str, Source] = field(default_factory=dict)

    def changed(self) -> list[str]:
        """Return `name=value (source)` for each setting that is not a default."""
        return [
            f"{name}={shown(getattr(self, name))} ({source})"
            for name, source in self.sources.items()
            if source != "default"
        ]

    def environ_for(self, dsn: Dsn) -> dict[str, str]:
        """Return the environment variables that carry the address of a database."""
        return {variable.name: variable.value(dsn, self.driver) for variable in self.env}

    def spelled(self, name: str) -> str:
        """Return a setting's name as it was said."""
        spec, source = BY_NAME[name], self.sources[name]
        return {"option": spec.option, "environment": spec.environment}.get(source, spec.ini)


def shown(value: Any) -> str:
    """Return a value as the header shows it, without passwords."""
    if isinstance(value, tuple):
        return ",".join(_named(item) for item in value)
    text = str(value)
    if "@" not in text and "=" not in text:
        return text
    from pytest_dbmigrate.addresses.dsn import redact

    return redact(text)


def _named(line: Any) -> str:
    """Return a line of a setting in short."""
    if isinstance(line, tuple):
        return " ".join(line)
    if not isinstance(line, str):
        return str(line.name)
    words = shown(line).split()
    return " ".join(words[:2]) + (" ..." if len(words) > 2 else "")  # of an SQL statement
