"""Parsers of settings: from the text of one value, or of one line, to what it means.

Each raises `ValueError` that says what the text can be. Paths become absolute here; modules
are left to whoever imports them.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pytest_dbmigrate.addresses.env_file import EnvFile

_TRUE, _FALSE = ("1", "true", "yes", "on"), ("0", "false", "no", "off", "")
_SUITE = r"[A-Za-z][A-Za-z0-9_-]*"
_REFERENCE = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_][\w.]*")
_ATTRIBUTE = re.compile(r"([A-Za-z_]\w*)\s*=\s*(.*)")


@dataclass(frozen=True)
class Attribute:
    """An entry for `config.attributes`: its name there, and the text that says what it is."""

    name: str
    value: str


def one_of(*words: str) -> Callable[[str], str]:
    """Return the parser of a setting that has only these values."""

    def parse(text: str) -> str:
        if text not in words:
            raise ValueError(f"it is one of {', '.join(words)}")
        return text

    return parse


def flag(text: str) -> bool:
    """Return what `true`, `0`, `on` and the like mean."""
    if text.lower() in _TRUE:
        return True
    if text.lower() in _FALSE:
        return False
    raise ValueError("it is true or false")


def seconds(text: str) -> float:
    """Return a number of seconds."""
    if not re.fullmatch(r"\d+(\.\d+)?", text) or float(text) <= 0:
        raise ValueError("it is a number of seconds above zero")
    return float(text)


def word(text: str) -> str:
    """Return one word, which is no option of a command."""
    if not text.strip() or text.startswith("-") or re.search(r"\s", text):
        raise ValueError("it is one word")
    return text


def suite_names(text: str) -> str:
    """Return the names of suites."""
    if not re.fullmatch(rf"{_SUITE}(\s*,\s*{_SUITE})*", text.strip()):
        raise ValueError("it is a name, or several with commas between them")
    return text.strip()


def suite(line: str) -> str:
    """Return the definition of a suite."""
    if not re.fullmatch(rf"auto|{_SUITE}\s*:.*", line.strip()):
        raise ValueError(f"{line.strip()!r} is not NAME: FOLDER ..., NAME: -m EXPRESSION, or auto")
    return line.strip()


def env_file(line: str, folders: tuple[Path, ...]) -> EnvFile:
    """Return a file that carries the address, with its paths made absolute."""
    from pytest_dbmigrate.addresses.env_file import EnvFile

    return EnvFile.parse(line).located(folders[0])


def is_reference(line: str) -> bool:
    """Whether a line is `module:function`."""
    return _REFERENCE.fullmatch(line) is not None


def step(line: str, folders: tuple[Path, ...]) -> str:
    """Return a line to be run before the first revision, the path of a file made absolute.

    It is a `.sql` file, `module:function`, or SQL. Raises `ValueError` for a missing file.
    """
    line = line.strip()
    if not line.endswith(".sql"):
        return line
    for folder in folders:
        if (folder / line).is_file():
            return str((folder / line).resolve())
    if re.search(r"\s", line):
        return line
    raise ValueError(f"there is no file {line}")


def reference(line: str) -> str:
    """Return `module:function` as it is. Raises `ValueError` if it is something else."""
    if not is_reference(line.strip()):
        raise ValueError("it is module:function")
    return line.strip()


def targets(line: str) -> tuple[str, ...]:
    """Return the revisions that a line names, at least one. Raises `ValueError`."""
    found = tuple(re.split(r"\s*,\s*|\s+", line.strip()))
    if any(not word or word.startswith("-") for word in found):
        raise ValueError("it is revisions with spaces between them")
    return found


def x_argument(line: str) -> str:
    """Return an argument as it is. Raises `ValueError` for one that is an option."""
    if line.startswith("-"):
        raise ValueError(f"{line!r} is an option: it is given without the -x before it")
    return line


def attribute(line: str) -> Attribute:
    """Return the attribute of a `name = value` line. Raises `ValueError`."""
    match = _ATTRIBUTE.fullmatch(line.strip())
    if not match:
        raise ValueError(f"{line.strip()!r} is not name = value")
    return Attribute(match[1], match[2].strip())
