"""Filter of tests: keeps the tests, modules and conftest files of other suites out of a process."""

from __future__ import annotations

from collections.abc import Generator, Iterable
from pathlib import Path
from typing import Any

import pytest

from pytest_dbmigrate.plugin.fixtures import WITH_SERVER
from pytest_dbmigrate.plugin.state import State
from pytest_dbmigrate.suites.definition import Suite
from pytest_dbmigrate.suites.plan import Plan


class Filter:
    """Keeps tests, modules and conftest files of all other suites away.

    `state.role.suite` is empty if this suite is all the user has selected.
    """

    def __init__(self, plan: Plan, mine: Suite, state: State) -> None:
        self._plan = plan
        self._root = state.config.rootpath
        self._is_alone = not state.role.suite
        # in a run of several suites, a test of another one is not deselected: it runs there
        self._counts_others = not state.role.is_suite_worker
        order = state.role.foreground
        self._begun_with = set(order.begun_with if order else ())
        self._suites = plan.suites
        self._mine = mine
        self._expressions = {
            suite.name: _compiled(suite) for suite in plan.suites.all if suite.kind == "marker"
        }

    @pytest.hookimpl(tryfirst=True)
    def pytest_configure(self, config: pytest.Config) -> None:
        """Collect from the arguments that select this suite.

        They stay as the user wrote them: a folder named here instead would escape `--ignore`.
        """
        config.args = list(self._plan.arguments[self._mine.name])

    def pytest_ignore_collect(self, collection_path: Path) -> bool | None:
        """Ignore the folders of other suites."""
        owner = self._suites.of_path(collection_path)
        if owner is not None:
            is_mine = owner == self._mine
        else:
            is_mine = self._mine.kind != "folders" or self._suites.leads_to(
                collection_path, self._mine
            )
        return None if is_mine else True

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_collection_modifyitems(
        self, config: pytest.Config, items: list[pytest.Item]
    ) -> Generator[None]:
        """Remove other suites' tests, before other plugins count, sort or deselect."""
        owners = {item.nodeid: self.owner(item).name for item in items}
        others = [item for item in items if owners[item.nodeid] != self._mine.name]
        if others and self._counts_others:
            config.hook.pytest_deselected(items=others)
        items[:] = [item for item in items if owners[item.nodeid] == self._mine.name]
        if getattr(config.option, "xmlpath", None):
            for item in items:
                item.user_properties.append(("suite", self._mine.name))
        if not self._is_alone:
            self._leave_to_others(config, items, owners)
        return (yield)

    def pytest_fixture_setup(
        self, fixturedef: pytest.FixtureDef[Any], request: pytest.FixtureRequest
    ) -> None:
        """Refuse a database to a test that `auto` could not tell to use one."""
        is_rest = self._mine.kind == "rest" and any(
            suite.kind == "database" for suite in self._suites.all
        )
        if is_rest and fixturedef.argname in WITH_SERVER:
            pytest.fail(
                f"{fixturedef.argname} was asked for while the test was running, so it was not "
                f"known to belong to suite integration: name the fixture in {request.node.name}'s "
                "arguments, or in pytest.mark.usefixtures",
                pytrace=False,
            )

    def owner(self, item: pytest.Item) -> Suite:
        """Return the suite a test belongs to."""
        by_folder = self._suites.of_path(item.path)
        if by_folder is not None:
            return by_folder
        for suite in self._suites.loose:
            if suite.kind == "marker" and self._expressions[suite.name](item):
                return suite
        has_database = bool(WITH_SERVER & set(getattr(item, "fixturenames", ())))
        for suite in self._suites.loose:
            if suite.kind == "database" and has_database:
                return suite
        return next(suite for suite in self._suites.all if suite.kind == "rest")

    def _leave_to_others(
        self, config: pytest.Config, items: list[pytest.Item], owners: dict[str, str]
    ) -> None:
        """Run nothing if `--lf` or `--sw` resumes at a test of another suite.

        Left alone, they would not find that test here, and would run everything.
        """
        ids = {item.nodeid for item in items}
        cached = config.pluginmanager.getplugin("lfplugin")
        if cached is not None and config.getoption("lf", False):
            failed = {str(nodeid) for nodeid in cached.lastfailed} | self._begun_with
            if not failed & ids and self._elsewhere(failed, owners):
                items.clear()  # not counted: pytest does not even collect such modules
        stepwise = config.pluginmanager.getplugin("stepwiseplugin")
        if stepwise is not None and not getattr(config.option, "stepwise_reset", False):
            last = _last_failed(stepwise)
            there = self._elsewhere([last] if last else [], owners)
            names = self._plan.names
            if any(names.index(self._mine.name) < names.index(name) for name in there):
                config.hook.pytest_deselected(items=list(items))
                items.clear()
                # else it forgets the test, as it finds none here, and the next suite starts over
                config.pluginmanager.unregister(stepwise)

    def _elsewhere(self, nodeids: Iterable[str], owners: dict[str, str]) -> set[str]:
        """Return the other selected suites that known tests belong to."""
        found: set[str] = set()
        for nodeid in nodeids:
            path = self._root / nodeid.partition("::")[0]
            owner = self._suites.of_path(path)
            if nodeid in owners:
                found.add(owners[nodeid])
            elif path.exists() and owner is not None:
                found.add(owner.name)
            elif path.exists() and self._mine.kind == "folders":
                found |= {suite.name for suite in self._suites.loose}
        return found & set(self._plan.names) - {self._mine.name}


def _last_failed(stepwise: Any) -> str:
    info = getattr(stepwise, "cached_info", stepwise)  # in pytest 8.2 on the plugin itself
    found = getattr(info, "last_failed", None) or getattr(info, "lastfailed", None)
    return str(found) if found else ""


def _compiled(suite: Suite) -> Any:
    """Return whether a test has the markers of the suite's expression, as a function of it."""
    from _pytest.mark.expression import Expression

    try:
        expression = Expression.compile(suite.expression)
    except Exception as error:  # noqa: BLE001  # the type has moved between versions of pytest
        raise pytest.UsageError(
            f"dbmigrate: suite {suite.name} has an expression that pytest cannot read: "
            f"{suite.expression}\n  error: {error}"
        ) from None

    def fits(item: pytest.Item) -> bool:
        def has(name: str, /, **arguments: Any) -> bool:
            return any(
                all(mark.kwargs.get(key) == value for key, value in arguments.items())
                for mark in item.iter_markers(name)
            )

        return bool(expression.evaluate(has))

    return fits
