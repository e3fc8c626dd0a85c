"""Server request: what `--db-server` asks for, as one value.

The text is parsed here and nowhere else, so that nobody has to look for a URL in it again.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pytest_dbmigrate.addresses.dsn import Dsn

AUTO = "auto"
GIVEN = "url"
NAMED = ("docker", "embedded")  # the kinds that can be requested by name


@dataclass(frozen=True)
class ServerRequest:
    """A kind of server by its name, or `AUTO` for the first kind that can be had.

    `address` is where a given server is. `text` is what the user wrote, with the password.
    """

    kind: str = AUTO
    address: Dsn | None = None
    text: str = field(default=AUTO, repr=False)

    @classmethod
    def parse(cls, text: str) -> ServerRequest:
        """Return the request that the text of `--db-server` makes. Raises `ValueError`."""
        if text in (AUTO, *NAMED):
            return cls.named(text)
        if "://" not in text:
            known = ", ".join((AUTO, *NAMED))
            raise ValueError(f"it is {known} or a postgresql:// URL")
        return cls.given(text)

    @classmethod
    def named(cls, kind: str) -> ServerRequest:
        """Return the request for a kind of server, or for the first that can be had."""
        return cls(kind, text=kind)

    @classmethod
    def given(cls, url: str) -> ServerRequest:
        """Return the request for the server at a `postgresql://` URL. Raises `ValueError`."""
        from pytest_dbmigrate.addresses.dsn import Dsn, SecretAddress

        address = Dsn.parse(url)
        if not address.host:
            raise ValueError("the URL names no host")
        return cls(GIVEN, address, SecretAddress(url))

    @property
    def is_given(self) -> bool:
        """Whether it is for a server that somebody else runs."""
        return self.address is not None

    def __str__(self) -> str:
        """Return the text without its password."""
        if not self.is_given:
            return self.text
        from pytest_dbmigrate.addresses.dsn import redact

        return redact(self.text)
