"""Shared database (`dbmigrate_shared`): one for all tests of a process, whether they ask or not.

Registered only where that is set, and where tests are run. It is for test suites that
expect one database to be simply there: the application has its address from a variable, and no
test names a fixture.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import pytest

from pytest_dbmigrate.errors import DbmigrateError

if TYPE_CHECKING:
    from pytest_dbmigrate.plugin.state import State


class Shared:
    """The hooks that have the database ready before the first test, and keep it."""

    def __init__(self, state: State) -> None:
        self._state = state

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_protocol(self) -> None:
        """Take the database before the first fixture, of whatever scope.

        Before the test's own hooks, too: a plugin may fork a process for each test, and the
        database is that of them all.
        """
        with contextlib.suppress(DbmigrateError):  # a test that is to be skipped does not mind
            self._state.session().share()

    @pytest.hookimpl(specname="pytest_runtest_setup")
    def pytest_fail_without_database(self) -> None:
        """Fail a test that is not skipped if there is no database: it may need one."""
        said = ""
        try:
            self._state.session().share()
        except DbmigrateError as error:
            said = f"no database: {error.what} (explained at the end)"
        if said:
            pytest.fail(said, pytrace=False)
