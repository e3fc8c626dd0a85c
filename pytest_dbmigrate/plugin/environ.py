"""Environment of this process: the variables and files that carry the database's address.

What was there before is put back when the run ends.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from pytest_dbmigrate.addresses.dsn import Dsn
    from pytest_dbmigrate.addresses.files import AddressFiles
    from pytest_dbmigrate.settings.values import Settings

# libpq's variables that lead past the host of an address, and those that demand of a
# server what one of our own does not do
ELSEWHERE = ("PGHOSTADDR", "PGSERVICE", "PGSERVICEFILE")
DEMANDS = (
    "PGCHANNELBINDING",
    "PGCLIENTENCODING",
    "PGGSSENCMODE",
    "PGOPTIONS",
    "PGREQUIREAUTH",
    "PGSSLMODE",
    "PGTARGETSESSIONATTRS",
)


class Environ:
    """What the plugin changes in the environment of its process."""

    def __init__(self) -> None:
        self._ours: Mapping[str, str] = {}
        self._before: dict[str, str | None] = {}
        self._files: AddressFiles | None = None

    @property
    def has_address(self) -> bool:
        """Whether `carry` has been called."""
        return bool(self._ours) or self._files is not None

    def carry(
        self, settings: Settings, dsn: Dsn, place: tuple[Path, str] | None, *, alone: bool
    ) -> None:
        """Write an address to the configured variables and files. Raises `SettingError`.

        `place` is the run's folder and this process's name in it, None where no test is run;
        `alone` tells whether this is the run's one process.
        """
        paths: Mapping[str, str] = {}
        if settings.env_file:
            from pytest_dbmigrate.addresses.files import AddressFiles

            self._files = AddressFiles(settings.env_file, dsn, place, alone=alone)
            paths = self._files.environ
        self._ours = {**settings.environ_for(dsn), **paths}
        for name, value in self._ours.items():
            self._before[name] = os.environ.get(name)
            os.environ[name] = value

    def overridden(self) -> str:
        """Return the name of a configured variable that other code has set to something else."""
        names = (name for name, value in self._ours.items() if os.environ.get(name) != value)
        return next(names, "")

    def take_out(self, names: Iterable[str]) -> None:
        """Remove variables from the environment; `restore` puts them back."""
        for name in names:
            if name in os.environ:
                self._before[name] = os.environ.pop(name)

    def restore(self) -> None:
        """Put the variables back as they were, and remove the files; safe to call twice."""
        for name, before in self._before.items():
            if before is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = before
        if self._files is not None:
            self._files.remove()
