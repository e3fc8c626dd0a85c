"""Environment variable with the database's address: a line of `dbmigrate_env`."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pytest_dbmigrate.addresses import placeholders

if TYPE_CHECKING:
    from pytest_dbmigrate.addresses.dsn import Dsn

_ENV_LINE = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)(?:=(.*))?")
_PLACEHOLDER = re.compile(r"\{(\w+)(?::([^{}]*))?\}")


@dataclass(frozen=True)
class EnvVariable:
    """An environment variable that carries the database's address: `NAME=PATTERN`."""

    name: str
    pattern: str

    @classmethod
    def parse(cls, line: str) -> EnvVariable:
        """Return the variable of one `dbmigrate_env` line; raises `ValueError`."""
        match = _ENV_LINE.fullmatch(line.strip())
        if not match:
            raise ValueError(f"{line!r} is not NAME or NAME=PATTERN")
        name, pattern = match[1], "{url}" if match[2] is None else match[2]
        found = list(_PLACEHOLDER.finditer(pattern))
        if not found:
            raise ValueError(f"{line!r} names no part of the address: {placeholders.names()}")
        for part, scheme in (match.groups() for match in found):
            if part not in placeholders.PARTS or (scheme is not None and part != "url"):
                raise ValueError(f"{line!r} has an unknown part; there are {placeholders.names()}")
            if scheme is not None and not re.fullmatch(r"postgres(ql)?(\+\w+)?", scheme):
                raise ValueError(f"{line!r} has a scheme that is not postgresql or postgresql+...")
        return cls(name, pattern)

    def value(self, dsn: Dsn, usual: str = "") -> str:
        """Return the variable's value for a database; `usual` is the driver of `{url}`."""
        return placeholders.fill(self.pattern, dsn, usual)
