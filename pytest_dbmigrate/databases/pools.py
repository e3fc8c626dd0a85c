"""SQLAlchemy pools of this process that hold connections to a test's database.

An application that makes its engine at import keeps pooled connections when a test ends, and
the database under them is about to be replaced. SQLAlchemy's events tell of every connection
of every engine, also of one that was made before we listened: `do_connect` before a connection
is made, with its arguments, and `connect` after one is made by an engine's own `creator`. Those
to our database are remembered, and invalidated between tests: the pool then opens new ones.

A process that does not import SQLAlchemy itself does not import it for this.
"""

from __future__ import annotations

import gc
import logging
import sys
from typing import Any
from weakref import WeakSet

_POOL_LOGGER = "sqlalchemy.pool"


class Pools:
    """The pooled connections of this process to one database name."""

    def __init__(self, dbname: str) -> None:
        """Watch every engine of the process, existing ones included."""
        self._dbname = dbname
        self._records: WeakSet[Any] = WeakSet()
        self._is_watching = False
        self._listeners: list[tuple[Any, str, Any]] = []
        self.watch()

    def watch(self) -> None:
        """Watch SQLAlchemy's engines if it is imported by now. Safe to repeat."""
        if self._is_watching or "sqlalchemy.engine" not in sys.modules:
            return
        self._is_watching = True
        from sqlalchemy import event
        from sqlalchemy.engine import Engine
        from sqlalchemy.pool import Pool

        self._listeners = [
            (Engine, "do_connect", self._remember),
            (Pool, "connect", self._remember_created),
        ]
        for listener in self._listeners:
            event.listen(*listener)

    def _adopt(self) -> None:
        """Remember the connections that were made before we listened, found among all objects."""
        if self._is_watching or "sqlalchemy.engine" not in sys.modules:
            return
        self.watch()
        from sqlalchemy.pool.base import _ConnectionRecord

        for record in gc.get_objects():
            if type(record) is _ConnectionRecord and record.dbapi_connection is not None:
                self._remember_created(None, record)

    def close(self) -> None:
        """Stop watching, for good."""
        self._is_watching = True  # so that it does not begin again
        if self._listeners:
            from sqlalchemy import event

            for listener in self._listeners:
                event.remove(*listener)
            self._listeners = []

    def empty(self, *, idle_only: bool = False) -> None:
        """Invalidate every connection to the database, checked out or not."""
        self._adopt()  # the test itself may have been the first to import SQLAlchemy
        for record in list(self._records):
            if idle_only and record.fairy_ref and record.fairy_ref():
                continue  # it is checked out
            self._records.discard(record)
            if record.dbapi_connection is not None:
                _invalidate(record)

    def _remember(
        self,
        dialect: Any,  # noqa: ARG002  # SQLAlchemy's signature
        record: Any,
        arguments: Any,
        keywords: dict[str, Any],
    ) -> None:
        named = keywords.get("dbname") or keywords.get("database")
        if named == self._dbname or any(self._dbname in str(text) for text in arguments):
            self._records.add(record)

    def _remember_created(self, _connection: Any, record: Any) -> None:
        """Remember a connection that the engine's own `creator` made."""
        raw = record.driver_connection
        psycopg_info = getattr(raw, "info", None)
        asyncpg_info = getattr(raw, "_params", None)
        named = getattr(psycopg_info, "dbname", None) or getattr(asyncpg_info, "database", None)
        if named == self._dbname:
            self._records.add(record)


def _invalidate(record: Any) -> None:
    """Invalidate one connection, and log nothing.

    An asyncpg connection whose event loop is closed cannot be closed properly, which
    SQLAlchemy reports as an error although nothing is lost.
    """
    logger = logging.getLogger(_POOL_LOGGER)
    loggers = [logger, *(logging.getLogger(name) for name in _children(_POOL_LOGGER))]
    disabled = [item.disabled for item in loggers]
    raw = record.driver_connection
    # through the fairy, a checked-out connection returns to its pool; its user finds it closed
    checked_out = record.fairy_ref() if record.fairy_ref else None
    for item in loggers:
        item.disabled = True
    try:
        (checked_out or record).invalidate()
        _close_without_loop(raw)
    finally:
        for item, before in zip(loggers, disabled, strict=True):
            item.disabled = before


def _close_without_loop(raw: Any) -> None:
    """Close the socket of an asyncio connection whose event loop cannot do it any more.

    Else a project that turns warnings into errors fails for an unclosed socket. Where a
    driver or an event loop has no such attribute, that warning is all there is to lose.
    """
    if hasattr(raw, "pgconn"):  # psycopg
        raw.pgconn.finish()
    transport = getattr(raw, "_transport", None)  # asyncpg
    loop = getattr(transport, "_loop", None)
    if loop is not None and loop.is_closed():
        lose = getattr(transport, "_call_connection_lost", lambda _: None)
        lose(None)


def _children(name: str) -> list[str]:
    return [key for key in logging.root.manager.loggerDict if key.startswith(name + ".")]
