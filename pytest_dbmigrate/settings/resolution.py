"""Resolution of the settings: option > environment > ini > default."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from pytest_dbmigrate.settings import conflicts
from pytest_dbmigrate.settings.kinds import Entry, Source, Spec
from pytest_dbmigrate.settings.specs import every_spec
from pytest_dbmigrate.settings.values import Settings


def resolve(
    root: Path,
    options: Mapping[str, Any],
    environ: Mapping[str, str],
    ini: Mapping[str, Any],
    ini_folder: Path | None = None,
    start: Path | None = None,
    spellings: Mapping[str, str] | None = None,
) -> Settings:
    """Return the settings; raises `SettingError` that names the first unusable value.

    `options` and `ini` hold None, or nothing, where the user said nothing. Relative
    paths are taken from `start` (options, environment) or `ini_folder` (ini). `spellings` are
    the options as they were typed, by the settings' names.
    """
    specs = every_spec()
    _refuse_unknown(environ, (spec.environment for spec in specs), "environment variable")
    _refuse_lasting(ini, specs)
    _refuse_unknown(ini, (spec.ini for spec in specs if spec.has_ini), "ini key")

    def entries(spec: Spec[Any]) -> Iterator[Entry]:
        typed = (spellings or {}).get(spec.name, spec.option)
        said: tuple[tuple[Source, str, object, Path | None], ...] = (
            ("option", typed, options.get(spec.name), start),
            ("environment", spec.environment, environ.get(spec.environment), start),
            ("ini", spec.ini, ini.get(spec.ini), ini_folder),
        )
        for source, spelling, value, folder in said:
            if value is not None:
                yield Entry(source, spelling, value, (folder or root, root))

    resolved = {spec.name: spec.resolve(entries(spec)) for spec in specs}
    settings = Settings(
        root=root,
        values={name: value for name, (value, _, _) in resolved.items()},
        sources={name: source for name, (_, source, _) in resolved.items()},
        spellings={name: spelling for name, (_, _, spelling) in resolved.items()},
    )
    conflicts.refuse(settings)
    return settings


def _refuse_unknown(names: Iterable[str], known: Iterable[str], what: str) -> None:
    known = list(known)
    prefix = known[0][: len("dbmigrate_")]
    for name in names:
        if name.startswith(prefix) and name not in known:
            import difflib  # costs two milliseconds, and only an error needs it

            from pytest_dbmigrate.errors import SettingError

            words = [known_name[len(prefix) :] for known_name in known]
            near = difflib.get_close_matches(name[len(prefix) :], words, 1)
            raise SettingError(
                f"pytest-dbmigrate has no {what} {name}",
                todo=(
                    f"did you mean {prefix}{near[0]}?" if near else f"known are {', '.join(known)}",
                ),
            )


def _refuse_lasting(ini: Mapping[str, Any], specs: tuple[Spec[Any], ...]) -> None:
    """Refuse an ini file that has a key, or an option in `addopts`, meant for one run."""
    for spec in specs:
        if not spec.has_ini and spec.ini in ini:
            from pytest_dbmigrate.errors import SettingError

            raise SettingError(
                f"{spec.option} is for one run, and cannot stand in an ini file",
                todo=(f"say {spec.option} on the command line",),
            )
