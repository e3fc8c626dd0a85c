"""Private files of a run: readable by this user alone. Standard library only."""

from __future__ import annotations

import os
from pathlib import Path


def write_private(path: Path, text: str) -> None:
    """Write a file atomically that only this user can read."""
    scratch = path.with_name(f"{path.name}.{os.getpid()}")
    file = os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with open(file, "w", encoding="utf-8") as stream:
        stream.write(text)
    scratch.replace(path)


def open_private(path: str, flags: int) -> int:
    """Open a file that only this user can read: an `opener` for `open`."""
    return os.open(path, flags, 0o600)
