"""Whom the embedded server runs as: Postgres refuses root, so root steps down."""

from __future__ import annotations

import os
import pwd
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pytest_dbmigrate.errors import ServerError

_UNPRIVILEGED = ("postgres", "nobody")


@dataclass(frozen=True)
class Account:
    """A Unix account; `uid` and `gid` are None for the one we already are."""

    name: str
    uid: int | None = None
    gid: int | None = None

    def drop(self) -> dict[str, Any]:
        """Return the keywords with which `subprocess` starts a process as this account."""
        if self.uid is None:
            return {}
        return {"user": self.uid, "group": self.gid, "extra_groups": []}

    def own(self, path: Path) -> None:
        """Give a file or folder that we have just made to the account."""
        if self.uid is not None and self.gid is not None:
            os.chown(path, self.uid, self.gid)


def account() -> Account:
    """Return the account for a server: ours, or an unprivileged one if we are root.

    Raises `ServerError` if root has nobody to step down to.
    """
    if os.geteuid() != 0:
        if not _is_named():
            raise ServerError(
                f"Postgres does not run as user {os.geteuid()}, who has no name here",
                tried=("looking the user up in /etc/passwd",),
                todo=("add an entry for it, or use --db-server=docker or a postgresql:// URL",),
            )
        return Account(pwd.getpwuid(os.geteuid()).pw_name)
    for name in _UNPRIVILEGED:
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return Account(name, entry.pw_uid, entry.pw_gid)
    raise ServerError(
        "Postgres does not run as root, and there is no unprivileged account to run it as",
        tried=_UNPRIVILEGED,
        todo=("add an account named postgres, or run the tests as an ordinary user",),
    )


def _is_named() -> bool:
    try:
        pwd.getpwuid(os.geteuid())
    except KeyError:  # a container started with --user NUMBER
        return False
    return True
