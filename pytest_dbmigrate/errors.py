"""Errors: everything that can go wrong, in one hierarchy.

Each carries its data, survives pickling and a trip through JSON (from the migration child
to the run, from an xdist worker to its controller), and says three things: what failed,
what was tried, what to do.
"""

from __future__ import annotations

import textwrap
from dataclasses import asdict, dataclass, fields
from typing import Any

_INDENT = "  "
_QUOTED_LINES = 20
_KINDS: dict[str, type[DbmigrateError]] = {}  # every error by the name of its class


@dataclass(eq=False)
class DbmigrateError(Exception):
    """The base of all errors of this plugin.

    `what` is one sentence without a full stop; `tried` and `todo` are lines.
    """

    what: str
    tried: tuple[str, ...] = ()
    todo: tuple[str, ...] = ()

    def __init_subclass__(cls) -> None:
        """Register the class under its name, for `from_record`."""
        super().__init_subclass__()
        _KINDS[cls.__name__] = cls

    def __post_init__(self) -> None:
        for field in fields(self):  # JSON knows lists only
            value = getattr(self, field.name)
            if isinstance(value, list):
                setattr(self, field.name, tuple(value))

    def __str__(self) -> str:
        return "\n".join(self.lines())

    def __reduce__(self) -> tuple[Any, ...]:
        return from_record, (as_record(self),)

    def lines(self) -> list[str]:
        """Return the whole message: what failed, its facts, what was tried, what to do."""
        return [
            self.what,
            *self.facts(),
            *_labelled("tried", self.tried),
            *_labelled("to do", self.todo),
            *self.heard(),
        ]

    def facts(self) -> list[str]:
        """Return the lines that only this kind of error has."""
        return []

    def heard(self) -> list[str]:
        """Return what another program printed: it is long, so it comes last."""
        return []


_KINDS[DbmigrateError.__name__] = DbmigrateError  # __init_subclass__ sees the others only


@dataclass(eq=False)
class SettingError(DbmigrateError):
    """A setting has an invalid value, or conflicts with another one."""


@dataclass(eq=False)
class ServerError(DbmigrateError):
    """No Postgres could be had, or it went away. `log` is the tail of its log."""

    log: str = ""

    def heard(self) -> list[str]:
        """Return the tail of the server's log."""
        return _quoted("the end of the server's log", self.log)


@dataclass(eq=False)
class DatabaseError(DbmigrateError):
    """A database could not be made, copied or dropped."""


@dataclass(eq=False)
class BrokenServerError(DatabaseError):
    """A server is no longer usable: its disk is full, or its data is damaged.

    `reason` is why it is replaced, where that is not just what it said.
    """

    reason: str = ""


@dataclass(eq=False)
class BusyError(DbmigrateError):
    """Another run of the project held the turn to build for too long."""


@dataclass(eq=False)
class MigrationError(DbmigrateError):
    """The migrations could not be run to their target. `output` is what they printed."""

    output: str = ""

    def heard(self) -> list[str]:
        """Return the end of what the migrations printed."""
        return _quoted("env.py and the migrations printed", self.output)


@dataclass(eq=False)
class WrongDatabaseError(MigrationError):
    """env.py was about to migrate another database than the one prepared for it."""


@dataclass(eq=False)
class StaleStateError(MigrationError):
    """The state kept by an earlier run cannot be resumed: the template is built from nothing."""


@dataclass(eq=False)
class ScriptError(MigrationError):
    """A script of the project that changes the schema failed.

    `line` counts from 1; `position` is the place in `statement` that the
    server complains about, in characters from 1, or 0 where it names none.
    """

    file: str = ""
    line: int = 0
    statement: str = ""
    position: int = 0
    message: str = ""
    detail: str = ""
    hint: str = ""

    def facts(self) -> list[str]:
        """Return the place, the statement, and what the server said about it."""
        where = f"{self.file}:{self.line}" if self.line else self.file
        return [
            *_labelled("file", (where,) if where else ()),
            *_labelled("sql", tuple(mark_position(self.statement, self.position))),
            *_labelled("server" if self.statement else "error", tuple(self.message.splitlines())),
            *_labelled("detail", tuple(self.detail.splitlines())),
            *_labelled("hint", tuple(self.hint.splitlines())),
        ]


@dataclass(eq=False)
class RevisionError(ScriptError):
    """One revision failed; `applied` are the remaining heads, `pending` counts what did not run."""

    revision: str = ""
    applied: tuple[str, ...] = ()
    pending: int = 0

    def facts(self) -> list[str]:
        """Return the facts of the script, and what is left applied."""
        return [*super().facts(), *_labelled("left applied", (self._left_applied(),))]

    def _left_applied(self) -> str:
        applied = f"up to {', '.join(self.applied)}" if self.applied else "nothing"
        count = "1 revision is" if self.pending == 1 else f"{self.pending} revisions are"
        return f"{applied}; {count} not applied"


@dataclass(eq=False)
class DriftError(DbmigrateError):
    """The migrated schema and the models differ: a sentence for each of several differences.

    `baseline` says how many more the project has accepted.
    """

    differences: tuple[str, ...] = ()
    baseline: str = ""

    def facts(self) -> list[str]:
        """Return the differences, and what is accepted besides."""
        return [
            *(f"{_INDENT}- {sentence}" for sentence in self.differences),
            *_labelled("baseline", (self.baseline,) if self.baseline else ()),
        ]


def mark_position(statement: str, position: int, context: int = 3) -> list[str]:
    """Return the statement's lines with a caret under `position` (from 1; 0 for none).

    A long statement is cut to `context` lines on either side of the position. The common
    margin of all lines and blank lines at the end are removed.
    """
    lines = statement.expandtabs(4).strip("\n").splitlines()
    if not position or len(statement) < position:
        return _dedented(lines[:24]) + (["..."] if len(lines) > 24 else [])
    head = statement[: position - 1].expandtabs(4).lstrip("\n")
    row, column = head.count("\n"), len(head) - (head.rfind("\n") + 1)
    first, last = max(0, row - context), min(len(lines), row + context + 1)
    shown = [*lines[first : row + 1], " " * column + "^", *lines[row + 1 : last]]
    return ["..."] * (first > 0) + _dedented(shown) + ["..."] * (last < len(lines))


def _dedented(lines: list[str]) -> list[str]:
    return textwrap.dedent("\n".join(lines)).rstrip().splitlines()


def as_record(error: DbmigrateError) -> dict[str, Any]:
    """Return the error as JSON data; `from_record` gives it back."""
    return {"kind": type(error).__name__, **asdict(error)}


def from_record(record: dict[str, Any]) -> DbmigrateError:
    """Return the error that `as_record` wrote."""
    data = dict(record)
    return _KINDS[data.pop("kind")](**data)


def _quoted(title: str, text: str) -> list[str]:
    """Return the end of a text below its title, or nothing."""
    lines = text.strip().splitlines()[-_QUOTED_LINES:]
    return [f"{_INDENT}{title}:", *(f"{_INDENT}{_INDENT}{line}" for line in lines)] if lines else []


def _labelled(label: str, lines: tuple[str, ...]) -> list[str]:
    """Return the lines, the first behind `label`, the others aligned below it."""
    margin = f"{_INDENT}{label}: "
    return [(margin if n == 0 else " " * len(margin)) + line for n, line in enumerate(lines)]
