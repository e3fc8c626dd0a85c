"""The command that drops databases on a server that stays: what a guardian or `stop` runs."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from pytest_dbmigrate.addresses.dsn import Dsn
from pytest_dbmigrate.runs.files import write_private

ADDRESS = "address.json"
_MODULE = "pytest_dbmigrate.databases.sweep"  # named, not imported: rooms do not know each other
_CODE = """
import sys
own = [entry for entry in sys.path if entry]
sys.path[:] = own + [entry for entry in {path!r} if entry not in own]
from {module} import main
main({folder!r}, {home!r}, may_be_gone={may_be_gone}, unless_used={unless_used})
"""


def command(
    folder: Path, home: str, *, may_be_gone: bool = False, unless_used: bool = False
) -> list[str]:
    """Return the command that drops what the owner of `folder` has on the server.

    The folder's name is the owner's id: a run's, or a project's where it is `home`, the id
    in the control database's name. Its file `ADDRESS` says where the server is; one of our
    own `may_be_gone`, and nothing is left to do then. `unless_used` lets it fail if a living
    run is connected to the control database.
    """
    code = _CODE.format(
        path=[str(Path(entry).resolve()) for entry in sys.path],
        module=_MODULE,
        folder=str(folder),
        home=home,
        may_be_gone=may_be_gone,
        unless_used=unless_used,
    )
    return [sys.executable, "-c", code]


def write_address(folder: Path, dsn: Dsn, kind: str, reason: str) -> None:
    """Write down where the server is, for the command and for other processes of a run."""
    record = {"dsn": dsn.as_record(), "kind": kind, "reason": reason}
    write_private(folder / ADDRESS, json.dumps(record))
