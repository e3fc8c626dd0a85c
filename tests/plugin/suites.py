"""Projects with suites, and what their runs print."""

from __future__ import annotations

import re
from collections.abc import Iterable

import pytest

from tests.plugin.projects import Project

PASSES = "def test_one(): pass\n"


class Suites:
    """A project of which only the tests matter; no run of it has to do with a database."""

    def __init__(self, project: Project) -> None:
        self.project = project
        self.path = project.path

    def files(self, **texts: str) -> None:
        """Write modules of tests: `unit="..."` is `tests/unit/test_it.py`."""
        for name, text in texts.items():
            self.write(f"tests/{name}/test_it.py", text)

    def write(self, name: str, text: str) -> None:
        """Write a file, its text dedented."""
        self.project.write(name, text)

    def ini(self, lines: str = "") -> None:
        """Write a `pytest.ini` with these lines."""
        self.project.ini(lines)

    def run(self, *arguments: str, plugins: Iterable[str] = ("xdist",)) -> pytest.RunResult:
        """Run its tests, with our plugin and the named ones only."""
        return self.project.run(*arguments, server="", plugins=plugins)


def verdict(result: pytest.RunResult) -> str:
    """Return the last line without rulers and seconds: `1 failed, 2 passed`."""
    return re.sub(r" in [\d.]+s( \([\d:]+\))?$", "", result.outlines[-1].strip("= "))


def rows(result: pytest.RunResult) -> dict[str, list[str]]:
    """Return the table of suites: by suite, what is in its columns but the seconds."""
    lines = result.outlines
    begin = next(n for n, line in enumerate(lines) if line.strip("= ") == "suites")
    titles = lines[begin + 1].split()
    found: dict[str, list[str]] = {}
    for line in lines[begin + 2 :]:
        cells = line.split()
        if len(cells) != len(titles) or line.startswith("="):
            break
        found[cells[0]] = cells[1:-2] + cells[-1:]
    return found


def between(result: pytest.RunResult, first: str, last: str) -> list[str]:
    """Return the lines from the one that begins with `first` up to the one with `last`."""
    lines = result.outlines
    begin = next(n for n, line in enumerate(lines) if line.startswith(first))
    end = next(n for n in range(begin, len(lines)) if lines[n].strip("= ").startswith(last))
    return lines[begin:end]
