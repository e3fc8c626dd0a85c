"""Address of a database: one value, written the way each library wants it.

No `repr` shows the password, and `redact` takes it out of text that others wrote.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cache, lru_cache
from importlib.metadata import version
from ipaddress import ip_address
from typing import Any, TypedDict
from urllib.parse import parse_qsl, quote, unquote, urlencode, urlsplit

_SCHEME = re.compile(r"^postgres(ql)?(\+\w+)?$")
# A password may contain any character, so too much is hidden rather than too little. The
# bounds keep the search linear in the text.
_CREDENTIALS = re.compile(r"(\bpostgres(?:ql)?(?:\+\w+)?://[^\s:/@]{0,128}:)\S{1,4096}(@)")
_QUOTED = r"""'(?:[^'\\]|\\.){0,512}'|"(?:[^"\\]|\\.){0,512}\""""
_KEYWORD = re.compile(rf"(\bpassword\s*=\s*)({_QUOTED}|(?:[^\s\\]|\\.){{1,512}})", re.DOTALL)
_ELSEWHERE = {"hostaddr", "service", "servicefile"}  # lead past the host that is checked
_HIDDEN = "***"
_DISTINCTIVE = 8  # characters from which a password is safe to search for anywhere
_FRAGMENT = 4  # characters of a password, cut by an ellipsis, that are hidden as well
_LONGEST_FRAGMENT = 240  # what pytest leaves of a long repr; groups nest this deep
_COMMON = ("postgres", "postgresql", "password")  # words of any report, not secrets


class Secret(str):
    """A password: usable as it is, hidden in `repr`."""

    __slots__ = ()

    def __repr__(self) -> str:
        return repr(_HIDDEN)


class SecretAddress(Secret):
    """A URL or conninfo string: the password in it is hidden in `repr`."""

    __slots__ = ()

    def __repr__(self) -> str:
        return repr(redact(str(self)))


class DsnData(TypedDict):
    """An address as JSON data, with the password; in JSON the pairs of `options` are lists."""

    host: str
    port: int
    user: str
    password: str
    dbname: str
    options: Sequence[Sequence[str]]


@dataclass(frozen=True)
class Dsn:
    """The address of one database. `host` may be the folder of a Unix socket."""

    host: str
    port: int
    user: str
    password: str = field(repr=False)
    dbname: str
    options: tuple[tuple[str, str], ...] = ()

    @classmethod
    def parse(cls, url: str) -> Dsn:
        """Return the address in a `postgresql://` URL, with or without a `+driver`.

        Raises `ValueError` with one lower-case sentence that does not repeat the URL.
        """
        parts = urlsplit(url)
        if not _SCHEME.match(parts.scheme):
            raise ValueError("a server's URL starts with postgresql://")
        options = dict(parse_qsl(parts.query, keep_blank_values=True))
        try:
            given = options.pop("port", "5432")
            port = parts.port or int(given)
        except ValueError:
            raise ValueError("the port in the server's URL is not a number below 65536") from None
        if _ELSEWHERE & options.keys():
            raise ValueError("a server is named by its host, not by hostaddr or a service")
        return cls(
            host=options.pop("host", "") or unquote(parts.hostname or ""),
            port=port,
            user=options.pop("user", "") or unquote(parts.username or ""),
            password=Secret(options.pop("password", "") or unquote(parts.password or "")),
            dbname=options.pop("dbname", "") or unquote(parts.path.lstrip("/")) or "postgres",
            options=tuple(sorted(options.items())),
        )

    @classmethod
    def from_record(cls, record: DsnData) -> Dsn:
        """Return the address that `as_record` wrote."""
        return cls(
            record["host"],
            record["port"],
            record["user"],
            Secret(record["password"]),
            record["dbname"],
            tuple((key, value) for key, value in record["options"]),
        )

    def as_record(self) -> DsnData:
        """Return the address as JSON data, with the password."""
        return DsnData(
            host=self.host,
            port=self.port,
            user=self.user,
            password=str(self.password),
            dbname=self.dbname,
            options=self.options,
        )

    def at(self, dbname: str) -> Dsn:
        """Return the address of another database of the same server."""
        return replace(self, dbname=dbname)

    def url(self, driver: str = "") -> str:
        """Return a URL: `postgresql://`, or `postgresql+driver://` for SQLAlchemy."""
        scheme = f"postgresql+{driver}" if driver else "postgresql"
        options = dict(self.options)
        if driver == "asyncpg":
            options = {"ssl": options["sslmode"]} if "sslmode" in options else {}
        if self.is_socket:
            place = ""
            options = {"host": self.host, "port": str(self.port), **options}
        else:
            host = f"[{self.host}]" if ":" in self.host else self.host
            place = f"{host}:{self.port}"
        who = quote(self.user, safe="")
        if self.password:
            who += ":" + quote(self.password, safe="")
        at = f"{who}@" if who else ""
        # libpq does not read a plus sign as a space
        query = "?" + urlencode(options, safe="/", quote_via=quote) if options else ""
        return SecretAddress(f"{scheme}://{at}{place}/{quote(self.dbname, safe='')}{query}")

    def parts(self) -> dict[str, Any]:
        """Return libpq's keywords: host, port, user, password, dbname and the options."""
        named = {
            "host": self.host,
            "port": self.port,
            "user": self.user,
            "password": self.password,
            "dbname": self.dbname,
        }
        return dict(self.options) | {key: value for key, value in named.items() if value}

    def conninfo(self) -> str:
        """Return libpq's `keyword=value` string."""
        from psycopg.conninfo import make_conninfo  # which a run of unit tests does not load

        return SecretAddress(make_conninfo(**self.parts()))

    @property
    def is_socket(self) -> bool:
        """Whether the server is reached through a Unix socket."""
        return self.host.startswith("/")

    @property
    def is_loopback(self) -> bool:
        """Whether the server is on this machine, judging by its address."""
        if self.is_socket or self.host == "localhost":
            return True
        try:
            return ip_address(self.host).is_loopback
        except ValueError:
            return False

    def __str__(self) -> str:
        return redact(self.url())


@cache
def default_driver() -> str:
    """Return SQLAlchemy's driver for an address without one.

    That is psycopg, which is always installed; SQLAlchemy 1.4 knows none newer than psycopg2.
    """
    return "psycopg2" if version("sqlalchemy").startswith("1.") else "psycopg"


def redact(text: str, *passwords: str) -> str:
    """Return the text without the passwords in its Postgres URLs and conninfo strings.

    The given passwords are taken out wherever they stand when they are long enough
    not to be an ordinary word; the plugin's own random ones always are.
    """
    for password in passwords:
        if len(password) >= _DISTINCTIVE and password not in _COMMON:
            text = _spellings(str(password)).sub(_HIDDEN, text)
    return _KEYWORD.sub(rf"\1{_HIDDEN}", _CREDENTIALS.sub(rf"\1{_HIDDEN}\2", text))


@lru_cache
def _spellings(password: str) -> re.Pattern[str]:
    """Match a password as it is, quoted for a URL, escaped in a `repr`, or cut by `...`."""
    letters = [_letter(one) for one in password]
    begin = end = ""
    for letter in letters[:-_FRAGMENT][-_LONGEST_FRAGMENT:]:
        end = f"(?:{end}{letter})?"
    for letter in reversed(letters[_FRAGMENT:][:_LONGEST_FRAGMENT]):
        begin = f"(?:{letter}{begin})?"
    begin = "".join(letters[:_FRAGMENT]) + begin
    end += "".join(letters[-_FRAGMENT:])
    return re.compile(rf"{''.join(letters)}|{begin}(?=\.\.\.)|(?<=\.\.\.){end}")


def _letter(one: str) -> str:
    quoted = quote(one, safe="")
    plain = rf"\\{{0,7}}{re.escape(one)}"  # a repr of a repr of a repr at most
    return plain if quoted == one else f"(?:{quoted}|{plain})"
