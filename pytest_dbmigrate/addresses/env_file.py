"""File with the database's address: a line of `dbmigrate_env_file`.

It is made from a pattern, a file of the project with `{url}` and the like in it. Reads the
pattern and nothing else; `files` writes.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_dbmigrate.addresses import placeholders

if TYPE_CHECKING:
    from pytest_dbmigrate.addresses.dsn import Dsn

_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_ENDINGS = (".template", ".tmpl", ".in", ".example")
# Matches names of our databases: nobody else writes a file with such a name in it.
_OURS = r"(?:dbm_[0-9a-f]{8}_\w+|dbmigrate_no_database)"
_TELLING = {"url": rf"postgres\S*?/{_OURS}(?:\?\S*?)?", "database": _OURS}


@dataclass(frozen=True)
class EnvFile:
    """One line of `dbmigrate_env_file`: `name=pattern`.

    `name` is the variable that holds the file's path; or it is the path, and then `target` is
    the same made absolute. `text` is what the pattern says.
    """

    name: str
    pattern: str
    target: str = field(default="", repr=False)
    text: str = field(default="", repr=False)

    def __str__(self) -> str:
        digest = hashlib.sha256(self.text.encode("utf-8")).hexdigest()[:8]
        return f"{self.name}={Path(self.pattern).name} ({digest})"

    @classmethod
    def parse(cls, line: str) -> EnvFile:
        """Return what one line says, nothing read yet; raises `ValueError`."""
        name, _, pattern = line.strip().partition("=")
        is_path = "/" in name or "." in name
        is_trimmed = name == name.rstrip() and pattern == pattern.lstrip()
        if not pattern or not is_trimmed or not (is_path or _VARIABLE.fullmatch(name)):
            raise ValueError(f"{line!r} is not VARIABLE=PATTERN or path/to/file=PATTERN")
        return cls(name, pattern)

    def located(self, folder: Path) -> EnvFile:
        """Return it with paths relative to `folder` resolved, and its pattern read.

        Raises `ValueError` if there is none, or none that can be used.
        """
        path = folder / self.pattern
        if not path.is_file():
            raise ValueError(f"there is no file {path}")
        try:
            text = path.read_bytes().decode("utf-8")
        except OSError as error:
            raise ValueError(f"{path} cannot be read: {error.strerror}") from None
        except UnicodeDecodeError:
            raise ValueError(f"{path} is not a text in UTF-8") from None
        if not placeholders.KNOWN.search(text):
            raise ValueError(f"{path} names no part of the address: {placeholders.names()}")
        own = folder / self.name
        is_path = "/" in self.name or "." in self.name
        target = (
            str(own.parent.resolve() / own.name) if is_path else ""
        )  # a link at the path itself is not followed
        return replace(self, pattern=str(path), target=target, text=text)

    @property
    def file_name(self) -> str:
        """The name of the file: the pattern's, without an ending that says it is one."""
        path = Path(self.pattern)
        return path.stem if path.suffix in _ENDINGS else path.name

    def filled(self, dsn: Dsn) -> str:
        """Return the content of the file for a database."""
        return placeholders.fill(self.text, dsn)

    def is_filled(self, text: str) -> bool:
        """Whether a text was made from the pattern for a database of ours.

        One with the name of another database is not: it may be somebody's own configuration,
        made from the same pattern. A pattern without the name cannot tell.
        """
        expression, at, is_telling = "", 0, False
        for match in placeholders.KNOWN.finditer(self.text):
            part = match[1] or match[3]
            is_telling = is_telling or part in _TELLING
            expression += re.escape(self.text[at : match.start()])
            expression += _TELLING.get(part, r"[^\r\n]*?")
            at = match.end()
        expression += re.escape(self.text[at:])
        return is_telling and re.fullmatch(expression, text) is not None
