"""Each setting there is: its spellings, its default, and what its text has to be like.

`SPECS` is the single list of settings. The command line, the ini keys, the
environment variables, the header and the options page of the docs are made from it.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pytest_dbmigrate.addresses.env_variable import EnvVariable
from pytest_dbmigrate.settings import parsers
from pytest_dbmigrate.settings.server_request import ServerRequest

if TYPE_CHECKING:
    from pytest_dbmigrate.addresses.env_file import EnvFile

Kind = Literal["text", "flag", "lines"]

DEFAULT_IMAGE = "postgres:18"
_TRUE, _FALSE = ("1", "true", "yes", "on"), ("0", "false", "no", "off", "")


@dataclass(frozen=True, eq=False, repr=False)  # what is not needed is not made at each start
class Spec:
    """One setting: its name is `--db-NAME`, `dbmigrate_NAME` and `DBMIGRATE_NAME`."""

    name: str
    default: Any
    help: str
    parse: Callable[[str], Any] = str
    kind: Kind = "text"
    metavar: str = ""
    has_option: bool = True
    place: Callable[[str, tuple[Path, ...]], str] | None = None
    has_ini: bool = True
    must_exist: bool = True  # a FILE: if not, a run can write it
    spelled: str = ""  # the option, where it is not made from the name

    @property
    def option(self) -> str:
        """The command line's spelling."""
        return self.spelled or "--db-" + self.name.replace("_", "-")

    @property
    def ini(self) -> str:
        """The ini file's spelling."""
        return "dbmigrate_" + self.name

    @property
    def environment(self) -> str:
        """The environment's spelling."""
        return "DBMIGRATE_" + self.name.upper()


def _one_of(*words: str) -> Callable[[str], str]:
    def parse(text: str) -> str:
        if text not in words:
            raise ValueError(f"it is one of {', '.join(words)}")
        return text

    return parse


def _flag(text: str) -> bool:
    if text.lower() in _TRUE:
        return True
    if text.lower() in _FALSE:
        return False
    raise ValueError("it is true or false")


def _seconds(text: str) -> float:
    if not re.fullmatch(r"\d+(\.\d+)?", text) or float(text) <= 0:
        raise ValueError("it is a number of seconds above zero")
    return float(text)


def _word(text: str) -> str:
    if not text.strip() or text.startswith("-") or re.search(r"\s", text):
        raise ValueError("it is one word")
    return text


_SUITE = r"[A-Za-z][A-Za-z0-9_-]*"


def _suite_line(text: str) -> str:
    if not re.fullmatch(rf"auto|{_SUITE}\s*:.*", text.strip()):
        raise ValueError(f"{text.strip()!r} is not NAME: FOLDER ..., NAME: -m EXPRESSION, or auto")
    return text.strip()


def _names(text: str) -> str:
    if not re.fullmatch(rf"{_SUITE}(\s*,\s*{_SUITE})*", text.strip()):
        raise ValueError("it is a name, or several with commas between them")
    return text.strip()


def _env_file(line: str) -> EnvFile:
    from pytest_dbmigrate.addresses.env_file import EnvFile

    return EnvFile.parse(line)


SPECS: tuple[Spec, ...] = (
    Spec(
        "server",
        ServerRequest(),
        "where Postgres comes from: auto (Docker if an engine answers, else embedded), "
        "docker, embedded, or the postgresql:// URL of a server that runs already",
        ServerRequest.parse,
        metavar="auto|docker|embedded|URL",
    ),
    Spec(
        "allow_remote",
        False,
        "let --db-server name a server that is not on this machine",
        _flag,
        kind="flag",
    ),
    Spec(
        "fresh",
        False,
        "discard what earlier runs of this project have kept, and start from nothing",
        _flag,
        kind="flag",
    ),
    Spec(
        "resume",
        False,
        "keep the server and its state when the run ends, and go on from there in the next run",
        _flag,
        kind="flag",
    ),
    Spec(
        "keep",
        "never",
        "which tests' databases to keep for a look with psql: never, failed or always",
        _one_of("never", "failed", "always"),
        metavar="never|failed|always",
    ),
    Spec(
        "shared",
        False,
        "one migrated database for all tests of a process (of each xdist worker), whether they "
        "ask for it or not, and not renewed between them",
        _flag,
        kind="flag",
    ),
    Spec(
        "check",
        "error",
        "what a difference between the migrated schema and the models is: error, warn or off",
        _one_of("error", "warn", "off"),
        metavar="error|warn|off",
    ),
    Spec(
        "alembic",
        (),
        "the Alembic environments, a line each, applied in this order: an .ini file or a "
        "pyproject.toml, file.ini:section, a folder of scripts (or package:folder), or "
        "module:function that returns a Config (found beside the tests' root if not given)",
        kind="lines",
        metavar="ENVIRONMENT",
        place=parsers.environment,
    ),
    Spec(
        "target",
        (("head",),),
        "the revisions to migrate to: head, heads, main@head or ids, with spaces between "
        "several; one line for all environments, or a line for each",
        parsers.targets,
        kind="lines",
        metavar="REVISIONS",
    ),
    Spec(
        "x",
        (),
        "arguments that env.py finds with context.get_x_argument(), a line each: name=value",
        parsers.x_argument,
        kind="lines",
        metavar="NAME=VALUE",
    ),
    Spec(
        "attributes",
        (),
        "what env.py finds in config.attributes, a line each: connection = {connection}, "
        "engine = {engine}, true, false, or a text",
        parsers.attribute,
        kind="lines",
        has_option=False,
    ),
    Spec(
        "driver",
        "",
        "the driver in sqlalchemy.url and in {url}: psycopg, psycopg2, asyncpg ... "
        "(the one that the Alembic configuration names if not given)",
        _word,
        metavar="NAME",
    ),
    Spec(
        "before",
        (),
        "what is run before the first revision, a line each: an .sql file, an SQL statement, "
        "or module:function, which is called with a Connection of SQLAlchemy",
        kind="lines",
        has_option=False,
        place=parsers.step,
    ),
    Spec(
        "within",
        "",
        "module:function that the migrations are run within: one that returns a context "
        "manager (app.app_context()), or one that is given the work to call",
        parsers.reference,
        metavar="MODULE:FUNCTION",
    ),
    Spec(
        "image",
        DEFAULT_IMAGE,
        "the Docker image, any with the official postgres image's contract",
        _word,
        metavar="IMAGE",
    ),
    Spec(
        "compose_file",
        "",
        "the project's own compose file to take the server from",
        metavar="FILE",
    ),
    Spec(
        "compose_service",
        "",
        "the compose file's service that is Postgres (needed if it has several services)",
        _word,
        metavar="NAME",
    ),
    Spec(
        "pg_bin",
        "",
        "the folder of the embedded server's programs (initdb, postgres)",
        metavar="FOLDER",
    ),
    Spec(
        "timeout",
        60.0,
        "seconds a server may take to accept queries",
        _seconds,
        metavar="SECONDS",
    ),
    Spec(
        "wait",
        600.0,
        "seconds to wait for another run of this project that is applying migrations",
        _seconds,
        metavar="SECONDS",
    ),
    Spec(
        "env",
        (),
        "environment variables that carry the database's address, a line each: DATABASE_URL, "
        "APP_DB={url:postgresql+asyncpg}, DB_HOST={host} "
        "(also {port}, {user}, {password}, {database})",
        EnvVariable.parse,
        kind="lines",
        has_option=False,
    ),
    Spec(
        "baseline",
        "",
        "the file of accepted differences between the migrated schema and the models: "
        "only others are errors",
        metavar="FILE",
        must_exist=False,
    ),
    Spec(
        "accept_drift",
        False,
        "write the differences of this run to the baseline: they are accepted from now on",
        _flag,
        kind="flag",
        has_ini=False,
    ),
    Spec(
        "env_file",
        (),
        "files that carry the database's address, a line each: APP_CONFIG=config.yaml.template "
        "for a variable that holds the path of a private file, config.yaml=config.yaml.template "
        "for a path of its own; the template has {url}, {host} and so on in it, as dbmigrate_env",
        _env_file,
        kind="lines",
        has_option=False,
    ),
    Spec(
        "suites",
        (),
        "the suites that run in processes of their own, a line each: unit: tests/unit, "
        "slow: -m slow, or auto (tests with a database, and all others)",
        _suite_line,
        kind="lines",
        has_option=False,
    ),
    Spec(
        "suites_mode",
        "on",
        "how suites run: on (one after another), concurrent (side by side), or off "
        "(all in one process, as without this plugin)",
        _one_of("on", "off", "concurrent"),
        metavar="on|off|concurrent",
        spelled="--db-suites",
    ),
    Spec(
        "suite",
        "",
        "run only this suite, or several with commas between their names",
        _names,
        metavar="NAME",
    ),
)
BY_NAME = {spec.name: spec for spec in SPECS}
