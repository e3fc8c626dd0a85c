"""Configuration that env.py gave Alembic, as the history keeps it for a later run.

A build can be resumed only if env.py still configures what the applied revisions rested on.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from pytest_dbmigrate.migrations.fingerprint import Digest


@dataclass(frozen=True)
class TablesMade:
    """Tables that an environment has made, each as `schema.table`.

    `before` are those that were there when its first revision began; None once it has
    finished, when they no longer count.
    """

    made: list[str] = field(default_factory=list)
    before: list[str] | None = None

    @classmethod
    def from_record(cls, record: dict[str, Any] | None) -> TablesMade:
        """Return the tables in the JSON data of the history."""
        return cls(**(record or {}))


@dataclass(frozen=True)
class EnvConfiguration:
    """What env.py told Alembic that shapes what the revisions make.

    `naming_convention` has, for each collection of models, its sorted pairs; `common` are the
    digests of the files that all revisions rest on: env.py, and what it reads and imports.
    """

    version_table: str
    version_table_schema: str | None
    naming_convention: list[list[list[str]]]
    common: dict[str, Digest]
    tables: TablesMade = field(default_factory=TablesMade)

    @classmethod
    def from_record(cls, record: dict[str, Any]) -> EnvConfiguration:
        """Return the configuration in the JSON data of a message or the history."""
        return cls(**{**record, "tables": TablesMade.from_record(record.get("tables"))})

    def changed(self, now: EnvConfiguration) -> str:
        """Return the name of the first setting that has another value now, or nothing."""
        for name in ("version_table", "version_table_schema", "naming_convention"):
            if getattr(self, name) != getattr(now, name):
                return name
        return ""
