"""Alembic configuration: made from what the settings name, and pointed at our database."""

from __future__ import annotations

import argparse
import inspect
import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config
from sqlalchemy import create_engine
from sqlalchemy.dialects import postgresql
from sqlalchemy.engine import Engine
from sqlalchemy.pool import NullPool

from pytest_dbmigrate.addresses.dsn import Dsn, default_driver
from pytest_dbmigrate.child import references
from pytest_dbmigrate.errors import MigrationError
from pytest_dbmigrate.migrations.environments import Environment
from pytest_dbmigrate.migrations.messages import AlembicOptions

_PLACEHOLDER = "driver://"  # what `alembic init` writes


class Attributes(dict[str, Any]):
    """`config.attributes` that remembers which keys env.py looked for and did not find."""

    def __init__(self, given: dict[str, Any]) -> None:
        super().__init__(given)
        self.missed: list[str] = []

    def get(self, key: str, default: Any = None) -> Any:
        """Return the value of a key, or the default."""
        self._note(key)
        return super().get(key, default)

    def __getitem__(self, key: str) -> Any:
        self._note(key)
        return super().__getitem__(key)

    def __contains__(self, key: object) -> bool:
        self._note(key)
        return super().__contains__(key)

    def _note(self, key: object) -> None:
        if not super().__contains__(key):
            self.missed.append(str(key))


@contextmanager
def configuration(
    environment: Environment, dsn: Dsn, target: Sequence[str], options: AlembicOptions
) -> Iterator[Config]:
    """Yield the project's configuration, its `sqlalchemy.url` pointed at `dsn`.

    The URL's driver is the one the project configured; psycopg where it named none. What
    `config.attributes` has been given of ours is closed afterwards. Raises `MigrationError`.
    """
    arguments = argparse.Namespace(
        x=list(options.x), name=environment.section or None, raiseerr=False, sql=False, tag=None,
        revision=target[0], cmd=(command.upgrade, ["revision"], ["sql", "tag"]),
    )  # fmt: skip
    config = _config(environment, arguments, dsn.url(options.driver))
    if config.cmd_opts is None:
        config.cmd_opts = arguments
    _change_to_folder_of_scripts(config, options.root)
    driver = options.driver or _driver(config)
    url = dsn.url(driver)
    config.set_main_option("sqlalchemy.url", url.replace("%", "%%"))
    config.attributes = Attributes(config.attributes)
    engine = _engine(dsn, driver) if options.attributes else None
    try:
        with _attributes(engine, options.attributes) as given:
            config.attributes.update(given)
            yield config
    finally:
        if engine is not None:
            engine.dispose()


def _config(environment: Environment, arguments: argparse.Namespace, url: str) -> Config:
    if environment.module:
        return _of_reference(environment, arguments, url)
    if environment.scripts:
        return _of_scripts(Path(environment.scripts), arguments)
    return _of_files(environment, arguments)


def _of_files(environment: Environment, arguments: argparse.Namespace) -> Config:
    keywords: dict[str, Any] = {"cmd_opts": arguments}
    if environment.toml and "toml_file" in inspect.signature(Config.__init__).parameters:
        keywords["toml_file"] = environment.toml
    elif environment.toml and not environment.ini:
        raise MigrationError(
            "this Alembic does not read pyproject.toml",
            tried=(environment.toml,),
            todo=("install Alembic 1.16 or newer, or use an alembic.ini",),
        )
    if environment.section:
        keywords["ini_section"] = environment.section
    config = Config(environment.ini or None, **keywords)
    if environment.section and not config.file_config.has_section(environment.section):
        raise MigrationError(
            f"{environment.ini or environment.toml} has no section [{environment.section}]",
            tried=(f"it has {', '.join(config.file_config.sections()) or 'none'}",),
            todo=("correct the name in dbmigrate_alembic",),
        )
    return config


def _of_scripts(folder: Path, arguments: argparse.Namespace) -> Config:
    """Return the configuration of a folder with env.py; an ini file in it, or beside it, counts."""
    if not (folder / "env.py").is_file():
        raise MigrationError(
            f"{folder} is not a folder of Alembic scripts: it has no env.py",
            todo=("name the folder that has it, or an ini file, in dbmigrate_alembic",),
        )
    inside, beside = folder / "alembic.ini", folder.parent / "alembic.ini"
    own = [path for path in (inside, beside) if path == inside or _is_for(path, folder)]
    ini = next((str(path) for path in own if path.is_file()), None)
    config = Config(ini, cmd_opts=arguments)
    config.set_main_option("script_location", str(folder).replace("%", "%%"))
    return config


def _is_for(ini: Path, folder: Path) -> bool:
    location = Config(str(ini)).file_config.get("alembic", "script_location", raw=True, fallback="")
    return ini.is_file() and re.split(r"[/\\:]", location)[-1] == folder.name


def _of_reference(environment: Environment, arguments: argparse.Namespace, url: str) -> Config:
    """Return the configuration of `package:folder`, `package:file.ini`, or `module:function`."""
    path, _, section = environment.attribute.partition(":")
    found = references.in_package(environment.module, path)
    if found is not None and found.is_dir():
        return _of_scripts(found, arguments)
    if found is not None:
        return _of_files(replace(environment, ini=str(found), section=section), arguments)
    made = references.load(f"{environment.module}:{environment.attribute}", "dbmigrate_alembic")
    config = made
    if callable(made):
        config = made(url) if references.needs_argument(made) else made()
    if not isinstance(config, Config):
        raise MigrationError(
            f"{environment} returns a {type(config).__name__}, not an Alembic Config",
            todo=("let it return an alembic.config.Config, or name something else",),
        )
    return config


def _change_to_folder_of_scripts(config: Config, root: str) -> None:
    """Go to the folder that a relative path of the scripts is meant from.

    It is the one of the ini file, that of the project, or one above the ini file.
    """
    location = config.get_main_option("script_location") or ""
    if ":" in location or not location or Path(location).exists():
        return
    above = Path(config.config_file_name).absolute().parents if config.config_file_name else ()
    for folder in (Path(root), *above):
        if root and (folder / location / "env.py").is_file():
            os.chdir(folder)
            return


def _driver(config: Config) -> str:
    """Return the driver that the configuration names; none to leave it to SQLAlchemy."""
    # raw: what it interpolates may be set by env.py only
    section = config.config_ini_section
    given = config.file_config.get(section, "sqlalchemy.url", raw=True, fallback="")
    if given.startswith(_PLACEHOLDER) or "://" not in given:
        return default_driver()
    named = given.partition("://")[0].partition("+")[2]
    usual: str = postgresql.dialect.driver
    return named or ("" if find_spec(usual) else default_driver())


def _engine(dsn: Dsn, driver: str) -> Engine:
    """Return an engine that is not asynchronous: what is given a connection uses it as it is."""
    engine = create_engine(dsn.url(driver), poolclass=NullPool)
    if engine.dialect.is_async:
        engine = create_engine(dsn.url(default_driver()), poolclass=NullPool)
    return engine


@contextmanager
def _attributes(engine: Engine | None, wanted: Sequence[Sequence[str]]) -> Iterator[dict[str, Any]]:
    """Yield the values for `config.attributes`."""
    texts: dict[str, Any] = {"true": True, "false": False, "{engine}": engine}
    if engine is None or "{connection}" not in [value for _, value in wanted]:
        yield {name: texts.get(value, value) for name, value in wanted}
        return
    with engine.connect() as connection:
        texts["{connection}"] = connection
        yield {name: texts.get(value, value) for name, value in wanted}
        if (left := connection.get_transaction()) is not None:  # to whoever gave the connection
            left.commit()
