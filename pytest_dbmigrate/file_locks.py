"""Locks on files, in the two kinds that Unix has; the kernel frees either when its holder dies.

A *record lock* (`fcntl`) belongs to a process. No child inherits it, so a process that a test has
forked and left behind keeps nothing alive: it tells whether a run's owner and its guardian live.
The price: closing any descriptor of the file in that process gives the lock up, so the file must
not be opened there a second time. It waits for other processes alone, never for its own.

A *flock* belongs to an open file: to all processes that have inherited the descriptor, until the
last of them closes it. Another descriptor of the same file is a stranger to it, opened and closed
as anybody likes. So it is the one for a block that one process or thread at a time may enter, for
a program that is to hold the lock along with its children (initdb), and for a file that the
application reads in this very process.

The two kinds do not see each other on Linux: a file has either one or the other. Standard library
only: the guardian uses this.
"""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from typing import IO


def record_lock(descriptor: int) -> None:
    """Take the record lock of a file opened for writing; wait until no other process has it."""
    fcntl.lockf(descriptor, fcntl.LOCK_EX)


def is_record_locked(path: Path) -> bool:
    """Return whether another process holds the record lock of a file.

    Not to be asked of a lock of this process: it would be given up.
    """
    try:
        file = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return True
    else:
        return False
    finally:
        os.close(file)


def flock(file: int | IO[str] | IO[bytes]) -> None:
    """Take the flock of an open file; wait until no other open file has it."""
    fcntl.flock(file, fcntl.LOCK_EX)


def try_flock(file: int | IO[str] | IO[bytes]) -> bool:
    """Take the flock of an open file if it is free; return whether it is taken now."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
