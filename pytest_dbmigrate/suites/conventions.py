"""Conventional names of test folders, which make suites without any configuration."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterable

NAMES = ("unit", "integration", "functional", "e2e")  # in the order they run
_BASES = ("tests", "test")


def suites(root: str, testpaths: Iterable[str]) -> dict[str, list[str]]:
    """Return the suites' names with their folders; empty unless at least two lie side by side.

    The folders are searched for in `testpaths`, which may be patterns, else in `tests` and
    `test`; all relative to `root`.
    """
    patterns = [os.path.join(root, it) for it in testpaths]
    paths = [path for it in patterns for path in sorted(glob.glob(it, recursive=True))]
    bases: list[str] = []
    for path in map(os.path.normpath, paths or [os.path.join(root, name) for name in _BASES]):
        # `testpaths = tests/unit tests/integration` names the folders themselves
        folder, name = os.path.split(path)
        base = folder if name in NAMES else path
        if base not in bases:
            bases.append(base)
    suites: dict[str, list[str]] = {}
    for base in bases:
        candidates = {name: os.path.join(base, name) for name in NAMES}
        existing = {name: path for name, path in candidates.items() if os.path.isdir(path)}
        if len(existing) > 1:
            for name, path in existing.items():
                suites.setdefault(name, []).append(path)
    return {name: suites[name] for name in NAMES if name in suites}
