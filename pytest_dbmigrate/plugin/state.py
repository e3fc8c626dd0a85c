"""What the plugin knows of the pytest run it is part of."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pytest_dbmigrate.plugin import options

if TYPE_CHECKING:
    from pytest_dbmigrate.addresses.dsn import Dsn
    from pytest_dbmigrate.addresses.files import Handed
    from pytest_dbmigrate.plugin.narrator import Narrator
    from pytest_dbmigrate.runs.run import Run
    from pytest_dbmigrate.session import Session

RUN_VARIABLE = "DBMIGRATE_RUN"
COVERAGE_VARIABLE = "DBMIGRATE_RUN_COVERAGE"  # how a process of the run measures itself
FOREGROUND_VARIABLE = "DBMIGRATE_RUN_FOREGROUND"  # how its run in the foreground goes, in JSON
SUITE_VARIABLE = "DBMIGRATE_RUN_SUITE"  # the one suite that is this process's
# libpq's variables that lead past the host of an address, and those that demand of a
# server what one of our own does not do
_ELSEWHERE = ("PGHOSTADDR", "PGSERVICE", "PGSERVICEFILE")
_DEMANDS = (
    "PGCHANNELBINDING",
    "PGCLIENTENCODING",
    "PGGSSENCMODE",
    "PGOPTIONS",
    "PGREQUIREAUTH",
    "PGSSLMODE",
    "PGTARGETSESSIONATTRS",
)
_TELLS = (
    "help",
    "version",
    "markers",
    "showfixtures",
    "show_fixtures_per_test",
    "cacheshow",
    "dbmigrate_status",
    "dbmigrate_stop",
)
_INERT = (*_TELLS, "collectonly", "setupplan")


class State:
    """The plugin's state in one process: settings, session, and what to tell.

    `is_worker` and `is_controller` are xdist's; in a plain run the process is neither.
    """

    def __init__(self, config: pytest.Config, begin: Callable[[State], None]) -> None:
        """`begin` is called when the process first has to do with a database."""
        self.config = config
        self._begin = begin
        is_xdist = "PYTEST_XDIST_WORKER" in os.environ  # elsewhere the variable is a mistake
        self.suite = os.environ.pop(SUITE_VARIABLE, "")
        self.foreground: dict[str, Any] = json.loads(os.environ.pop(FOREGROUND_VARIABLE, "{}"))
        self.coverage = os.environ.pop(COVERAGE_VARIABLE, "")
        joins = is_xdist or bool(self.foreground)
        self.run_folder = os.environ.pop(RUN_VARIABLE, None) if joins else None
        self.settings = options.read(config)
        self.is_worker = self.run_folder is not None and not self.foreground
        self.is_controller = not self.is_worker and _distributes(config)
        self.is_inert = any(getattr(config.known_args_namespace, name, None) for name in _INERT)
        self.is_early = False  # whether no conftest had been imported when the plugin was loaded
        self._worker = os.environ["PYTEST_XDIST_WORKER"] if self.is_worker else "main"
        if self.foreground:
            self._worker = f"fg{self.foreground['index']}"
        self._run: Run | None = None
        self._process = os.getpid()
        self._session: Session | None = None
        self._environ: Mapping[str, str] = {}
        self._handed: Handed | None = None
        self._environ_before: dict[str, str | None] = {}
        config.add_cleanup(self.close)

    @cached_property
    def narrator(self) -> Narrator:
        """Tells the run's journal on the terminal."""
        from pytest_dbmigrate.plugin.narrator import Narrator

        shows, is_captured = not self.is_worker, not self.is_controller
        accepts = self.settings.accept_drift
        return Narrator(self.config, shows=shows, is_captured=is_captured, accepts=accepts)

    @property
    def has_session(self) -> bool:
        """Whether this process has had to do with a database."""
        return self._session is not None

    @property
    def has_suites(self) -> bool:
        """Whether tests are to be told apart by suite."""
        namespace = self.config.known_args_namespace
        if self.settings.suites_mode == "off" or any(
            getattr(namespace, name, None) for name in _TELLS
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
        """Return the run this process is part of; it begins with the first call."""
        if self._run is None:
            from pytest_dbmigrate.runs import folders, run

            self._process = os.getpid()
            if self.run_folder is None:
                folders.sweep()
                self._run = run.Run.start(str(self.config.rootpath))
                if self.settings.keep != "never":
                    folders.end_kept(str(self.config.rootpath))
            else:
                self._run = run.Run.join(self.run_folder)
            # what the suites before this one have done was told in their own runs
            self.narrator.follow(self._run, only_what_is_new=bool(self.foreground))
        return self._run

    def session(self) -> Session:
        """Return this process's session, begun with the first call."""
        if self._session is None:
            self._forget(_ELSEWHERE if self.settings.server.is_given else _ELSEWHERE + _DEMANDS)
            from pytest_dbmigrate.session import Session

            current = self.run()
            self._begin(self)
            self._session = Session(self.settings, current, self._worker, self.folders())
        return self._session

    def set_environ(self) -> None:
        """Let the configured variables and files carry the address of this process's database.

        Raises `pytest.UsageError` if the address cannot be known, or a file not be written.
        """
        has_names = self.settings.env or self.settings.env_file
        if not has_names or self._environ or self._handed:
            return
        from pytest_dbmigrate.addresses.dsn import Dsn
        from pytest_dbmigrate.errors import DbmigrateError

        nowhere = Dsn("127.0.0.1", 1, "postgres", "", "dbmigrate_no_database")
        try:
            dsn = nowhere if self.is_inert else self.session().address()
            self._change_environ({**self.settings.environ_for(dsn), **self._hand_files(dsn)})
        except DbmigrateError as error:
            raise pytest.UsageError(f"dbmigrate: {error}") from None

    def _hand_files(self, dsn: Dsn) -> dict[str, str]:
        if not self.settings.env_file:
            return {}
        from pytest_dbmigrate.addresses.files import Handed

        place = None if self.is_inert else (self.session().run.folder, self._worker)
        alone = not (self.is_worker or self.is_controller)
        self._handed = Handed(self.settings.env_file, dsn, place, alone=alone)
        return self._handed.environ

    def refuse(self, name: str) -> None:
        """Let every test that needs the database fail: somebody has set this variable."""
        from pytest_dbmigrate.errors import SettingError

        is_file = any(file.name == name for file in self.settings.env_file)
        setting = "dbmigrate_env_file" if is_file else "dbmigrate_env"
        error = SettingError(
            f"{name}, which {setting} names, was set to something else while conftest files, "
            "plugins and test modules were loaded",
            todo=(f"remove what sets it, or the variable from {setting}",),
        )
        self.session().refuse(error)

    def overridden(self) -> str:
        """Return the name of a configured variable that somebody has set to something else."""
        return next(
            (name for name, ours in self._environ.items() if os.environ.get(name) != ours), ""
        )

    def close(self) -> None:
        """Undo what was done to the process, and end the run if it is ours."""
        for name, before in self._environ_before.items():
            if before is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = before
        if self._handed is not None:
            self._handed.remove()
        ended, self._run = self._run, None
        session, self._session = self._session, None
        if ended is None or os.getpid() != self._process:  # a fork's is not its to end
            return
        is_clean = session.close() if session is not None else ended.finish()
        if not is_clean:
            print(
                f"dbmigrate: not everything of run {ended.id} could be removed; "
                "the next run tries again",
                file=sys.stderr,
            )

    def _change_environ(self, values: Mapping[str, str]) -> None:
        self._environ = values
        for name, value in values.items():
            self._environ_before[name] = os.environ.get(name)
            os.environ[name] = value

    def _forget(self, names: tuple[str, ...]) -> None:
        """Take variables out of the environment until the run ends."""
        for name in names:
            if name in os.environ:
                self._environ_before[name] = os.environ.pop(name)

    def folders(self) -> tuple[Path, ...]:
        """Return where the project's Alembic configuration may be."""
        inipath = self.config.inipath
        return (
            self.config.rootpath,
            *((inipath.parent,) if inipath else ()),
            self.config.invocation_params.dir,
        )


STATE = pytest.StashKey[State]()


def _distributes(config: pytest.Config) -> bool:
    """Whether xdist will run the tests in workers."""
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
