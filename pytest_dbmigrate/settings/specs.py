"""Settings: the one list of them.

The command line, the ini keys, the environment variables, the header, the options page of the
docs and the typed attributes of `Settings` are made from it.
"""

from __future__ import annotations

from typing import Any

from pytest_dbmigrate.addresses.env_variable import EnvVariable
from pytest_dbmigrate.settings import parsers
from pytest_dbmigrate.settings.alembic_location import AlembicLocation
from pytest_dbmigrate.settings.kinds import (
    Choice,
    File,
    Flag,
    Folder,
    Lines,
    PlacedLines,
    Seconds,
    Server,
    Spec,
    Text,
)

DEFAULT_IMAGE = "postgres:18"


class Specs:
    """Every setting; its name is the attribute's."""

    server = Server(
        "where Postgres comes from: auto (Docker if an engine answers, else embedded), "
        "docker, embedded, or the postgresql:// URL of a server that runs already",
    )
    allow_remote = Flag(
        "let --db-server name a server that is not on this machine",
    )
    fresh = Flag(
        "discard what earlier runs of this project have kept, and start from scratch",
    )
    resume = Flag(
        "keep the server and its state when the run ends, and resume from there in the next run",
    )
    keep = Choice(
        "which tests' databases to keep for inspection with psql: never, failed or always",
        "never",
        "failed",
        "always",
        default="never",
    )
    shared = Flag(
        "use one migrated database for all tests of a process (of each xdist worker), whether "
        "they ask for it or not, and do not renew it between them",
    )
    check = Choice(
        "how to treat a difference between the migrated schema and the models: error, warn or off",
        "error",
        "warn",
        "off",
        default="error",
    )
    alembic = PlacedLines(
        "the Alembic environments, a line each, applied in this order: an .ini file or a "
        "pyproject.toml, file.ini:section, a folder of scripts (or package:folder), or "
        "module:function that returns a Config (found beside the tests' root if not given)",
        AlembicLocation.parse,
        metavar="ENVIRONMENT",
        has_option=True,
    )
    target = Lines[tuple[str, ...]](
        "the revisions to migrate to: head, heads, main@head or ids, with spaces between "
        "several; one line for all environments, or a line for each",
        parsers.targets,
        default=(("head",),),
        metavar="REVISIONS",
        has_option=True,
    )
    x = Lines(
        "arguments that env.py finds with context.get_x_argument(), a line each: name=value",
        parsers.x_argument,
        metavar="NAME=VALUE",
        has_option=True,
    )
    attributes = Lines(
        "what env.py finds in config.attributes, a line each: connection = {connection}, "
        "engine = {engine}, true, false, or a text",
        parsers.attribute,
    )
    driver = Text(
        "the driver in sqlalchemy.url and in {url}: psycopg, psycopg2, asyncpg ... (the one "
        "that the Alembic configuration names if not given)",
        parsers.word,
        metavar="NAME",
    )
    before = PlacedLines(
        "steps to run before the first revision, a line each: an .sql file, an SQL statement, "
        "or module:function, which is called with a Connection of SQLAlchemy",
        parsers.step,
    )
    within = Text(
        "module:function to run the migrations within: one that returns a context manager "
        "(app.app_context()), or one that takes the work as an argument and calls it",
        parsers.reference,
        metavar="MODULE:FUNCTION",
    )
    image = Text(
        "the Docker image: postgres, or any that is used in the same way",
        parsers.word,
        metavar="IMAGE",
        default=DEFAULT_IMAGE,
    )
    compose_file = File(
        "the project's own compose file to take the server from",
    )
    compose_service = Text(
        "the compose file's service that is Postgres (needed if it has several services)",
        parsers.word,
        metavar="NAME",
    )
    pg_bin = Folder(
        "the folder of the embedded server's programs (initdb, postgres)",
    )
    timeout = Seconds(
        "seconds a server may take to accept queries",
        default=60.0,
    )
    wait = Seconds(
        "seconds to wait for another run of this project that is applying migrations",
        default=600.0,
    )
    env = Lines(
        "environment variables that carry the database's address, a line each: DATABASE_URL, "
        "APP_DB={url:postgresql+asyncpg}, DB_HOST={host} (also {port}, {user}, {password}, "
        "{database})",
        EnvVariable.parse,
    )
    baseline = File(
        "the file of accepted differences between the migrated schema and the models: only "
        "others are errors",
        must_exist=False,
    )
    accept_drift = Flag(
        "write the differences of this run to the baseline, which accepts them from now on",
        has_ini=False,
    )
    env_file = PlacedLines(
        "files that carry the database's address, a line each: "
        "APP_CONFIG=config.yaml.template for a variable that holds the path of a private "
        "file, config.yaml=config.yaml.template for a path of its own; the pattern has "
        "{url}, {host} and so on in it, as dbmigrate_env",
        parsers.env_file,
    )
    suites = Lines(
        "the suites that run in processes of their own, a line each: unit: tests/unit, slow: "
        "-m slow, or auto (tests with a database, and all others)",
        parsers.suite,
    )
    suites_mode = Choice(
        "how suites run: on (one after another), concurrent (side by side), or off (all in "
        "one process, as without this plugin)",
        "on",
        "off",
        "concurrent",
        default="on",
        option_name="suites",
    )
    suite = Text(
        "run only this suite, or several with commas between their names",
        parsers.suite_names,
        metavar="NAME",
    )


def every_spec() -> tuple[Spec[Any], ...]:
    """Return all settings, in the order of the header and the docs."""
    return tuple(spec for spec in vars(Specs).values() if isinstance(spec, Spec))
