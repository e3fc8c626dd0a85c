"""Plan of an upgrade: the scripts that Alembic knows, and which of them are to be applied."""

from __future__ import annotations

import os
from typing import Any

from alembic.config import Config
from alembic.script import ScriptDirectory
from alembic.util import CommandError

from pytest_dbmigrate.errors import MigrationError, StaleStateError
from pytest_dbmigrate.migrations.messages import Script


class Plan:
    """What is to be applied: all revisions on the way to a target.

    With `is_resumed` the database has revisions of an earlier run; that they do not lead to
    the target any more is then no fault of the scripts.
    """

    def __init__(self, target: tuple[str, ...], *, is_resumed: bool = False) -> None:
        self.target = target
        self.is_reading = False  # the scripts, so that an error is theirs
        self._is_resumed = is_resumed

    @property
    def destination(self) -> str:
        """The target as env.py may ask for it."""
        return self.target[0] if len(self.target) == 1 else "heads"

    def steps(self, script: ScriptDirectory, heads: Any) -> list[Any]:
        """Return Alembic's own steps from the heads that the database has.

        Raises `MigrationError`, or `StaleStateError` if a build cannot be resumed.
        """
        self.is_reading = True
        target = target_of(script, self.target)
        self.is_reading = False
        try:
            return script._upgrade_revs(target, heads)  # type: ignore[arg-type]  # noqa: SLF001  # as alembic.command does
        except CommandError as error:
            if self._is_resumed:
                raise StaleStateError(str(error)) from error
            raise MigrationError(
                f"the migrations cannot be run to {' '.join(self.target)}: {error}",
                todo=("see `alembic history`; dbmigrate_target names another revision",),
            ) from error


def target_of(script: ScriptDirectory, target: tuple[str, ...]) -> str | tuple[str, ...]:
    """Return the target as Alembic takes it.

    Raises `MigrationError` for several heads, and for a gap in the chain of revisions.
    """
    try:
        heads = script.get_heads()
    except KeyError as gap:  # what Alembic's revision map raises
        raise MigrationError(
            f"no script has revision {gap.args[0]}, which another revision follows",
            tried=(f"reading the scripts in {script.dir}",),
            todo=(f"restore it, or correct the script that has down_revision = {gap.args[0]!r}",),
        ) from gap
    if target == ("head",) and len(heads) > 1:
        raise MigrationError(
            f"the migrations have {len(heads)} heads: {', '.join(sorted(heads))}",
            todo=(
                f'merge them: alembic merge -m "merge heads" {" ".join(sorted(heads))}',
                "or migrate to all of them: dbmigrate_target = heads",
            ),
        )
    return target[0] if len(target) == 1 else target


def paths(script: ScriptDirectory) -> list[str]:
    """Return the paths of all revisions' files."""
    return [os.path.realpath(it.path) for it in script.walk_revisions()]


def listing(config: Config) -> tuple[Script, ...]:
    """Return all revisions that the scripts know, the first ones first."""
    known = list(ScriptDirectory.from_config(config).walk_revisions())
    return tuple(Script(it.revision, it.doc or "") for it in reversed(known))
