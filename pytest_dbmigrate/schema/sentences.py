"""Sentences for differences: each says which side has what, and what no migration does."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from pytest_dbmigrate.errors import DriftError
from pytest_dbmigrate.schema.difference import Difference

_TODO = (
    'if the models are right: alembic revision --autogenerate -m "...", and read what it wrote',
    "if the migrations are right: change the models",
    "to continue for now: --db-check=warn, or dbmigrate_check = warn",
)
_ADDRESS = re.compile(r"(<[^<>]*) at 0x[0-9a-fA-F]+")


def sentence(difference: Difference) -> str:
    """Return one sentence without a full stop that names the table and what differs.

    It is one line, and the same in every run: memory addresses are removed from it.
    """
    say = _SENTENCES.get(difference.kind, _unknown)
    return " ".join(_ADDRESS.sub(r"\1", say(difference)).split())


def drift(differences: Sequence[Difference], baseline: str = "", accepted: int = 0) -> DriftError:
    """Return the error for these differences; the file `baseline` accepts `accepted` more."""
    sentences = tuple(sentence(difference) for difference in differences)
    todo, more = _TODO, ""
    if baseline:
        accept = f"to continue for now: run once with --db-accept-drift, which writes {baseline}"
        todo = (*_TODO[:-1], accept)
    if accepted:
        more = f"{baseline} accepts {accepted} more difference{'' if accepted == 1 else 's'}"
    if len(sentences) == 1:
        return DriftError(sentences[0], todo=todo, baseline=more)
    which = " that are not in the baseline" if baseline else ""
    return DriftError(
        f"the migrated schema and the models have {len(sentences)} differences{which}",
        todo=todo,
        differences=sentences,
        baseline=more,
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
    "custom": lambda d: d.name,  # a project's own, said by itself
    "add_table_comment": _comment,
    "remove_table_comment": _comment,
}
