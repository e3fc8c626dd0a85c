"""Projects with suites, and what their runs print."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable

import pytest

from tests.plugin.projects import Project

PASSES = "def test_one(): pass\n"
PLAIN = ("--db-suites=off", "--import-mode=importlib")
SOME = """
import warnings

import pytest

@pytest.fixture
def broken():
    yield
    raise RuntimeError("teardown")

class Odd(UserWarning):
    def __init__(self, one, two):
        super().__init__(one, two)

def test_passes(): pass

@pytest.mark.slow
def test_fails(): assert 0

def test_is_skipped(): pytest.skip("not today")

@pytest.mark.xfail
def test_is_expected_to_fail(): assert 0

@pytest.mark.xfail
def test_passes_unexpectedly(): pass

def test_errs(broken): pass

def test_warns(): warnings.warn(Odd("left", "right"))

@pytest.mark.parametrize("number", range(4))
def test_number(number): assert number != 3
"""

_plain: dict[tuple[str, ...], pytest.RunResult] = {}  # by the texts of the project, too


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

    def mix(self) -> None:
        """Write suites with tests of every outcome, and one test in neither."""
        self.ini("markers = slow")
        self.files(unit=SOME, integration=SOME)
        self.write("tests/test_loose.py", PASSES)

    def ini(self, lines: str = "") -> None:
        """Write a `pytest.ini` with these lines."""
        self.project.ini(lines)

    def forget(self) -> None:
        """Remove what tests and runs have noted for later ones."""
        for file in self.path.rglob("*.seen"):
            file.unlink()

    def run(self, *arguments: str, plugins: Iterable[str] = ("xdist",)) -> pytest.RunResult:
        """Run its tests, with our plugin and the named ones only."""
        return self.project.run(*arguments, server="", plugins=plugins)

    def plain(self, *arguments: str) -> pytest.RunResult:
        """Return what plain pytest comes to: it runs once for all tests with the same project.

        Not for options that write a file.
        """
        files = sorted(it for it in self.path.rglob("*") if it.suffix in (".py", ".ini"))
        texts = [f"{it.relative_to(self.path)}\n{it.read_text(encoding='utf-8')}" for it in files]
        key = (hashlib.sha256("\0".join(texts).encode()).hexdigest(), *arguments)
        if key not in _plain:
            _plain[key] = self.run(*PLAIN, *arguments)
        return _plain[key]


def verdict(result: pytest.RunResult) -> str:
    """Return the last line without rulers and seconds: `1 failed, 2 passed`."""
    return counts(result.outlines[-1])


def counts(line: str) -> str:
    """Return a run's last line without rulers and seconds."""
    return re.sub(r" in [\d.]+s( \([\d:]+\))?$", "", line.strip("= "))


def outcomes(result: pytest.RunResult) -> list[str]:
    """Return each test's line in the short summary, sorted."""
    begin = ("PASSED", "FAILED", "SKIPPED", "XFAIL", "XPASS", "ERROR")
    # why a module could not be collected is said above only, or here too
    return sorted(
        re.sub(r"^(ERROR .*) - ImportError .*", r"\1", it)
        for it in result.outlines
        if it.startswith(begin)
    )


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
