"""Hooks of the project, called: a server's address, data for the template, other differences.

What goes wrong in one of them is one error with the hook's name, file and line.
"""

from __future__ import annotations

import inspect
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from pytest_dbmigrate.databases.connection import Connection
    from pytest_dbmigrate.errors import ScriptError
    from pytest_dbmigrate.runs.run import Run
    from pytest_dbmigrate.schema.difference import Difference
    from pytest_dbmigrate.settings.values import Settings

SERVER, MIGRATED, DIFFERENCES = (
    f"pytest_dbmigrate_{name}" for name in ("server", "migrated", "differences")
)
_NAMED = "named_server.json"  # in the run's folder: what the hook has said, and who was asked


class Hooks:
    """The hooks that conftest files and plugins of this process implement."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config

    def places(self, name: str) -> list[str]:
        """Return file and line of each implementation of a hook."""
        return [_place(it.function, self._config) for it in self._implementations(name)]

    def server_settings(self, settings: Settings, run: Run) -> Settings:
        """Return the settings with the server that `pytest_dbmigrate_server` returns, if any.

        Only the owner of the run calls the hook, and leaves the answer in the run's folder for the
        other processes. Its error is raised by every attempt to get the server of this run.
        """
        if settings.sources["server"] != "default":
            return settings
        with run.only_one("named_server"):
            named = run.read(_NAMED)
            if named is None and run.is_owner:
                named = {"url": self._call_server_hook(run), "asked": self.places(SERVER)}
                run.write(_NAMED, named)
        return self._with_server(settings, run, (named or {}).get("url"))

    def late_server(self, settings: Settings, run: Run | None) -> str:
        """Return the place of a server hook that was registered after the hook was called."""
        places = self.places(SERVER)
        if not places or settings.sources["server"] != "default" or run is None:
            return ""
        named = run.read(_NAMED)
        if named is None and run.is_owner:
            return ""  # nobody has needed the server so far
        asked = named["asked"] if named else []
        return next((place for place in places if place not in asked), "")

    def data_files(self) -> tuple[str, ...]:
        """Return the files of the hooks that put data into the template."""
        files = {_file(it.function) for it in self._implementations(MIGRATED)}
        return tuple(sorted(files))

    def put_data(self, connection: Connection) -> None:
        """Call the hooks that put data into the template. Raises `ScriptError`."""
        with self._explain_errors(MIGRATED):
            self._config.hook.pytest_dbmigrate_migrated(connection=connection)

    def change_differences(self, differences: list[Difference]) -> None:
        """Let the hooks add to the differences, or remove some. Raises `ScriptError`."""
        from pytest_dbmigrate.errors import SettingError
        from pytest_dbmigrate.schema.difference import Difference

        with self._explain_errors(DIFFERENCES):
            self._config.hook.pytest_dbmigrate_differences(differences=differences)
        left: list[object] = [*differences]
        wrong = next((it for it in left if not isinstance(it, Difference)), None)
        if wrong is not None:
            raise SettingError(
                f"pytest_dbmigrate_differences has left {wrong!r} in the list, "
                "which is no Difference",
                tried=tuple(self.places(DIFFERENCES)),
                todo=("add values of pytest_dbmigrate.Difference",),
            )

    def _call_server_hook(self, run: Run) -> str | None:
        from pytest_dbmigrate.errors import DbmigrateError

        try:
            with self._explain_errors(SERVER):
                url: str | None = self._config.hook.pytest_dbmigrate_server(config=self._config)
                return url
        except DbmigrateError as error:
            _refuse_server(run, error)
            return None

    def _with_server(self, settings: Settings, run: Run, url: Any) -> Settings:
        """Return the settings with the server at a URL; the same checks as for `--db-server`."""
        if url is None:
            return settings
        from pytest_dbmigrate.errors import SettingError
        from pytest_dbmigrate.settings import conflicts
        from pytest_dbmigrate.settings.server_request import ServerRequest

        try:
            request = ServerRequest.given(str(url))
        except ValueError as error:
            refusal = SettingError(
                f"pytest_dbmigrate_server has returned what is no URL of a server: {error}",
                tried=tuple(self.places(SERVER)),
                todo=("return postgresql://USER:PASSWORD@HOST:PORT/, or None",),
            )
            _refuse_server(run, refusal)
            return settings
        changed = replace(
            settings.but(server=request), sources={**settings.sources, "server": "hook"}
        )
        try:
            conflicts.refuse(changed)
        except SettingError as refusal:
            _refuse_server(run, refusal)
        return changed

    def _implementations(self, name: str) -> list[Any]:
        caller = getattr(self._config.hook, name)
        return list(caller.get_hookimpls())

    @contextmanager
    def _explain_errors(self, name: str) -> Iterator[None]:
        """Raise what goes wrong in a hook as one `ScriptError` that names file and line."""
        try:
            yield
        except pytest.exit.Exception:
            raise
        except (Exception, pytest.fail.Exception, pytest.skip.Exception) as error:
            raise self._failure(name, error) from error

    def _failure(self, name: str, error: BaseException) -> ScriptError:
        from pytest_dbmigrate.errors import ScriptError

        functions = [it.function for it in self._implementations(name)]
        files = {_file(it) for it in functions}
        frames = traceback.extract_tb(error.__traceback__)
        found = [it for it in frames if it.filename in files]
        file, line = (found[-1].filename, found[-1].lineno or 0) if found else ("", 0)
        if not found and functions:
            file, line = _file(functions[-1]), _line(functions[-1])
        diagnosis = getattr(error, "diag", None)  # psycopg's
        message = getattr(diagnosis, "message_primary", None)
        return ScriptError(
            f"hook {name} failed",
            file=_relative_path(file, self._config),
            line=line,
            message=message or f"{type(error).__name__}: {error}",
            detail=getattr(diagnosis, "message_detail", None) or "",
            hint=getattr(diagnosis, "message_hint", None) or "",
        )


def _refuse_server(run: Run, error: Any) -> None:
    """Let every attempt to get the server of this run raise an error."""
    from pytest_dbmigrate.errors import as_record
    from pytest_dbmigrate.servers import startup

    run.write(startup.SERVER, {"error": as_record(error)})


def _file(function: Any) -> str:
    return str(inspect.unwrap(function).__code__.co_filename)


def _line(function: Any) -> int:
    return int(inspect.unwrap(function).__code__.co_firstlineno)


def _place(function: Any, config: pytest.Config) -> str:
    return f"{_relative_path(_file(function), config)}:{_line(function)}"


def _relative_path(file: str, config: pytest.Config) -> str:
    path = Path(file)
    root = config.rootpath
    return str(path.relative_to(root) if path.is_relative_to(root) else path)
