"""Watch for commits in the middle of a revision, which are seen before they happen.

Alembic's `autocommit_block` commits, and so do `COMMIT` in a statement and a connection of the
revision's own. What is committed so is not rolled back when the revision fails or is killed, so
the history must say so first: afterwards this process may be dead. SQLAlchemy's events are heard
for all engines; what does not go through SQLAlchemy is not seen.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import event
from sqlalchemy.engine import Engine

_MAYBE = re.compile(r"\b(?:commit|end|rollback|prepare)\b", re.IGNORECASE)
_ENDS = re.compile(
    r"(?:^|;)\s*(?:commit|end|rollback(?!\s+(?:\w+\s+)?to\b)|prepare\s+transaction)\b",
    re.IGNORECASE,
)
# Comments, strings, quoted names and bodies of functions: no statement of ours is in them.
_ASIDE = re.compile(
    r"--[^\n]*|/\*.*?\*/|\$(\w*)\$.*?\$\1\$|\be'(?:\\.|''|[^'\\])*'|'(?:''|[^'])*'|\"[^\"]*\"",
    re.IGNORECASE | re.DOTALL,
)


class Watch:
    """Calls `on_commit` each time that a script is about to commit something on its own."""

    def __init__(self, on_commit: Callable[[], None]) -> None:
        self._on_commit = on_commit
        self._is_in_script = False
        event.listen(Engine, "commit", self._before_commit)
        event.listen(Engine, "before_cursor_execute", self._before_execute)

    def close(self) -> None:
        """Stop watching."""
        event.remove(Engine, "commit", self._before_commit)
        event.remove(Engine, "before_cursor_execute", self._before_execute)

    @contextmanager
    def script(self) -> Iterator[None]:
        """Watch while a script runs, and not what Alembic commits around it."""
        self._is_in_script = True
        try:
            yield
        finally:
            self._is_in_script = False

    def _before_commit(self, _connection: Any) -> None:
        if self._is_in_script:
            self._on_commit()

    def _before_execute(self, connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        if self._is_in_script and (
            getattr(connection.connection.dbapi_connection, "autocommit", False)
            or ends_transaction(statement)
        ):
            self._on_commit()


def ends_transaction(statement: str) -> bool:
    """Whether SQL has a statement in it that ends the transaction it is run in."""
    return bool(_MAYBE.search(statement) and _ENDS.search(_ASIDE.sub(" ", statement)))
