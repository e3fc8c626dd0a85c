"""Conflicts between settings: each is one error that names both settings, and the way out."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pytest_dbmigrate.errors import SettingError
    from pytest_dbmigrate.settings.values import Settings


def refuse(settings: Settings) -> None:
    """Check all settings against each other. Raises `SettingError` for the first conflict."""
    _refuse_environments(settings)
    if settings.env_file:
        _refuse_env_files(settings)
    _refuse_suites(settings)
    _refuse_variables(settings)
    _refuse_server(settings)
    if settings.baseline or settings.accept_drift:
        _refuse_baseline(settings)


def _error(what: str, *, todo: tuple[str, ...], tried: tuple[str, ...] = ()) -> SettingError:
    from pytest_dbmigrate.errors import (
        SettingError,
    )  # slow, and only an error needs it

    return SettingError(what, tried=tried, todo=todo)


def _refuse_variables(settings: Settings) -> None:
    names = [variable.name for variable in settings.env]
    for name in names:
        if names.count(name) > 1:
            raise _error(f"dbmigrate_env names {name} twice", todo=("keep one of the lines",))


def _refuse_server(settings: Settings) -> None:
    if settings.compose_service and not settings.compose_file:
        raise _error(
            f"dbmigrate_compose_service={settings.compose_service} needs a compose file",
            todo=("set dbmigrate_compose_file as well, or neither",),
        )
    dsn = settings.server.address
    if dsn is not None and not dsn.is_loopback and not settings.allow_remote:
        raise _error(
            f"the server at {dsn.host} is not on this machine",
            tried=(f"{dsn}, from the {settings.sources['server']}",),
            todo=(
                "name a server on this machine,",
                "or say --db-allow-remote if databases may be created and dropped there",
            ),
        )


def _refuse_suites(settings: Settings) -> None:
    if settings.suite and settings.suites_mode == "off":
        suite, mode = settings.spelled("suite"), settings.spelled("suites_mode")
        raise _error(
            f"{suite}={settings.suite} selects a suite, and suites are off",
            tried=(f"{mode}=off, from the {settings.sources['suites_mode']}",),
            todo=("leave out one of the two",),
        )
    if settings.shared and "auto" in settings.suites:
        raise _error(
            "dbmigrate_suites = auto tells tests by the fixtures they name, and with "
            "dbmigrate_shared a test has its database without naming one",
            tried=(f"dbmigrate_shared, from the {settings.sources['shared']}",),
            todo=("say which tests are a suite: NAME: FOLDER ..., or NAME: -m EXPRESSION",),
        )


def _refuse_environments(settings: Settings) -> None:
    for place in settings.alembic:
        if settings.alembic.count(place) > 1:
            raise _error(f"dbmigrate_alembic names {place} twice", todo=("keep one of the lines",))
    count, environments = len(settings.target), len(settings.alembic) or 1
    if count not in (1, environments):
        raise _error(
            f"dbmigrate_target has {count} lines for "
            f"{environments} {'environment' if environments == 1 else 'environments'}",
            todo=("give one line for all of them, or a line for each line of dbmigrate_alembic",),
        )


def _refuse_baseline(settings: Settings) -> None:
    if settings.check == "off":  # no baseline file is read
        if not settings.accept_drift:
            return
        raise _error(
            f"{settings.spelled('accept_drift')} has nothing to accept with "
            f"{settings.spelled('check')}=off",
            todo=("leave one of the two out",),
        )
    if not settings.baseline:
        raise _error(
            f"{settings.spelled('accept_drift')} needs a file to write to",
            todo=("name it: dbmigrate_baseline = FILE in the ini file, or --db-baseline=FILE",),
        )
    path, reason, todo = Path(settings.baseline), "", ""
    if not path.parent.is_dir():
        reason, todo = f"there is no folder {path.parent}", "make the folder, or name another file"
    elif path.exists() and not path.is_file():
        reason, todo = "it is no file", "name another one"
    elif not path.exists() and not settings.accept_drift:
        reason = "there is no such file"
        todo = "write it with the differences there are: run once with --db-accept-drift"
    if reason:
        setting = f"{settings.spelled('baseline')}={path}"
        raise _error(f"{setting} cannot be used: {reason}", todo=(todo,))


def _refuse_env_files(settings: Settings) -> None:
    """Refuse two files with one name or path, and a variable that already has the address."""
    known = {variable.name for variable in settings.env}
    seen: set[str] = set()
    for file in settings.env_file:
        if file.name in known:
            raise _error(
                f"dbmigrate_env and dbmigrate_env_file both name {file.name}",
                todo=("let it hold the address, or the path of a file with it",),
            )
        place = file.target or file.name
        if place in seen:
            raise _error(
                f"dbmigrate_env_file names {file.name} twice", todo=("keep one of the lines",)
            )
        seen.add(place)
