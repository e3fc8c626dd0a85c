"""Placeholders for the parts of an address in a pattern: `{url}`, `{host}` and so on."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pytest_dbmigrate.addresses.dsn import Dsn

PARTS = ("url", "host", "port", "user", "password", "database")
KNOWN = re.compile(
    r"\{(?:(url)(?::(postgres(?:ql)?(?:\+\w+)?))?|(host|port|user|password|database))\}"
)


def names() -> str:
    """Return all placeholders, for a message."""
    return ", ".join(f"{{{name}}}" for name in PARTS)


def fill(pattern: str, dsn: Dsn, usual: str = "") -> str:
    """Return a pattern with the address of a database in it; any other brace stays as it is.

    `usual` is the driver of a `{url}` that names none.
    """

    def value(match: re.Match[str]) -> str:
        part = match[1] or match[3]
        if part == "url":
            wanted, _, driver = (match[2] or f"postgresql+{usual}").partition("+")
            return wanted + dsn.url(driver)[len("postgresql") :]
        return str(dsn.dbname if part == "database" else getattr(dsn, part))

    return KNOWN.sub(value, pattern)
