"""Kind of server: one way to get a Postgres, from its address to its end.

Each kind is a subclass, which holds all that is special about it; `kinds` lists them. Through this
protocol `startup` gets a run's server, and `kept` one that stays between runs.
"""

from __future__ import annotations

import contextlib
import subprocess
from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import ClassVar

from pytest_dbmigrate.addresses.dsn import Dsn
from pytest_dbmigrate.runs.run import Run
from pytest_dbmigrate.servers import commands
from pytest_dbmigrate.servers.address import Address
from pytest_dbmigrate.servers.kept.record import Kept, Record, boot, requested
from pytest_dbmigrate.servers.readiness import ask
from pytest_dbmigrate.servers.server import Server
from pytest_dbmigrate.settings.values import Settings
from pytest_dbmigrate.version import __version__

_REMOVAL_SECONDS = 60.0


class ServerKind(ABC):
    """One way to get a server, for one run's settings; `reason` is why it is this one."""

    name: ClassVar[str]
    noun: ClassVar[str] = "server"
    """The name of a kept one in messages."""
    is_ours: ClassVar[bool] = True
    """Whether we start and end its servers; if not, only our databases there are ours."""
    is_automatic: ClassVar[bool] = False
    """Whether `--db-server=auto` tries it."""
    can_restart: ClassVar[bool] = False
    """Whether a kept one that has ended can be started again with its data."""

    def __init__(self, settings: Settings, reason: str = "") -> None:
        self.settings = settings
        self.reason = reason

    # --- which one

    def is_required(self) -> bool:
        """Whether other settings need this kind, so that `auto` may take no other."""
        return False

    def require(self) -> None:
        """Make ready what was asked for by name. Raises `ServerError` if it cannot be had."""
        return

    def probe(self) -> None:
        """Check quickly whether it is available here. Raises `ServerError` if not."""
        self.require()

    # --- for a run

    def settle(self) -> Address | None:
        """Return the address before the server starts, or None if that cannot be known."""
        return None

    @abstractmethod
    def start(self, run: Run, address: Address | None) -> Server:
        """Return a running server at the settled address; the run's guardian ends it.

        Raises `ServerError`.
        """

    # --- between runs

    @abstractmethod
    def keep(self, kept: Kept, before: Record | None = None) -> Server:
        """Return a new server that stays, and record it; if it fails, nothing is left of it.

        If it can have the address of the one `before` it, it does. Raises `ServerError`.
        """

    def find(self, kept: Kept, record: Record) -> Server | None:
        """Return the kept server if it answers."""
        del kept  # for subclasses that record it again
        return ask(self.server(record.dsn, self.reason))

    def restart(self, kept: Kept, record: Record) -> Server:
        """Return the kept server, started again after it has ended. Raises `ServerError`."""
        raise NotImplementedError  # only if it `can_restart`

    @classmethod
    def staleness(cls, record: Record) -> str:
        """Return why a kept server can no longer be used, or nothing."""
        del record
        return ""

    @classmethod
    def end(cls, record: Record) -> str:
        """End and remove a kept server, or our databases there; return what failed, in words."""
        if not record.down:
            return ""
        try:
            done = commands.run(list(record.down), _REMOVAL_SECONDS)
        except (OSError, subprocess.SubprocessError) as error:
            return str(error)
        return done.stderr.strip() or "it failed" if done.returncode else ""

    # --- for subclasses

    @classmethod
    def server(cls, dsn: Dsn, reason: str = "") -> Server:
        """Return a server of this kind of which only the address is known."""
        return Server(cls.name, dsn, reason=reason, is_ours=cls.is_ours)

    def record(self, dsn: Dsn) -> Record:
        """Return the record of a server of this kind, made now."""
        return Record(
            kind=self.name,
            dsn=dsn,
            project=str(self.settings.root),
            plugin=__version__,
            asked=requested(self.settings),
            boot=boot(),
        )

    @contextlib.contextmanager
    def recorded(self, kept: Kept, record: Record) -> Iterator[None]:
        """Record a server before it is made, and end it if the block fails.

        So whatever is begun can be ended, by a later run if this process is killed.
        """
        kept.write(record)
        try:
            yield
        except BaseException:
            if not self.end(kept.read() or record):  # the block may know more of it by now
                kept.empty()
            raise
