"""Options and ini keys of pytest, made from the one list of settings."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from pytest_dbmigrate.plugin import option_names
from pytest_dbmigrate.plugin.option_names import OptionNames, Store
from pytest_dbmigrate.settings.kinds import Flag, Spec
from pytest_dbmigrate.settings.resolution import resolve
from pytest_dbmigrate.settings.specs import every_spec
from pytest_dbmigrate.settings.values import Settings

_NAMES = "dbmigrate-option-names"
ACTIONS = {
    "status": "print the state of each revision in what is kept of this project, and exit",
    "stop": "end and remove this project's kept server and its state, and exit",
}


def pytest_addoption(parser: pytest.Parser, pluginmanager: pytest.PytestPluginManager) -> None:
    """Add an option and an ini key for each setting."""
    group = parser.getgroup("dbmigrate", "databases (pytest-dbmigrate)")
    names = OptionNames(parser, group)
    pluginmanager.register(names, _NAMES)
    for spec in every_spec():
        if spec.has_option:
            _add_option(names, spec)
        if spec.has_ini:
            kind = "linelist" if spec.is_repeatable else "string"
            parser.addini(spec.ini, spec.help, type=kind, default=None)  # type: ignore[arg-type]
    for name, text in ACTIONS.items():
        names.add(
            f"--db-{name}", f"--dbmigrate-{name}", dest=f"dbmigrate_{name}", help=text,
            action=Store, nargs=0, const=True, default=False,
        )  # fmt: skip


def _add_option(names: OptionNames, spec: Spec[Any]) -> None:
    if isinstance(spec, Flag):
        for no, const, text in (
            ("", "true", spec.help),
            ("no-", "false", f"the opposite of {spec.option}"),
        ):
            names.add(
                f"--{no}{spec.option[2:]}", f"--{no}{spec.long_option[2:]}", dest=spec.dest,
                help=text, action=Store, nargs=0, const=const,
            )  # fmt: skip
    else:
        names.add(
            spec.option, spec.long_option, dest=spec.dest, help=spec.help,
            action=Store, metavar=spec.metavar, is_repeatable=spec.is_repeatable,
        )  # fmt: skip


def header(config: pytest.Config) -> list[str]:
    """Return a line for the header where short spellings have given way."""
    names = config.pluginmanager.get_plugin(_NAMES)
    return names.header() if isinstance(names, OptionNames) else []


def read(config: pytest.Config) -> Settings:
    """Return the settings of a run; raises `pytest.UsageError` for an unusable one."""
    options, spellings = _typed(config)
    always = config.getini("addopts")
    lasting = {
        it.ini: ""
        for it in every_spec()
        if not it.has_ini and (it.option in always or it.long_option in always)
    }
    try:
        settings = resolve(
            config.rootpath,
            options,
            os.environ,
            {**_ini_values(config), **lasting},
            ini_folder=config.inipath.parent if config.inipath else None,
            start=config.invocation_params.dir,
            spellings=spellings,
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

        baseline_file.check(Path(settings.baseline), is_to_be_written=settings.accept_drift)


def _typed(config: pytest.Config) -> tuple[dict[str, Any], dict[str, str]]:
    """Return what the options say, and the spelling of each, by the settings' names."""
    namespace = config.known_args_namespace
    spellings = option_names.typed(namespace)
    ignored = option_names.ignored(config)
    given = {
        spec.name: (getattr(namespace, spec.dest), spellings.get(spec.dest, spec.option))
        for spec in every_spec()
        if spec.has_option and getattr(namespace, spec.dest, None) is not None
    }
    kept = {name: it for name, it in given.items() if it[1] not in ignored}
    return {name: it[0] for name, it in kept.items()}, {name: it[1] for name, it in kept.items()}


def _ini_values(config: pytest.Config) -> dict[str, Any]:
    """Return the values of our ini keys, and of all that look like ours.

    A value of pytest 9's native table is as TOML has it, for `getini` would only take a string.
    """
    file = _ini_file(config)
    values: dict[str, Any] = {key: "" for key in file if key.startswith("dbmigrate_")}
    for spec in every_spec():
        if spec.has_ini:
            native = getattr(file.get(spec.ini), "mode", "ini") == "toml"
            values[spec.ini] = file[spec.ini].value if native else config.getini(spec.ini)
    return values


def _ini_file(config: pytest.Config) -> Mapping[str, Any]:
    """Return every key of the ini file, also those that nobody has registered.

    pytest 9.2 deprecates the public mapping and has no other way to ask.
    """
    private: Mapping[str, Any] | None = getattr(config, "_inicfg", None)
    return config.inicfg if private is None else private
