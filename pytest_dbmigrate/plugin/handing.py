"""The files that carry the address of this process's database, for as long as it lives."""

from __future__ import annotations

import contextlib
import tempfile
from pathlib import Path

from pytest_dbmigrate import handover
from pytest_dbmigrate.dsn import Dsn
from pytest_dbmigrate.envfiles import EnvFile


class Handed:
    """The files of `dbmigrate_env_file`; `environ` are the variables that hold their paths."""

    def __init__(
        self, files: tuple[EnvFile, ...], dsn: Dsn, place: tuple[Path, str] | None, *, alone: bool
    ) -> None:
        """Write them. Raises `SettingError`.

        `place` is the run's folder and this process's name in it; None where no test is run,
        and there is no run. `alone` tells whether this is the run's one process.
        """
        with contextlib.ExitStack() as stack:
            for file in files:
                if file.target and not alone:
                    raise handover.refuse_to_share(file)
                is_there = place is None and Path(file.target).exists()  # as good as any
                if file.target and not is_there:
                    stack.enter_context(handover.standing(file, dsn))
            if place is None:
                place = Path(stack.enter_context(tempfile.TemporaryDirectory())), "nobody"
            folder = place[0] / handover.FOLDER / place[1]
            self.environ = stack.enter_context(handover.private(files, dsn, folder))
            self._stack = stack.pop_all()

    def remove(self) -> None:
        """Remove them; safe to call twice."""
        self._stack.close()
