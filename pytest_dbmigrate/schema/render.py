"""Differences as sentences, in the user's direction."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from pytest_dbmigrate.errors import DriftError
from pytest_dbmigrate.schema.diff import Difference

_TODO = (
    'if the models are right: alembic revision --autogenerate -m "...", and read what it wrote',
    "if the migrations are right: change the models",
    "to go on for now: --db-check=warn, or dbmigrate_check = warn",
)


def sentence(difference: Difference) -> str:
    """Return one sentence without a full stop that names the table and what differs."""
    say = _SENTENCES.get(difference.kind)
    return say(difference) if say else _unknown(difference)


def drift(differences: Sequence[Difference]) -> DriftError:
    """Return the error for these differences."""
    sentences = tuple(sentence(difference) for difference in differences)
    if len(sentences) == 1:
        return DriftError(sentences[0], todo=_TODO)
    return DriftError(
        f"the migrated schema and the models have {len(sentences)} differences",
        todo=_TODO,
        differences=sentences,
    )


def _missing(what: str) -> Callable[[Difference], str]:
    return lambda d: f"the models have {what} {_place(d)}; no migration adds it"


def _extra(what: str) -> Callable[[Difference], str]:
    return lambda d: f"the migrations leave {what} {_place(d)}; the models do not have it"


def _changed(what: str) -> Callable[[Difference], str]:
    return lambda d: (
        f"column {d.table}.{d.name} has {what} {d.migrated} after the migrations, "
        f"and {d.models} in the models"
    )


def _place(d: Difference) -> str:
    if d.kind.endswith("_column"):
        return f"{d.table}.{d.name}"
    if d.kind.endswith("_table"):
        return d.table
    columns = f" ({', '.join(d.columns)})" if d.columns else ""
    return f"{d.name or 'without a name'} on {d.table}{columns}"


def _nullable(d: Difference) -> str:
    return (
        f"column {d.table}.{d.name} is {d.migrated} after the migrations, "
        f"and {d.models} in the models"
    )


def _comment(d: Difference) -> str:
    return (
        f"table {d.table} has comment {d.migrated} after the migrations, "
        f"and {d.models} in the models"
    )


def _unknown(d: Difference) -> str:
    place = f"on {d.table}: " if d.table else ""
    return f"{d.kind} {place}{d.models or d.name}"


_SENTENCES: dict[str, Callable[[Difference], str]] = {
    "add_table": _missing("table"),
    "remove_table": _extra("table"),
    "add_column": _missing("column"),
    "remove_column": _extra("column"),
    "add_index": _missing("index"),
    "remove_index": _extra("index"),
    "add_constraint": _missing("constraint"),
    "remove_constraint": _extra("constraint"),
    "add_fk": _missing("foreign key"),
    "remove_fk": _extra("foreign key"),
    "modify_type": _changed("type"),
    "modify_default": _changed("default"),
    "modify_comment": _changed("comment"),
    "modify_nullable": _nullable,
    "add_table_comment": _comment,
    "remove_table_comment": _comment,
}
