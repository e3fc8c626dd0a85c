"""Database factory: databases beside a test's own, each released by whoever asked for it.

A fixture of a module, a class or the session cannot have `migrated_db`, which ends with one test.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from types import TracebackType
from typing import final

from pytest_dbmigrate.addresses.dsn import Dsn
from pytest_dbmigrate.databases.lease import Lease, MigratedDatabase
from pytest_dbmigrate.databases.pools import Pools

MakeLease = Callable[[int, str], Lease]  # from a number and a label
NoteLeaks = Callable[[str, list[str]], None]  # whose they are, and a line for each


@final
class FactoryDatabase(MigratedDatabase):
    """A database of `migrated_db_factory`: it lives until it is released.

    As a context manager it is released when the block is left.
    """

    def __init__(self, lease: Lease, label: str, name_leaks: NoteLeaks | None) -> None:
        super().__init__(lease.take_address())
        self.lease = lease
        self._label = label
        self._name_leaks = name_leaks
        self._pools = Pools(lease.name)
        self._process = os.getpid()
        self._is_released = False

    def __enter__(self) -> FactoryDatabase:
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        self.release()

    def release(self) -> None:
        """Close what this process has open, and drop the database, or keep it. Safe to repeat.

        Raises `DatabaseError`.
        """
        if self._is_released or os.getpid() != self._process:  # a fork's is not its to end
            return
        self._is_released = True
        self.close()
        if self._name_leaks is not None:
            leaked = self.lease.leaked(self._pools)
            if leaked:
                label = repr(self._label) if self._label else ""
                self._name_leaks(f"migrated_db_factory({label})", leaked)
        self.lease.release(self._pools)
        self._pools.close()


class MigratedDatabaseFactory:
    """Makes databases at head: `migrated_db_factory()`, or `migrated_db_factory("label")`."""

    def __init__(self, make_lease: MakeLease, name_leaks: NoteLeaks | None) -> None:
        """`make_lease` is called for each database; `name_leaks` only where leaks are named."""
        self._make_lease = make_lease
        self._name_leaks = name_leaks
        self._number = 0
        self._databases: list[FactoryDatabase] = []

    def __call__(self, label: str = "") -> FactoryDatabase:
        """Return a new database; `label` becomes a part of its name. Raises `DatabaseError`.

        It lives until it is released, or else until the session ends.
        """
        lease = self._make_lease(self._number, label)
        self._number += 1
        database = FactoryDatabase(lease, label, self._name_leaks)
        self._databases.append(database)
        return database

    def keep(self) -> list[Dsn | None]:
        """Keep each database that lives now when it is released; return where they will be.

        None stands for one that is not kept because the run keeps as many as it may.
        """
        return [it.lease.will_keep("") for it in self._databases if it.lease.is_taken]

    def release(self) -> None:
        """Release every database that still lives, the newest first."""
        while self._databases:
            self._databases.pop().release()
