"""Hooks of pytest and pytest-xdist: when the plugin reads settings, prepares, tells and ends."""

from __future__ import annotations

import contextlib
from collections.abc import Generator
from typing import Any

import pytest

from pytest_dbmigrate.plugin import options
from pytest_dbmigrate.plugin.fixtures import WITH_DATABASE, WITH_SERVER, explain_scope
from pytest_dbmigrate.plugin.role import RUN_VARIABLE
from pytest_dbmigrate.plugin.state import STATE, State

# What only a run with a database needs is imported where it is needed: a run of unit tests
# pays for each module that is imported here.


def pytest_addhooks(pluginmanager: pytest.PytestPluginManager) -> None:
    """Add the hooks by which a project extends a run."""
    from pytest_dbmigrate.plugin import hookspecs

    pluginmanager.add_hookspecs(hookspecs)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_load_initial_conftests(early_config: pytest.Config) -> Generator[None, Any, Any]:
    """Read the settings, and set the configured variables before any conftest is imported."""
    state = _state_of(early_config)
    state.is_early = True
    if state.has_suites:
        from pytest_dbmigrate.plugin.suites import setup

        setup.begin(state)
    state.set_environ()
    try:
        return (yield)
    except Exception as error:
        if (
            state.role.suite
            and state.role.is_worker
            and type(error).__name__ == "ConftestImportFailure"
        ):
            return None  # the collection reports it, and the other suites run on
        if state.has_session:
            from pytest_dbmigrate.plugin import redaction

            redaction.redact_error(error, state.session().passwords())
        raise


def pytest_configure(config: pytest.Config) -> None:
    """Follow xdist's reports where this process is its controller."""
    state = _state_of(config)
    state.set_environ()  # not done yet if a conftest registered the plugin
    late = None if state.role.is_worker else state.late_server_hook()
    if late is not None:
        raise pytest.UsageError(f"dbmigrate: {late}")
    if not state.is_early and (state.settings.suites or state.settings.suite):
        raise pytest.UsageError(
            "dbmigrate: suites are separated before any conftest file is imported, but a conftest "
            "file loaded the plugin: load it with -p dbmigrate"
        )
    if state.is_controller:
        from pytest_dbmigrate.plugin.progress import ProgressTeller

        teller = ProgressTeller(state.narrator, config.pluginmanager)
        config.pluginmanager.register(teller, "dbmigrate-progress")
    elif state.settings.shared and not state.is_inert:
        from pytest_dbmigrate.plugin.shared import Shared

        config.pluginmanager.register(Shared(state), "dbmigrate-shared")


def pytest_report_header(config: pytest.Config) -> list[str]:
    """Return a line with the settings that are not defaults, and their sources."""
    from pytest_dbmigrate.version import __version__

    state = config.stash[STATE]
    lines = ["dbmigrate: " + ", ".join([__version__, *state.settings.changed()])]
    for place in state.hooks.places("pytest_dbmigrate_server"):
        source = state.settings.sources["server"]
        if source not in ("default", "hook"):
            said = f"{state.settings.spelled('server')} ({source}) names the server"
            lines.append(f"dbmigrate: pytest_dbmigrate_server ({place}) is not called: {said}")
    return [*lines, *options.header(config)]


@pytest.hookimpl(tryfirst=True)
def pytest_runtestloop(session: pytest.Session) -> None:
    """Prepare the database before the first test, if a test of this process needs it.

    An xdist worker waits until it really has such a test to run.
    """
    state = session.config.stash[STATE]
    needed = {name for item in session.items for name in getattr(item, "fixturenames", ())}
    if state.settings.shared and session.items:
        needed.add("migrated_db")
    if state.role.is_worker or state.is_controller or state.is_inert or not needed & WITH_SERVER:
        return
    if session.testsfailed and not session.config.option.continue_on_collection_errors:
        return
    from pytest_dbmigrate.errors import DbmigrateError

    with contextlib.suppress(DbmigrateError):  # each test that needs it reports it
        if needed & WITH_DATABASE:
            state.session().prepare()
        else:
            state.session().server()


def pytest_collection_finish(session: pytest.Session) -> None:
    """Fail the tests that need a database if a conftest or a plugin has overridden its address."""
    state = session.config.stash[STATE]
    name = state.environ.overridden()
    if name and not state.is_inert:
        state.refuse(name)
    late = state.late_server_hook()
    if late is not None:
        state.session().refuse(late)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> Generator[None, None, None]:
    """Prepare the database before the test's own fixtures, and what they may patch.

    Where a fixture of a higher scope asks for a test's database, tell what to ask for instead.
    """
    state = item.config.stash[STATE]
    if WITH_DATABASE.intersection(getattr(item, "fixturenames", ())) and not state.is_inert:
        from pytest_dbmigrate.errors import DbmigrateError

        with contextlib.suppress(DbmigrateError):  # the fixture reports it
            state.session().prepare()
    try:
        return (yield)
    except pytest.fail.Exception as error:
        error.msg = explain_scope(str(error.msg))
        raise


@pytest.hookimpl(tryfirst=True)
def pytest_cmdline_main(config: pytest.Config) -> int | None:
    """Run `--db-status` or `--db-stop` instead of tests."""
    for action in ("stop", "status"):
        if getattr(config.option, f"dbmigrate_{action}", False):
            from pytest_dbmigrate.plugin import actions

            return actions.act(action, config)
    return None


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    """Explain a failure, list leaks and kept databases."""
    state = config.stash[STATE]
    if state.has_run or state.settings.accept_drift:
        state.narrator.summarize(terminalreporter)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_setupnodes(config: pytest.Config, specs: list[Any]) -> None:
    """Tell each worker which run it belongs to, and let a hook name the run's server."""
    state = config.stash[STATE]
    run = state.run()
    if state.hooks.places("pytest_dbmigrate_server"):
        state.settle_server()
    for spec in specs:
        if spec.popen:
            spec.env[RUN_VARIABLE] = str(run.folder)


def _state_of(config: pytest.Config) -> State:
    if STATE not in config.stash:
        config.stash[STATE] = State(config)
    return config.stash[STATE]
