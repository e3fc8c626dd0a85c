"""What a suite is: a name, and the tests it stands for."""

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
    """One suite: all tests in its folders, or that an expression of markers selects.

    The tests of `database` are those whose fixtures reach one; `rest` has what nobody else has.
    """

    name: str
    kind: Kind
    paths: tuple[str, ...] = ()  # absolute, as they were named: symbolic links are left in them
    expression: str = ""

    @property
    def rule(self) -> str:
        """What stands behind the name, for the eye."""
        if self.kind == "marker":
            return f"-m {self.expression}"
        if self.kind == "folders":
            return " ".join(os.path.relpath(path) for path in self.paths)
        return "tests with a database" if self.kind == "database" else "all other tests"


@dataclass(frozen=True)
class Suites:
    """All the suites of a project, in the order they run; one of them takes the rest."""

    all: tuple[Suite, ...]

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Their names."""
        return tuple(suite.name for suite in self.all)

    @cached_property
    def loose(self) -> tuple[Suite, ...]:
        """Those that are no folders: what test is theirs is known once it is collected."""
        return tuple(suite for suite in self.all if suite.kind != "folders")

    @cached_property
    def _owners(self) -> dict[str, Suite]:
        return {os.path.realpath(path): suite for suite in self.all for path in suite.paths}

    def named(self, name: str) -> Suite:
        """Return the suite of this name."""
        return next(suite for suite in self.all if suite.name == name)

    def of_path(self, path: str | os.PathLike[str]) -> Suite | None:
        """Return the suite in whose folders the path lies, or None.

        A link in a suite's folder lies there, wherever it leads, unless it leads to a suite's
        folder; a link elsewhere lies where it leads.
        """
        for place in (*upwards(os.path.abspath(path)), *upwards(real(path))):
            if (found := self._owners.get(real(place))) is not None:
                return found
        return None

    def leads_to(self, path: str | os.PathLike[str], suite: Suite) -> bool:
        """Return whether a folder of the suite lies below this path, or a link to it does."""
        above = {real(it) for folder in suite.paths for it in upwards(folder)[1:]}
        beside = {it for folder in suite.paths for it in upwards(real(folder))[1:]}
        return real(path) in above | beside


def real(path: str | os.PathLike[str]) -> str:
    """Return the absolute path without symbolic links."""
    return _real(os.path.abspath(path))


@lru_cache(maxsize=65536)  # asked for each file that is collected, and all that is above it
def _real(path: str) -> str:
    return os.path.realpath(path)


def upwards(path: str) -> list[str]:
    """Return the path and all its parents."""
    return [path, *(str(parent) for parent in Path(path).parents)]


def conventional(found: Mapping[str, Sequence[str]]) -> Suites:
    """Return the suites whose folders have the conventional names."""
    return _complete(
        [
            Suite(name, "folders", tuple(os.path.abspath(path) for path in paths))
            for name, paths in found.items()
        ]
    )


def parse(lines: Iterable[str], folder: Path) -> Suites:
    """Return the suites that the lines of `dbmigrate_suites` define.

    They are as the settings have let them through. Relative paths start at `folder`.
    Raises `SettingError`.
    """
    suites: list[Suite] = []
    is_auto = False
    for line in lines:
        if line.strip() == AUTO:
            is_auto = True
        else:
            suites.append(_suite(line.strip(), folder))
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
    return _complete(suites)


def _complete(suites: list[Suite]) -> Suites:
    if not any(suite.kind == "rest" for suite in suites):
        suites.append(Suite(OTHER, "rest"))
    return Suites(tuple(suites))


def _suite(line: str, folder: Path) -> Suite:
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
    return Suite(name, "folders", _folders(name, rule.split(), folder))


def _folders(name: str, patterns: list[str], folder: Path) -> tuple[str, ...]:
    found: list[str] = []
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
        found += [os.path.abspath(path) for path in paths]
    return tuple(dict.fromkeys(found))


def _nearest(folder: Path, pattern: str) -> tuple[str, ...]:
    """Return a question with the nearest path there is, or what to do without one."""
    parent, _, name = pattern.rstrip("/").rpartition("/")
    siblings = sorted(it.name for it in (folder / parent).glob("*"))
    import difflib  # two milliseconds that every run would pay for

    near = difflib.get_close_matches(name, siblings, 1)
    if near:
        return (f"did you mean {'/'.join(filter(None, (parent, near[0])))}?",)
    return ("make the folder, or correct dbmigrate_suites",)


def _refuse_overlap(suites: list[Suite]) -> None:
    owners = [(os.path.realpath(path), suite.name) for suite in suites for path in suite.paths]
    for inner, one in owners:
        for outer, other in owners:
            if one != other and outer in upwards(inner):
                where = os.path.relpath(inner)
                also = "" if inner == outer else f" is inside {os.path.relpath(outer)}"
                raise SettingError(
                    f"suites {other} and {one} overlap: {where}{also or ' is in both'}",
                    todo=("name folders of which none is inside another suite's",),
                )
