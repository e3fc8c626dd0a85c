"""Plan of a run of suites: which suites a command selects, and the arguments of each."""

from __future__ import annotations

import fnmatch
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pytest_dbmigrate.errors import SettingError
from pytest_dbmigrate.suites.definition import Suite, Suites

_COLLECTS_FILES = "pytest_collect_file"  # a conftest with this hook may collect any file


@dataclass(frozen=True)
class Files:
    """The patterns of pytest for test files, and for folders that it never enters."""

    tests: tuple[str, ...]
    never: tuple[str, ...] = ()


@dataclass(frozen=True)
class Plan:
    """The selected suites in the order they run, each with the arguments it collects from."""

    suites: Suites
    arguments: Mapping[str, tuple[str, ...]]

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the selected suites."""
        return tuple(self.arguments)

    def needs_filter(self, name: str) -> bool:
        """Return whether the suite's arguments also collect tests of other suites."""
        suite = self.suites.named(name)
        if suite.kind != "folders":
            return len(self.suites.all) > 1
        return any(
            self.suites.of_path(path_of(argument)) != suite for argument in self.arguments[name]
        )


def path_of(argument: str) -> str:
    """Return the path of an argument that may be a node id."""
    return argument.partition("::")[0]


def make(suites: Suites, arguments: Sequence[str], files: Files, only: Sequence[str] = ()) -> Plan:
    """Return the plan for these arguments, limited to the suites in `only` unless it is empty.

    Relative arguments start at the working folder. An argument that is not a path, such as a
    package after `--pyargs`, goes to every suite. Raises `SettingError`.
    """
    for name in only:
        if name not in suites.names:
            raise SettingError(f"there is no suite {name}", todo=_nearest(name, suites.names))
    shares: dict[str, list[str]] = {name: [] for name in suites.names}
    for argument in arguments:
        for suite in _suites_for(suites, argument, files):
            shares[suite.name].append(argument)
    selected = {
        name: tuple(share) for name, share in shares.items() if share and (not only or name in only)
    }
    if only and not selected:
        raise SettingError(
            f"suite {', '.join(only)} has no test in {' '.join(arguments)}",
            todo=("name other paths, or another suite",),
        )
    return Plan(suites, selected)


def _suites_for(suites: Suites, argument: str, files: Files) -> Iterable[Suite]:
    """Return the suites that may have tests in what the argument names."""
    path = path_of(argument)
    owner = suites.of_path(path)
    if owner is not None:
        return [owner]
    if not os.path.exists(path):
        return suites.all
    below = [suite for suite in suites.all if suites.leads_to(path, suite)]
    if not os.path.isdir(path) or not below or _has_loose_tests(suites, path, files):
        return [suite for suite in suites.all if suite in below or suite in suites.loose]
    return below


def _has_loose_tests(suites: Suites, top: str, files: Files) -> bool:
    """Return whether there may be tests below a folder that are in no suite's folders."""
    # Changing `below` in place tells os.walk which folders to enter.
    for folder, below, names in os.walk(top):
        if "pyvenv.cfg" in names:
            below.clear()
            continue
        below[:] = [
            name
            for name in below
            if not _matches(os.path.join(folder, name), files.never)
            and suites.of_path(os.path.join(folder, name)) is None
        ]
        for name in names:
            path = os.path.join(folder, name)
            if _matches(path, files.tests) and suites.of_path(path) is None:
                return True
            if name == "conftest.py" and _COLLECTS_FILES in Path(path).read_text(errors="replace"):
                return True
    return False


def _matches(path: str, patterns: Iterable[str]) -> bool:
    """Return whether one of the patterns matches the path, by the rules of pytest."""
    name = os.path.basename(path)
    return any(
        fnmatch.fnmatch(path, f"*/{pattern}")
        if os.sep in pattern
        else fnmatch.fnmatch(name, pattern)
        for pattern in patterns
    )


def _nearest(name: str, names: Sequence[str]) -> tuple[str, ...]:
    import difflib

    near = difflib.get_close_matches(name, names, 1)
    return (f"did you mean {near[0]}?" if near else f"there are {', '.join(names)}",)
