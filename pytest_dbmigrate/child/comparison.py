"""Comparison of the schema with the models, by Alembic's autogenerate inside env.py's own run.

There env.py's `include_*` and `compare_*` options apply, its `process_revision_directives` has
the last word, and every Alembic plugin that it has set up takes part.
"""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Iterator
from collections.abc import Set as AbstractSet
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from alembic.autogenerate.api import RevisionContext
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy.dialects import postgresql
from sqlalchemy.exc import CompileError

from pytest_dbmigrate.schema.difference import Difference

_DIALECT: Any = postgresql.dialect()  # type: ignore[no-untyped-call]
_ARGUMENTS = {
    "message": None,
    "autogenerate": True,
    "sql": False,
    "head": "head",
    "splice": False,
    "branch_label": None,
    "version_path": None,
    "rev_id": None,
    "depends_on": None,
}


def why_not(script: ScriptDirectory, context: MigrationContext) -> str:
    """Return why the schema cannot be compared, or nothing."""
    if not context.opts.get("target_metadata"):
        return "env.py gives Alembic no target_metadata"
    known = context.get_current_heads()  # but for those that others depend on
    if any(script.iterate_revisions("heads", known, implicit_base=True)):
        return "the target is not the newest revision, which the models are for"
    return ""


@dataclass(frozen=True)
class OtherTables:
    """Tables of other environments, each as `schema.table`, and the default schema."""

    names: AbstractSet[str] = frozenset()
    default: str | None = None

    def has(self, operation: Any) -> bool:
        """Whether an operation is about one of these tables."""
        table = getattr(operation, "table_name", None)
        return f"{getattr(operation, 'schema', None) or self.default}.{table}" in self.names


def differences(
    config: Config, script: ScriptDirectory, context: MigrationContext, others: OtherTables
) -> list[Difference]:
    """Return what autogenerate would write a migration for, sorted.

    Operations on the tables of other environments are left out.
    """
    revisions = RevisionContext(config, script, _ARGUMENTS)
    with _autogenerate_option(config):
        revisions.run_autogenerate(context.get_current_heads(), context)
    found = [
        difference
        for revision in revisions.generated_revisions
        for operations in revision.upgrade_ops_list
        for operation in _leaves(operations)
        if not others.has(operation)
        for difference in _differences_of(operation)
    ]
    return sorted(found, key=lambda item: (item.table, item.kind, item.name, item.models))


@contextmanager
def _autogenerate_option(config: Config) -> Iterator[None]:
    """Let env.py's hooks find `--autogenerate` where they look for it, in `config.cmd_opts`."""
    before = config.cmd_opts
    config.cmd_opts = Namespace(**{**vars(before or Namespace()), "autogenerate": True})
    try:
        yield
    finally:
        config.cmd_opts = before


def _leaves(operation: Any) -> Iterator[Any]:
    if hasattr(operation, "ops"):
        for inner in operation.ops:
            yield from _leaves(inner)
    else:
        yield operation


def _differences_of(operation: Any) -> list[Difference]:
    try:
        changes = operation.to_diff_tuple()
    except NotImplementedError:
        return [_unknown(operation)]
    several = changes if isinstance(changes, list) else [changes]
    return [_from_tuple(change, operation) for change in several]


def _from_tuple(change: tuple[Any, ...], operation: Any) -> Difference:
    kind = str(change[0])
    if kind in ("add_table", "remove_table"):
        return Difference(kind, _qualified_name(change[1]))
    if kind in ("add_column", "remove_column"):
        return Difference(kind, _dotted_name(change[1], change[2]), change[3].name)
    if kind in ("add_index", "remove_index", "add_constraint", "remove_constraint", "add_fk",
                "remove_fk"):  # fmt: skip
        item = change[1]
        columns = tuple(_column_name(column) for column in _columns(item))
        return Difference(kind, _qualified_name(item.table), str(item.name or ""), columns)
    if kind.startswith("modify_"):
        _, schema, table, column, _, old, new = change
        say = _SAY.get(kind, str)
        return Difference(
            kind, _dotted_name(schema, table), column, migrated=say(old), models=say(new)
        )
    if kind in ("add_table_comment", "remove_table_comment"):
        table = change[1]
        old = change[2] if kind == "add_table_comment" else operation.existing_comment
        new = table.comment if kind == "add_table_comment" else None
        return Difference(kind, _qualified_name(table), migrated=_text(old), models=_text(new))
    return _unknown(operation, change)


def _unknown(operation: Any, change: tuple[Any, ...] = ()) -> Difference:
    table = getattr(operation, "table_name", "") or ""
    kind = str(change[0]) if change else type(operation).__name__
    return Difference(kind, str(table), models=_text_of(operation, change))


def _text_of(operation: Any, change: tuple[Any, ...]) -> str:
    """Return an operation's own text; where it has none, its plain attributes in a fixed order."""
    text = str(operation)
    if text != object.__repr__(operation):
        return text
    facts = {key: it for key, it in vars(operation).items() if _is_plain(it)}
    words = [f"{key}={facts[key]!r}" for key in sorted(facts)]
    if len(change) > 1 and isinstance(change[1], str) and change[1] not in facts.values():
        words.insert(0, repr(change[1]))  # what it is about, where no fact of its own says so
    return f"{type(operation).__name__}({', '.join(words)})"


def _is_plain(item: Any) -> bool:
    if isinstance(item, list | tuple):
        return len(item) > 0 and all(_is_plain(it) for it in item)
    return isinstance(item, str | int | float)


def _columns(item: Any) -> Any:
    return item.expressions if hasattr(item, "expressions") else item.columns


def _column_name(column: Any) -> str:
    return str(getattr(column, "name", None) or column)


def _qualified_name(table: Any) -> str:
    return _dotted_name(table.schema, table.name)


def _dotted_name(schema: str | None, name: str) -> str:
    return f"{schema}.{name}" if schema else name


def _type(item: Any) -> str:
    try:
        return str(item.compile(dialect=_DIALECT))
    except CompileError:  # a type that only another dialect can spell
        return repr(item)


def _default(item: Any) -> str:
    return "none" if item is None else _expression(getattr(item, "arg", item))


def _expression(item: Any) -> str:
    """Return an expression with its values in it: without them, two could have the same text."""
    text = getattr(item, "text", None)
    if text:
        return str(text)
    try:
        return str(item.compile(dialect=_DIALECT, compile_kwargs={"literal_binds": True}))
    except (AttributeError, CompileError):  # a string; a value that has no literal
        return str(item)


def _text(item: Any) -> str:
    return "none" if item is None else repr(item)


def _null(item: Any) -> str:
    return "nullable" if item else "not nullable"


_SAY = {
    "modify_type": _type,
    "modify_default": _default,
    "modify_comment": _text,
    "modify_nullable": _null,
}
