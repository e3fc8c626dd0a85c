"""Difference between the migrated schema and the models, as a value."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class Difference:
    """A difference. `kind` is Alembic's name of the operation that would make the schema match.

    One of kind `custom` is a project's own, and `name` is the sentence that is shown.

    `table` is qualified by its schema unless that is the default one; `migrated` and `models`
    are the two sides of a change.
    """

    kind: str
    table: str = ""
    name: str = ""
    columns: tuple[str, ...] = ()
    migrated: str = ""
    models: str = ""

    def as_record(self) -> dict[str, Any]:
        """Return the difference as JSON data."""
        return asdict(self)

    @classmethod
    def from_record(cls, record: dict[str, Any]) -> Difference:
        """Return the difference that `as_record` wrote."""
        return cls(**{**record, "columns": tuple(record["columns"])})
