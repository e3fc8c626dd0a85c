"""Commands of other programs, run to their end without a terminal."""

from __future__ import annotations

import subprocess


def run(command: list[str], seconds: float | None = None) -> subprocess.CompletedProcess[str]:
    """Return how a command ended, and what it printed.

    Raises `subprocess.TimeoutExpired` if it takes more than so many seconds, and `OSError`
    if it cannot be started.
    """
    return subprocess.run(
        command,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=seconds,
        check=False,
    )
