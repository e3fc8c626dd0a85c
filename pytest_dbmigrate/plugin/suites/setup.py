"""Setup of suites: makes this process their controller, the worker of one, or neither."""

from __future__ import annotations

import glob
import os
from pathlib import Path

import pytest

from pytest_dbmigrate.errors import SettingError
from pytest_dbmigrate.plugin.state import State
from pytest_dbmigrate.suites import definition, plan
from pytest_dbmigrate.suites.definition import Suite, Suites
from pytest_dbmigrate.suites.plan import Plan

_DOCTESTS = "test*.txt"  # pytest's own default


def begin(state: State) -> None:
    """Register the hooks for the selected suites, before any conftest file is imported.

    With more than one suite, this process controls workers, or runs in the foreground; with just
    one, it is a plain run that ignores the tests of other suites.
    Raises `pytest.UsageError`.
    """
    if state.role.coverage:
        from pytest_dbmigrate.plugin.suites import coverage

        coverage.begin(state.config, state.role.coverage)
    try:
        made = _plan(state)
    except SettingError as error:
        raise pytest.UsageError(f"dbmigrate: {error}") from None
    if state.role.suite or len(made.names) == 1:
        _begin_one(state, made, state.role.suite or made.names[0])
    elif not state.role.is_worker:
        _begin_many(state, made)


def _begin_one(state: State, made: Plan, name: str) -> None:
    from pytest_dbmigrate.plugin.suites.filter import Filter

    mine = made.suites.named(name)
    manager = state.config.pluginmanager
    if state.role.suite or made.needs_filter(name):
        _look_at(state.config, _anchors(made, state.config, mine))
        manager.register(Filter(made, mine, state), "dbmigrate-suite")
    if state.role.is_suite_worker:
        from pytest_dbmigrate.plugin.suites.worker import Worker

        manager.register(Worker(state, name), "dbmigrate-suite-worker")
        Worker.keep_coverage(state.config)
    if state.role.foreground is not None:
        from pytest_dbmigrate.plugin.suites.foreground_child import Child

        manager.register(Child(state, state.role.foreground), "dbmigrate-suite-child")


def _begin_many(state: State, made: Plan) -> None:
    from pytest_dbmigrate.plugin.suites import foreground, xdist_internals
    from pytest_dbmigrate.plugin.suites.coverage import Measuring

    if any(suite.kind == "folders" for suite in made.suites.all):
        _look_at(state.config, _anchors(made, state.config, None))
    measured = Measuring.begun(state.config)
    why = foreground.reason(state.config) or xdist_internals.trouble(state.config)
    if why is not None:
        state.config.pluginmanager.register(
            foreground.Foreground(state, made, why, measured), "dbmigrate-suites-foreground"
        )
        return
    from pytest_dbmigrate.plugin.suites.controller import Controller

    xdist_internals.distribute(state.config)
    state.is_controller = True
    state.config.pluginmanager.register(Controller(state, made, measured), "dbmigrate-suites")


def _plan(state: State) -> Plan:
    config = state.config
    if state.settings.suites:
        from_ini = state.settings.sources["suites"] == "ini" and config.inipath is not None
        folder = config.inipath.parent if from_ini and config.inipath else Path.cwd()
        suites = definition.parse(state.settings.suites, folder)
    else:
        suites = definition.conventional(state.conventional_suites())
    only = [name.strip() for name in state.settings.suite.split(",") if name]
    return plan.make(suites, _arguments(config), _files(config), only)


def _arguments(config: pytest.Config) -> list[str]:
    """Return what pytest will collect from: arguments, else testpaths, else where it is."""
    given: list[str] = list(config.known_args_namespace.file_or_dir)
    if not given and config.invocation_params.dir == config.rootpath:
        for path in config.getini("testpaths"):
            given += sorted(glob.glob(path, recursive=True))
    return given or [str(config.invocation_params.dir)]


def _files(config: pytest.Config) -> plan.Files:
    namespace = config.known_args_namespace
    tests = [*config.getini("python_files")]
    tests += getattr(namespace, "doctestglob", None) or [_DOCTESTS]
    tests += ["*.py"] if getattr(namespace, "doctestmodules", False) else []
    return plan.Files(tuple(tests), tuple(config.getini("norecursedirs")))


def _look_at(config: pytest.Config, conftests: list[str]) -> None:
    """Make pytest import these conftest files, and those above them, instead of its own choice.

    It looks for conftest files beside the arguments; `os.devnull` has none beside it.
    """
    config.known_args_namespace.file_or_dir = conftests or [os.devnull]


def _anchors(made: Plan, config: pytest.Config, mine: Suite | None) -> list[str]:
    """Return the conftest files to begin with: those above suites, and those of this one.

    Above all suites, because options may be defined there; never one of another suite.
    """
    suites = made.suites
    folders = [str(Path(path).parent) for suite in suites.all for path in suite.paths]
    if mine is not None:
        for argument in made.arguments[mine.name]:
            folders += _folders(suites, plan.path_of(argument), mine)
    found = [_nearest(folder, config.rootpath) for folder in folders]
    return list(dict.fromkeys(it for it in found if it and suites.of_path(it) in (None, mine)))


def _folders(suites: Suites, path: str, mine: Suite) -> list[str]:
    """Return the folders whose conftest files pytest imports at the start for an argument."""
    if mine.kind == "folders" and suites.of_path(path) != mine:
        return [it for it in mine.paths if suites.leads_to(path, mine)]
    if not os.path.isdir(path):
        return [os.path.dirname(os.path.abspath(path))]
    below = [str(it) for it in Path(path).glob("test*") if it.is_dir()]
    return [os.path.abspath(path), *below]


def _nearest(folder: str, root: Path) -> str:
    """Return the conftest file of a folder, or of the nearest one above it up to the root."""
    for place in (Path(folder), *Path(folder).parents):
        if (place / "conftest.py").is_file():
            return str(place / "conftest.py")
        if place == root:
            break
    return ""
