"""Settings: what the user asked for, in one frozen value."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_dbmigrate.settings.kinds import Source, shown
from pytest_dbmigrate.settings.specs import Specs

if TYPE_CHECKING:
    from pytest_dbmigrate.addresses.dsn import Dsn


@dataclass(frozen=True, eq=False, repr=False)
class Settings(Specs):
    """Every setting's value as an attribute, and where each came from. Paths are absolute.

    The attributes are the descriptors of `Specs`, which read `values`.
    """

    root: Path
    values: Mapping[str, Any]
    sources: Mapping[str, Source]
    spellings: Mapping[str, str]

    def changed(self) -> list[str]:
        """Return `name=value (source)` for each setting that is not a default."""
        return [
            f"{name}={shown(self.values[name])} ({source})"
            for name, source in self.sources.items()
            if source != "default"
        ]

    def environ_for(self, dsn: Dsn) -> dict[str, str]:
        """Return the environment variables that carry the address of a database."""
        return {variable.name: variable.value(dsn, self.driver) for variable in self.env}

    def but(self, **values: object) -> Settings:
        """Return the same settings with other values for some of them."""
        return replace(self, values={**self.values, **values})

    def spelled(self, name: str) -> str:
        """Return a setting's name as the user wrote it."""
        return self.spellings[name]
