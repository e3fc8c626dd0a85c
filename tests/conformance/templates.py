"""A template made without migrations."""

from __future__ import annotations

from collections.abc import Callable

from pytest_dbmigrate.addresses.dsn import Dsn
from pytest_dbmigrate.databases import builds
from pytest_dbmigrate.databases.control import Control
from pytest_dbmigrate.errors import DbmigrateError
from pytest_dbmigrate.template import outcome


def ensure(control: Control, run_id: str, build: Callable[[Dsn], None]) -> str:
    """Return the name of the run's template, in which `build` has made the schema."""

    def make() -> str:
        scratch = builds.begin(control, run_id, run_id, [], {})
        try:
            build(scratch)
        except DbmigrateError:
            builds.forget(control, run_id)
            raise
        builds.seal(control, run_id, {})
        return run_id

    return outcome.ensure(control, make)
