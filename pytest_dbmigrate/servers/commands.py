"""Other programs' commands, run to their end with nobody to ask."""

from __future__ import annotations

import subprocess


def run(command: list[str], seconds: float | None = None) -> subprocess.CompletedProcess[str]:
    """Return how a command ended, and what it said.

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
