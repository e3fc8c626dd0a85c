"""Time that passes, whatever a test has done to the `time` module.

Our waits happen between tests too, and there a frozen clock would last for ever:
libraries that freeze it leave `clock_gettime` alone, and what is imported by name here
is not reached by a patched `time.sleep`.
"""

from __future__ import annotations

from time import CLOCK_MONOTONIC, clock_gettime, sleep

__all__ = ["now", "sleep"]


def now() -> float:
    """Return the seconds of a clock that only goes forward."""
    return clock_gettime(CLOCK_MONOTONIC)
