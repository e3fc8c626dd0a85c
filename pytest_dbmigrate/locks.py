"""The advisory locks in a control database: one namespace, three kinds of owner.

A lock is held by a session of the server, and a dead process's session ends: so it needs no
clock and no process id to know whether the owner of something lives.
"""

from __future__ import annotations

RUN = 1  # shared, by every process of a run with a connection of ours
BUILD = 2  # by the migration child that works on a build
TEMPLATE = 3  # shared, by every process that copies from a template
_HALF = 1 << 31


def key(token: str) -> int:
    """Return the number of a run or build: its eight hexadecimal digits as a signed integer."""
    number = int(token, 16)
    return number - 2 * _HALF if number >= _HALF else number
