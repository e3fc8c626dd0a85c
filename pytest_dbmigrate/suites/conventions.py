"""The folders by which a project has suites without a word of configuration."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterable

NAMES = ("unit", "integration", "functional", "e2e")  # in this order they run
_BASES = ("tests", "test")


def suites(root: str, testpaths: Iterable[str]) -> dict[str, list[str]]:
    """Return the suites' names with their folders; nothing unless two lie side by side.

    They are looked for in `testpaths`, which may be patterns, else in the tests' usual folders;
    all of them relative to `root`.
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
    found: dict[str, list[str]] = {}
    for base in bases:
        there = {name: os.path.join(base, name) for name in NAMES}
        there = {name: path for name, path in there.items() if os.path.isdir(path)}
        if len(there) > 1:
            for name, path in there.items():
                found.setdefault(name, []).append(path)
    return {name: found[name] for name in NAMES if name in found}
