"""Kinds of settings: a flag, a number, a choice, a text, a path, lines.

Each knows its spellings, and resolves itself from what the user wrote for it. As a
descriptor it is also the typed attribute of `Settings` that has the value.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, Literal, Protocol, TypeVar, overload

from pytest_dbmigrate.settings import parsers
from pytest_dbmigrate.settings.server_request import ServerRequest

Source = Literal["option", "environment", "ini", "default", "hook"]
T = TypeVar("T")


@dataclass(frozen=True)
class Entry:
    """The text of a setting in one place: an option, a variable, or a key of the ini file.

    `value` is text, or in pytest's native TOML table any type of TOML. `folders` are where
    relative paths start: the first of them, or for lines the first that has such a path.
    """

    source: Source
    spelling: str
    value: object
    folders: tuple[Path, ...]


class HasValues(Protocol):
    """An object with a value for each setting: `Settings`."""

    @property
    def values(self) -> Mapping[str, Any]:
        """The values by the settings' names."""


class Spec(Generic[T]):
    """One setting: its name is `--db-NAME`, `dbmigrate_NAME` and `DBMIGRATE_NAME`.

    `--dbmigrate-NAME` is the option's long spelling, which no other plugin uses.
    """

    is_repeatable = False  # whether the option may be given several times

    def __init__(
        self,
        help_text: str,
        default: T,
        *,
        metavar: str = "",
        has_option: bool = True,
        has_ini: bool = True,
        option_name: str = "",
    ) -> None:
        """`option_name` is the option's, where it is not made from the setting's."""
        self.name = ""
        self.help = help_text
        self.default = default
        self.metavar = metavar
        self.has_option = has_option
        self.has_ini = has_ini
        self._option_name = option_name

    def __set_name__(self, owner: type[object], name: str) -> None:
        self.name = name

    @overload
    def __get__(self, instance: None, owner: type[object]) -> Spec[T]: ...
    @overload
    def __get__(self, instance: HasValues, owner: type[object]) -> T: ...
    def __get__(self, instance: HasValues | None, owner: type[object]) -> Spec[T] | T:
        if instance is None:
            return self
        value: T = instance.values[self.name]
        return value

    @property
    def option_name(self) -> str:
        """The option's name without a prefix."""
        return self._option_name or self.name.replace("_", "-")

    @property
    def option(self) -> str:
        """The option as the documentation spells it."""
        return f"--db-{self.option_name}"

    @property
    def long_option(self) -> str:
        """The spelling that no other plugin can take."""
        return f"--dbmigrate-{self.option_name}"

    @property
    def dest(self) -> str:
        """The option's attribute of `config.option`."""
        return self.long_option[2:].replace("-", "_")

    @property
    def ini(self) -> str:
        """The ini file's spelling."""
        return "dbmigrate_" + self.name

    @property
    def environment(self) -> str:
        """The environment's spelling."""
        return "DBMIGRATE_" + self.name.upper()

    def resolve(self, entries: Iterable[Entry]) -> tuple[T, Source, str]:
        """Return the value, its source, and the spelling that the user chose there.

        The first of the entries decides. Raises `SettingError` if it cannot be used.
        """
        entry = next(iter(entries), None)
        if entry is None:
            return self.default, "default", self.ini
        try:
            return self.read(entry), entry.source, entry.spelling
        except ValueError as error:
            from pytest_dbmigrate.errors import SettingError

            raise SettingError(
                f"{entry.spelling}{self.quoted(entry)} cannot be used: {error}",
                todo=(self.help,),
            ) from None

    def read(self, entry: Entry) -> T:
        """Return the value of an entry; raises `ValueError` that says what it can be."""
        raise NotImplementedError

    def quoted(self, entry: Entry) -> str:
        """Return an entry's value as an error shows it, without passwords."""
        value = entry.value
        return f"={str(value).lower() if isinstance(value, bool) else shown(value)}"

    def default_text(self) -> str:
        """Return the default as a user would write it, empty if there is none."""
        return str(self.default)


class Flag(Spec[bool]):
    """On or off; `--no-db-NAME` overrides the ini file."""

    def __init__(self, help_text: str, *, has_ini: bool = True) -> None:
        super().__init__(help_text, default=False, has_ini=has_ini)

    def read(self, entry: Entry) -> bool:
        """Return the value of an entry."""
        if isinstance(entry.value, bool):
            return entry.value
        return parsers.flag(str(entry.value))

    def default_text(self) -> str:
        """Return the default as a user would write it."""
        return str(self.default).lower()


class Seconds(Spec[float]):
    """A time, above zero."""

    def __init__(self, help_text: str, *, default: float) -> None:
        super().__init__(help_text, default, metavar="SECONDS")

    def read(self, entry: Entry) -> float:
        """Return the value of an entry."""
        return parsers.seconds(str(entry.value))

    def default_text(self) -> str:
        """Return the default as a user would write it."""
        return f"{self.default:g}"


class Text(Spec[str]):
    """A text that a parser checks; where there is no default, an empty one means none."""

    def __init__(
        self,
        help_text: str,
        parse: Callable[[str], str],
        *,
        metavar: str,
        default: str = "",
        option_name: str = "",
    ) -> None:
        super().__init__(help_text, default, metavar=metavar, option_name=option_name)
        self._parse = parse

    def read(self, entry: Entry) -> str:
        """Return the value of an entry."""
        if not isinstance(entry.value, str):
            raise ValueError("it is a string")
        if not entry.value.strip() and not self.default:
            return ""  # an empty option overrides the ini file
        return self._parse(entry.value)


class Server(Spec[ServerRequest]):
    """Where Postgres comes from."""

    def __init__(self, help_text: str) -> None:
        super().__init__(help_text, ServerRequest(), metavar="auto|docker|embedded|URL")

    def read(self, entry: Entry) -> ServerRequest:
        """Return the request that an entry makes."""
        return ServerRequest.parse(str(entry.value))

    def quoted(self, entry: Entry) -> str:
        """Return the entry's value; as it may not be a valid URL, too much is hidden."""
        value = super().quoted(entry)
        return re.sub(r":.*@", ":***@", value) if value == f"={entry.value}" else value


class Choice(Text):
    """One of a few words."""

    def __init__(
        self,
        help_text: str,
        *words: str,
        default: str,
        option_name: str = "",
    ) -> None:
        parse = parsers.one_of(*words)
        metavar = "|".join(words)
        super().__init__(
            help_text, parse, metavar=metavar, default=default, option_name=option_name
        )
        self.words = words


class _Path(Text):
    """A path, which becomes absolute."""

    def __init__(self, help_text: str, *, metavar: str, must_exist: bool) -> None:
        super().__init__(help_text, str, metavar=metavar)
        self.must_exist = must_exist

    def read(self, entry: Entry) -> str:
        """Return the absolute path."""
        value = super().read(entry)
        if not value:
            return ""
        path = entry.folders[0] / value
        if self.must_exist and not self.is_there(path):
            raise ValueError(f"there is no such {self.metavar.lower()}")
        return os.path.realpath(path)

    def is_there(self, path: Path) -> bool:
        """Whether the path has the right kind of file."""
        raise NotImplementedError

    def quoted(self, entry: Entry) -> str:
        """Return the path that was looked for."""
        is_path = isinstance(entry.value, str)
        return f"={entry.folders[0] / str(entry.value)}" if is_path else super().quoted(entry)


class File(_Path):
    """A file, which a run may be about to write if it need not exist."""

    def __init__(self, help_text: str, *, must_exist: bool = True) -> None:
        super().__init__(help_text, metavar="FILE", must_exist=must_exist)

    def is_there(self, path: Path) -> bool:
        """Whether there is such a file."""
        return path.is_file()


class Folder(_Path):
    """A folder, which exists."""

    def __init__(self, help_text: str) -> None:
        super().__init__(help_text, metavar="FOLDER", must_exist=True)

    def is_there(self, path: Path) -> bool:
        """Whether there is such a folder."""
        return path.is_dir()


class PlacedLines(Spec[tuple[T, ...]]):
    """Lines of which a parser makes a value each, with the folders where paths may start."""

    is_repeatable = True

    def __init__(
        self,
        help_text: str,
        parse: Callable[[str, tuple[Path, ...]], T],
        *,
        default: tuple[T, ...] = (),
        metavar: str = "",
        has_option: bool = False,
    ) -> None:
        super().__init__(help_text, default, metavar=metavar, has_option=has_option)
        self._parse = parse

    def read(self, entry: Entry) -> tuple[T, ...]:
        """Return the values of an entry's lines; none where a default says that there are some."""
        lines = [line.strip() for line in _lines(entry.value) if line.strip()]
        if self.default and not lines:
            lines = [""]  # which the parser refuses
        return tuple(self._parse(line, entry.folders) for line in lines)

    def quoted(self, entry: Entry) -> str:  # noqa: ARG002  # the parser names the line
        """Return nothing: the error names the line."""
        return ""

    def default_text(self) -> str:
        """Return the default as a user would write it."""
        return "\n".join(map(_shown_line, self.default))


class Lines(PlacedLines[T]):
    """Lines of which a parser makes a value each."""

    def __init__(
        self,
        help_text: str,
        parse: Callable[[str], T],
        *,
        default: tuple[T, ...] = (),
        metavar: str = "",
        has_option: bool = False,
    ) -> None:
        super().__init__(
            help_text,
            lambda line, _: parse(line),
            default=default,
            metavar=metavar,
            has_option=has_option,
        )


def _lines(value: object) -> list[str]:
    if isinstance(value, str):
        return value.splitlines()
    if isinstance(value, list | tuple) and all(isinstance(line, str) for line in value):
        return list(value)
    raise ValueError("it is a list of strings, or a string with a line for each")


def shown(value: object) -> str:
    """Return a value as the header shows it, without passwords."""
    if isinstance(value, tuple):
        return ",".join(_shown_line(item) for item in value)
    text = str(value)
    if "@" not in text and "=" not in text:
        return text
    from pytest_dbmigrate.addresses.dsn import redact

    return redact(text)


def _shown_line(line: Any) -> str:
    """Return a line of a setting in short."""
    if isinstance(line, tuple):
        return " ".join(line)
    if not isinstance(line, str):
        return str(getattr(line, "name", line))
    words = shown(line).split()
    return " ".join(words[:2]) + (" ..." if len(words) > 2 else "")  # of an SQL statement
