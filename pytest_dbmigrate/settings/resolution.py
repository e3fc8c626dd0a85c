"""How the settings come about: option > environment > ini > default."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from pytest_dbmigrate.settings import conflicts
from pytest_dbmigrate.settings.specs import SPECS, Spec
from pytest_dbmigrate.settings.values import Settings, Source, shown


def resolve(
    root: Path,
    options: Mapping[str, Any],
    environ: Mapping[str, str],
    ini: Mapping[str, Any],
    ini_folder: Path | None = None,
    start: Path | None = None,
) -> Settings:
    """Return the settings; raises `SettingError` that names the first unusable value.

    `options` and `ini` hold None, or nothing, where the user said nothing. Relative
    paths are taken from `start` (options, environment) or `ini_folder` (ini).
    """
    _refuse_unknown(environ, (spec.environment for spec in SPECS), "environment variable")
    _refuse_lasting(ini)
    _refuse_unknown(ini, (spec.ini for spec in SPECS if spec.has_ini), "ini key")
    values: dict[str, Any] = {}
    sources: dict[str, Source] = {}
    for spec in SPECS:
        said = (
            ("option", spec.option, options.get(spec.name), start),
            ("environment", spec.environment, environ.get(spec.environment), start),
            ("ini", spec.ini, ini.get(spec.ini), ini_folder),
            ("default", "", spec.default, None),
        )
        source, spelled, given, folder = next(item for item in said if item[2] is not None)
        sources[spec.name] = source  # type: ignore[assignment]  # the literals above
        base = folder or root
        value = given if source == "default" else _parsed(spec, spelled, given, (base, root))
        if spec.metavar in ("FILE", "FOLDER") and value:
            path = base / value
            value = _existing(spec, spelled, path) if spec.must_exist else os.path.realpath(path)
        values[spec.name] = value
    settings = Settings(root=root, **values, sources=sources)
    conflicts.refuse(settings)
    return settings


def _refuse_unknown(given: Iterable[str], known: Iterable[str], what: str) -> None:
    names = list(known)
    prefix = names[0][: len("dbmigrate_")]
    for name in given:
        if name.startswith(prefix) and name not in names:
            import difflib  # two milliseconds that every run would pay for

            from pytest_dbmigrate.errors import SettingError

            words = [known_name[len(prefix) :] for known_name in names]
            near = difflib.get_close_matches(name[len(prefix) :], words, 1)
            raise SettingError(
                f"{name} is no {what} of pytest-dbmigrate",
                todo=(
                    f"did you mean {prefix}{near[0]}?" if near else f"known are {', '.join(names)}",
                ),
            )


def _refuse_lasting(ini: Mapping[str, Any]) -> None:
    for spec in SPECS:
        if not spec.has_ini and spec.ini in ini:
            from pytest_dbmigrate.errors import SettingError

            raise SettingError(
                f"{spec.option} is for one run, and cannot stand in an ini file",
                todo=(f"say {spec.option} on the command line",),
            )


def _parsed(spec: Spec, spelled: str, given: Any, folders: tuple[Path, ...]) -> Any:
    try:
        if spec.kind == "lines":
            return _parsed_lines(spec, given, folders)
        if not isinstance(given, str):
            given = str(given)
        if spec.kind == "text" and not given.strip() and not spec.default:
            return ""  # an empty option overrides the ini
        return spec.parse(given)
    except ValueError as error:
        from pytest_dbmigrate.errors import SettingError

        said = "" if spec.kind == "lines" else f"={shown(given)}"
        if spec.name == "server" and said == f"={given}":  # no URL of ours: hide more than enough
            said = re.sub(r":.*@", ":***@", said)
        raise SettingError(
            f"{spelled}{said} cannot be used: {error}",
            todo=(f"{spec.help}",),
        ) from None


def _parsed_lines(spec: Spec, given: Any, folders: tuple[Path, ...]) -> tuple[Any, ...]:
    texts = given.splitlines() if isinstance(given, str) else given
    texts = [text.strip() for text in texts if text.strip()]
    if spec.place is not None:
        return tuple(spec.place(text, folders) for text in texts)
    if spec.default and not texts:
        spec.parse("")
    values = [spec.parse(text) for text in texts]
    if spec.name == "env_file":
        values = [file.located(folders[0]) for file in values]
    return tuple(values)


def _existing(spec: Spec, spelled: str, path: Path) -> str:
    wanted = path.is_dir() if spec.metavar == "FOLDER" else path.is_file()
    if not wanted:
        from pytest_dbmigrate.errors import SettingError

        raise SettingError(
            f"{spelled}={path} cannot be used: there is no such {spec.metavar.lower()}",
            todo=(f"{spec.help}",),
        )
    return str(path.resolve())
