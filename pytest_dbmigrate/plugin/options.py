"""The settings as pytest's options and ini keys, made from the one list of them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from pytest_dbmigrate.settings.resolution import resolve
from pytest_dbmigrate.settings.specs import SPECS, Spec
from pytest_dbmigrate.settings.values import Settings

ACTIONS = {
    "status": "print the state of each revision in what is kept of this project, and exit",
    "stop": "end and remove this project's kept server and its state, and exit",
}


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add an option and an ini key for each setting."""
    group = parser.getgroup("dbmigrate", "databases (pytest-dbmigrate)")
    for spec in SPECS:
        if spec.has_option:
            _add_option(group, spec)
        kind = "linelist" if spec.kind == "lines" else "string"
        if spec.has_ini:
            parser.addini(spec.ini, spec.help, type=kind, default=None)  # type: ignore[arg-type]
    for name, text in ACTIONS.items():
        group.addoption(f"--db-{name}", dest=f"db_{name}", action="store_true", help=text)


def _add_option(group: Any, spec: Spec) -> None:
    dest = "db_" + spec.name
    if spec.kind == "flag":
        group.addoption(
            spec.option, dest=dest, action="store_const", const="true", default=None, help=spec.help
        )
        group.addoption(
            "--no-" + spec.option[2:], dest=dest, action="store_const", const="false",
            help=f"the opposite of {spec.option}",
        )  # fmt: skip
    else:
        action = "append" if spec.kind == "lines" else "store"
        group.addoption(
            spec.option,
            dest=dest,
            action=action,
            default=None,
            metavar=spec.metavar,
            help=spec.help,
        )


def read(config: pytest.Config) -> Settings:
    """Return the settings of a run; raises `pytest.UsageError` for an unusable one."""
    namespace = config.known_args_namespace
    known = {spec.ini: config.getini(spec.ini) for spec in SPECS if spec.has_ini}
    always = config.getini("addopts")
    lasting = {it.ini: "" for it in SPECS if not it.has_ini and it.option in always}
    unknown = {key: "" for key in _ini_keys(config) if key.startswith("dbmigrate_")}
    try:
        settings = resolve(
            config.rootpath,
            {spec.name: getattr(namespace, "db_" + spec.name, None) for spec in SPECS},
            os.environ,
            {**unknown, **known, **lasting},
            ini_folder=config.inipath.parent if config.inipath else None,
            start=config.invocation_params.dir,
        )
        _look_at_baseline(settings)
        return settings
    except Exception as error:
        from pytest_dbmigrate.errors import SettingError

        if not isinstance(error, SettingError):
            raise
        raise pytest.UsageError(f"dbmigrate: {error}") from None


def _look_at_baseline(settings: Settings) -> None:
    """Raise `SettingError` for a file that could not be read when it is needed."""
    if settings.baseline and settings.check != "off":
        from pytest_dbmigrate.schema import baseline_file

        baseline_file.look(Path(settings.baseline), is_to_be_written=settings.accept_drift)


def _ini_keys(config: pytest.Config) -> list[str]:
    """Return every key of the ini file, also those that nobody has registered.

    pytest 9.2 deprecates the public mapping and has no other way to ask.
    """
    found = getattr(config, "_inicfg", None)
    return list(config.inicfg if found is None else found)
