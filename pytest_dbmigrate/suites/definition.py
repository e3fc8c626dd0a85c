"""Definition of suites: a name for each, and the tests that it selects. Pure but for paths.

The lines of `dbmigrate_suites`, or folders with conventional names, become one value.
"""

from __future__ import annotations

import glob
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Literal

from pytest_dbmigrate.errors import SettingError

AUTO = "auto"
OTHER = "other"
_HOW = "a line is NAME: FOLDER ..., NAME: -m EXPRESSION, or auto"

Kind = Literal["folders", "marker", "database", "rest"]


@dataclass(frozen=True)
class Suite:
    """One suite: all tests in its folders, or those that a marker expression selects.

    A `database` suite has the tests whose fixtures use a database, a `rest` suite has the tests
    of no other suite.
    """

    name: str
    kind: Kind
    paths: tuple[str, ...] = ()  # absolute, as the user spelled them: symbolic links not resolved
    expression: str = ""

    @property
    def rule(self) -> str:
        """What the suite selects, in words for the terminal."""
        if self.kind == "marker":
            return f"-m {self.expression}"
        if self.kind == "folders":
            return " ".join(os.path.relpath(path) for path in self.paths)
        return "tests with a database" if self.kind == "database" else "all other tests"


@dataclass(frozen=True)
class Suites:
    """All suites of a project, in the order they run; exactly one takes the remaining tests."""

    all: tuple[Suite, ...]

    @cached_property
    def names(self) -> tuple[str, ...]:
        """The names of all suites."""
        return tuple(suite.name for suite in self.all)

    @cached_property
    def loose(self) -> tuple[Suite, ...]:
        """The suites without folders: whether they have a test is known once it is collected."""
        return tuple(suite for suite in self.all if suite.kind != "folders")

    @cached_property
    def _owners(self) -> dict[str, Suite]:
        return {os.path.realpath(path): suite for suite in self.all for path in suite.paths}

    def named(self, name: str) -> Suite:
        """Return the suite of this name."""
        return next(suite for suite in self.all if suite.name == name)

    def of_path(self, path: str | os.PathLike[str]) -> Suite | None:
        """Return the suite whose folders contain the path, or None.

        A symbolic link inside a suite's folder belongs to that suite wherever it points, unless
        it points to a folder of another suite; a link elsewhere belongs where it points.
        """
        for place in (*upwards(os.path.abspath(path)), *upwards(real(path))):
            if (owner := self._owners.get(real(place))) is not None:
                return owner
        return None

    def leads_to(self, path: str | os.PathLike[str], suite: Suite) -> bool:
        """Return whether a folder of the suite, or a link to one, lies below this path."""
        above = {real(it) for folder in suite.paths for it in upwards(folder)[1:]}
        beside = {it for folder in suite.paths for it in upwards(real(folder))[1:]}
        return real(path) in above | beside


def real(path: str | os.PathLike[str]) -> str:
    """Return the absolute path without symbolic links."""
    return _real(os.path.abspath(path))


@lru_cache(maxsize=65536)  # called for each collected file and every folder above it
def _real(path: str) -> str:
    return os.path.realpath(path)


def upwards(path: str) -> list[str]:
    """Return the path and all its parents."""
    return [path, *(str(parent) for parent in Path(path).parents)]


def conventional(folders: Mapping[str, Sequence[str]]) -> Suites:
    """Return the suites whose folders have the conventional names."""
    return _with_rest(
        [
            Suite(name, "folders", tuple(os.path.abspath(path) for path in paths))
            for name, paths in folders.items()
        ]
    )


def parse(lines: Iterable[str], folder: Path) -> Suites:
    """Return the suites that the lines of `dbmigrate_suites` define.

    The settings have checked the syntax of each line already. Relative paths start at `folder`.
    Raises `SettingError`.
    """
    suites: list[Suite] = []
    is_auto = False
    for line in lines:
        if line.strip() == AUTO:
            is_auto = True
        else:
            suites.append(_parse_line(line.strip(), folder))
    if is_auto:
        suites += [Suite("unit", "rest"), Suite("integration", "database")]
    names = [suite.name for suite in suites]
    for name in names:
        if names.count(name) > 1:
            also = " (auto defines unit and integration)" if is_auto else ""
            raise SettingError(
                f"dbmigrate_suites defines suite {name} twice{also}",
                todo=("name all its folders in one line",),
            )
    _refuse_overlap(suites)
    return _with_rest(suites)


def _with_rest(suites: list[Suite]) -> Suites:
    """Return the suites, with `other` added if none of them takes the remaining tests."""
    if not any(suite.kind == "rest" for suite in suites):
        suites.append(Suite(OTHER, "rest"))
    return Suites(tuple(suites))


def _parse_line(line: str, folder: Path) -> Suite:
    name, _, rule = (part.strip() for part in line.partition(":"))
    if name == OTHER:
        raise SettingError(
            "dbmigrate_suites defines suite other, which has the tests of no suite",
            todo=("give it another name",),
        )
    if not rule or rule == "-m":
        raise SettingError(
            f"suite {name} is empty: no folder and no expression stands behind its name",
            todo=(_HOW,),
        )
    if rule.split()[0] == "-m":
        return Suite(name, "marker", expression=rule[2:].strip().strip("\"'"))
    return Suite(name, "folders", _expand(name, rule.split(), folder))


def _expand(name: str, patterns: list[str], folder: Path) -> tuple[str, ...]:
    """Return the folders that a suite's patterns match; an error if one matches nothing."""
    folders: list[str] = []
    for pattern in patterns:
        if pattern.startswith("-"):
            raise SettingError(
                f"suite {name} has an option among its folders: {pattern}", todo=(_HOW,)
            )
        paths = sorted(glob.glob(str(folder / pattern), recursive=True))
        if not paths:
            raise SettingError(
                f"suite {name} names {pattern}, which does not exist",
                tried=(str(folder / pattern),),
                todo=_nearest(folder, pattern),
            )
        folders += [os.path.abspath(path) for path in paths]
    return tuple(dict.fromkeys(folders))


def _nearest(folder: Path, pattern: str) -> tuple[str, ...]:
    """Return the advice: the existing path with the most similar name, if there is one."""
    parent, _, name = pattern.rstrip("/").rpartition("/")
    siblings = sorted(it.name for it in (folder / parent).glob("*"))
    import difflib  # costs two milliseconds, and only an error needs it

    near = difflib.get_close_matches(name, siblings, 1)
    if near:
        return (f"did you mean {'/'.join(filter(None, (parent, near[0])))}?",)
    return ("make the folder, or correct dbmigrate_suites",)


def _refuse_overlap(suites: list[Suite]) -> None:
    owners = [(os.path.realpath(path), suite.name) for suite in suites for path in suite.paths]
    # Every pair, in both orders: a folder and all its parents are compared with the other one.
    for inner, one in owners:
        for outer, other in owners:
            if one != other and outer in upwards(inner):
                where = os.path.relpath(inner)
                also = "" if inner == outer else f" is inside {os.path.relpath(outer)}"
                raise SettingError(
                    f"suites {other} and {one} overlap: {where}{also or ' is in both'}",
                    todo=("name folders of which none is inside another suite's",),
                )
