"""State of the plugin in one pytest process: role, settings, run, session; kept in the stash."""

from __future__ import annotations

import os
import sys
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pytest_dbmigrate.plugin import options
from pytest_dbmigrate.plugin.environ import DEMANDS, ELSEWHERE, Environ
from pytest_dbmigrate.plugin.role import ProcessRole

if TYPE_CHECKING:
    from pytest_dbmigrate.errors import SettingError
    from pytest_dbmigrate.plugin.extension import Hooks
    from pytest_dbmigrate.plugin.narrator import Narrator
    from pytest_dbmigrate.runs.run import Run
    from pytest_dbmigrate.session import Session

# pytest is only asked to show something. The attribute names are those of its namespace.
_INFORMS = (
    "help",
    "version",
    "markers",
    "showfixtures",
    "show_fixtures_per_test",
    "cacheshow",
    "dbmigrate_status",
    "dbmigrate_stop",
)
_INERT = (*_INFORMS, "collectonly", "setupplan")


class State:
    """The plugin's state in one process.

    `is_controller` is set if the tests run in xdist's workers; whether this process is one of
    them, `role` knows. `is_inert` is set if pytest was asked not to run any test.
    """

    def __init__(self, config: pytest.Config) -> None:
        self.config = config
        self.role = ProcessRole.from_environ(os.environ)
        self.settings = options.read(config)
        self.environ = Environ()
        self.is_controller = not self.role.is_worker and _distributes(config)
        self.is_inert = any(getattr(config.known_args_namespace, name, None) for name in _INERT)
        self.is_early = False  # whether it was loaded before any conftest file
        self._run: Run | None = None
        self._process = os.getpid()
        self._session: Session | None = None
        config.add_cleanup(self.close)

    @cached_property
    def narrator(self) -> Narrator:
        """Prints the notes of the run's journal on the terminal."""
        from pytest_dbmigrate.plugin.narrator import Narrator

        shows, is_captured = not self.role.is_worker, not self.is_controller
        accepts = self.settings.accept_drift
        return Narrator(self.config, shows=shows, is_captured=is_captured, accepts=accepts)

    @property
    def has_session(self) -> bool:
        """Whether this process has needed a database so far."""
        return self._session is not None

    @property
    def has_suites(self) -> bool:
        """Whether the tests are divided into suites."""
        namespace = self.config.known_args_namespace
        if self.settings.suites_mode == "off" or any(
            getattr(namespace, name, None) for name in _INFORMS
        ):
            return False
        return bool(self.settings.suites or self.settings.suite or self.conventional_suites())

    def conventional_suites(self) -> dict[str, list[str]]:
        """Return the suites whose folders have the conventional names, in the order they run."""
        from pytest_dbmigrate.suites import conventions

        root = str(self.config.rootpath)
        return conventions.suites(root, self.config.getini("testpaths"))

    @property
    def has_run(self) -> bool:
        """Whether this process has begun a run, or joined one."""
        return self._run is not None

    def run(self) -> Run:
        """Return the run of this process; the first call begins or joins it."""
        if self._run is None:
            from pytest_dbmigrate.runs import folders, run

            self._process = os.getpid()
            if self.role.run_folder is None:
                folders.sweep()
                self._run = run.Run.start(str(self.config.rootpath))
                if self.settings.keep != "never":
                    folders.end_kept(str(self.config.rootpath))
            else:
                self._run = run.Run.join(self.role.run_folder)
            # in the foreground, notes of the earlier suites were printed by their own processes
            self.narrator.follow(self._run, only_what_is_new=self.role.foreground is not None)
        return self._run

    def session(self) -> Session:
        """Return the session of this process; the first call begins it."""
        if self._session is None:
            self.settle_server()
            self.environ.take_out(ELSEWHERE)
            if not self.settings.server.is_given:
                self.environ.take_out(DEMANDS)
            from pytest_dbmigrate.plugin.reports import Reports
            from pytest_dbmigrate.session import Session

            folders = self.folders()
            self._session = Session(self.settings, self.run(), self.role.name, folders, self.hooks)
            self.config.pluginmanager.register(Reports(self._session), "dbmigrate-reports")
        return self._session

    @cached_property
    def hooks(self) -> Hooks:
        """The hooks of the project that extend a run."""
        from pytest_dbmigrate.plugin.extension import Hooks

        return Hooks(self.config)

    def settle_server(self) -> None:
        """Let the project's hook choose the server, once in a run and before it is needed."""
        self.settings = self.hooks.server_settings(self.settings, self.run())
        if self.settings.sources["server"] == "hook" and self.run().is_owner:
            self.config.add_cleanup(self.close)  # last in, first out: before the hook's own cleanup

    def late_server_hook(self) -> SettingError | None:
        """Return the error for a server hook that is registered too late, or None."""
        if self.is_inert or not self.hooks.places("pytest_dbmigrate_server"):
            return None
        run = self._run if self.role.run_folder is None else self.run()
        place = self.hooks.late_server(self.settings, run)
        if not place:
            return None
        from pytest_dbmigrate.errors import SettingError

        has_names = self.settings.env or self.settings.env_file
        reason = "the server's address is needed before conftest files are imported (dbmigrate_env)"
        if not has_names:
            reason = "the process that begins the run does not import that file"
        return SettingError(
            f"pytest_dbmigrate_server is known too late: {reason}",
            tried=(place,),
            todo=("put it into a module that is loaded with -p, as in: addopts = -p my_server",),
        )

    def set_environ(self) -> None:
        """Write the address of this process's database to the configured variables and files.

        Raises `pytest.UsageError` if the address cannot be settled, or a file cannot be written.
        """
        if self.environ.has_address or not (self.settings.env or self.settings.env_file):
            return
        from pytest_dbmigrate.addresses.dsn import Dsn
        from pytest_dbmigrate.errors import DbmigrateError

        nowhere = Dsn("127.0.0.1", 1, "postgres", "", "dbmigrate_no_database")
        alone = not (self.role.is_worker or self.is_controller)
        try:
            dsn = nowhere if self.is_inert else self.session().address()
            place = None if self.is_inert else (self.run().folder, self.role.name)
            self.environ.carry(self.settings, dsn, place, alone=alone)
        except DbmigrateError as error:
            raise pytest.UsageError(f"dbmigrate: {error}") from None

    def refuse(self, name: str) -> None:
        """Make every test that needs the database fail: other code has changed this variable."""
        from pytest_dbmigrate.errors import SettingError

        is_file = any(file.name == name for file in self.settings.env_file)
        setting = "dbmigrate_env_file" if is_file else "dbmigrate_env"
        error = SettingError(
            f"{name}, which {setting} names, was set to something else while conftest files, "
            "plugins and test modules were loaded",
            todo=(f"remove what sets it, or the variable from {setting}",),
        )
        self.session().refuse(error)

    def close(self) -> None:
        """Restore the environment, and end the session and the run if this process owns them."""
        self.environ.restore()
        run, self._run = self._run, None
        session, self._session = self._session, None
        if run is None or os.getpid() != self._process:  # a forked child must not end the run
            return
        is_clean = session.close() if session is not None else run.finish()
        if not is_clean:
            print(
                f"dbmigrate: not everything of run {run.id} could be removed; "
                "the next run tries again",
                file=sys.stderr,
            )

    def folders(self) -> tuple[Path, ...]:
        """Return the folders where the project's Alembic configuration may be."""
        inipath = self.config.inipath
        return (
            self.config.rootpath,
            *((inipath.parent,) if inipath else ()),
            self.config.invocation_params.dir,
        )


STATE = pytest.StashKey[State]()


def _distributes(config: pytest.Config) -> bool:
    """Whether xdist will run the tests in workers.

    xdist itself decides in a later hook; these are the options that it reads then.
    """
    namespace = config.known_args_namespace
    if not config.pluginmanager.hasplugin("xdist"):
        return False
    if getattr(namespace, "usepdb", False) or getattr(namespace, "numprocesses", None) == 0:
        return False
    return bool(
        getattr(namespace, "numprocesses", None)
        or getattr(namespace, "tx", None)
        or getattr(namespace, "dist", "no") != "no"
    )
