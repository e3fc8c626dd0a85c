"""Names of options: `--db-NAME` gives way where another plugin or a conftest file has it.

pytest refuses two options of one name: since 9.0 as soon as the second is added, before that
when it parses the command line. So the short spellings are known to its parser only while it
parses, and only those that nobody else has added by then. The long ones, `--dbmigrate-NAME`,
are ordinary options. This is the one module that touches private parts of pytest's parser.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import Any, cast

import pytest

_TYPED = "dbmigrate_spellings"  # the attribute of pytest's namespace, beside the options' own


class Store(argparse.Action):
    """Stores the value of an option, and beside it the spelling that was typed."""

    def __init__(self, *, is_repeatable: bool = False, **attributes: Any) -> None:
        super().__init__(**attributes)
        self._is_repeatable = is_repeatable

    def __call__(
        self,
        parser: argparse.ArgumentParser,  # noqa: ARG002  # argparse's signature
        namespace: argparse.Namespace,
        values: Any,
        option_string: str | None = None,
    ) -> None:
        """Store both."""
        value = self.const if self.nargs == 0 else values
        if self._is_repeatable:
            value = [*(getattr(namespace, self.dest, None) or ()), value]
        setattr(namespace, self.dest, value)
        setattr(namespace, _TYPED, {**typed(namespace), self.dest: option_string})


def typed(namespace: argparse.Namespace) -> Mapping[str, str]:
    """Return the spelling of each option that was given, by the option's dest."""
    found: Mapping[str, str] = getattr(namespace, _TYPED, {})
    return found


@dataclass(frozen=True)
class _Option:
    """An option of ours: pytest's object, and since pytest 9.0 argparse's own."""

    long: str
    argument: Any
    action: argparse.Action | None

    def remove(self, short: str) -> None:
        """Forget a spelling, also in the text of `--help`."""
        names = getattr(self.argument, "_long_opts", None)  # a list of its own before pytest 9.1
        for spellings in (names, self.action and self.action.option_strings):
            if spellings and short in spellings:
                cast("list[str]", spellings).remove(short)


class OptionNames:
    """Adds options in two spellings, and tells which short ones other plugins have."""

    def __init__(self, parser: pytest.Parser, group: pytest.OptionGroup) -> None:
        self._parser: Any = parser  # of which private parts are used below
        self._group: Any = group
        self._short: dict[str, _Option] = {}  # by the short spellings that are still ours
        self.given_up: dict[str, str] = {}  # the long spellings, by the short ones
        for method in ("parse", "parse_known_and_unknown_args"):
            setattr(parser, method, self._around(getattr(parser, method)))

    def add(self, short: str, long: str, **attributes: Any) -> None:
        """Add an option; in its long spelling alone if the short one is taken."""
        is_taken = short in self._names_of_others()
        self._group.addoption(*((long,) if is_taken else (short, long)), **attributes)
        if is_taken:
            self.given_up[short] = long
        else:
            self._short[short] = _Option(long, self._group.options[-1], self._actions().get(long))
            self._hide()

    def pytest_configure(self, config: pytest.Config) -> None:
        """Refuse an option that was read as ours before somebody else added it."""
        early = set(typed(config.known_args_namespace).values()) - ignored(config)
        for short in early & self.given_up.keys():
            raise pytest.UsageError(
                f"dbmigrate: {short} was read as an option of pytest-dbmigrate before a conftest "
                "file or a plugin that it loads added its own\n"
                f"  to do: say {self.given_up[short]} for the one of pytest-dbmigrate,\n"
                "         or add the other one in the text of the conftest.py file itself"
            )

    def header(self) -> list[str]:
        """Return a line on the short spellings that are options of others."""
        if not self.given_up:
            return []
        short, long = ", ".join(self.given_up), ", ".join(self.given_up.values())
        return [f"dbmigrate: another plugin or a conftest file has {short}: use {long}"]

    def _around(self, parse: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(parse)
        def wrapper(*args: Any, **kwargs: Any) -> Any:
            with self._show():
                return parse(*args, **kwargs)

        return wrapper

    @contextmanager
    def _show(self) -> Iterator[None]:
        """Have the short spellings in pytest's parser, but for those that are taken by now."""
        taken = self._names_of_others()
        for short in [it for it in self._short if it in taken]:
            option = self._short.pop(short)
            option.remove(short)
            self.given_up[short] = option.long
        for short, option in self._short.items():
            if option.action is not None:
                self._actions()[short] = option.action
        try:
            yield
        finally:
            self._hide()

    def _hide(self) -> None:
        """Take the short spellings out of pytest's parser, so that others can add them."""
        for short, option in self._short.items():
            if option.action is not None:
                self._actions().pop(short, None)

    def _actions(self) -> dict[str, argparse.Action]:
        """Return argparse's table of names, which before pytest 9.0 is a new one at each call."""
        optparser = getattr(self._parser, "optparser", None)
        actions: dict[str, argparse.Action] = getattr(optparser, "_option_string_actions", {})
        return actions

    def _names_of_others(self) -> set[str]:
        """Return the names of all options that are not ours."""
        groups = [*self._parser._groups, self._parser._anonymous]
        return {
            name
            for group in groups
            if group is not self._group
            for option in group.options
            for name in option.names()
        }


def ignored(config: pytest.Config) -> set[str]:
    """Return the spellings that were typed for a conftest file which is not imported yet.

    The settings are read before pytest imports any. So where a short spelling was typed, the
    text of the conftest files that pytest is about to import is searched for it.
    """
    namespace = config.known_args_namespace
    short = {it for it in typed(namespace).values() if not it.startswith(("--dbm", "--no-dbm"))}
    if not short or getattr(namespace, "noconftest", False):
        return set()
    texts = [path.read_text("utf-8", errors="replace") for path in _conftest_files(config)]
    return {
        spelling
        for spelling in short
        if any(re.search(rf"""["']{re.escape(spelling)}["']""", text) for text in texts)
    }


def _conftest_files(config: pytest.Config) -> Iterable[Path]:
    """Return the conftest files that pytest imports before it collects tests."""
    start = config.invocation_params.dir
    names = config.known_args_namespace.file_or_dir or config.getini("testpaths") or ["."]
    found: dict[Path, None] = {}
    for name in names:
        path = (start / str(name).partition("::")[0]).resolve()
        above = [it for it in path.parents if it.is_relative_to(config.rootpath)]
        folders = [path, *path.glob("test*"), *above]
        found |= {folder / "conftest.py": None for folder in folders}
    return [path for path in found if path.is_file()]
