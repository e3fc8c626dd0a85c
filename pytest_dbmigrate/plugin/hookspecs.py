"""Hook specifications: what a project's conftest files and other plugins may do for a run.

`docs/how-to/extending.md` shows each of them at work.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    import psycopg

    from pytest_dbmigrate.schema.difference import Difference


@pytest.hookspec(firstresult=True)
def pytest_dbmigrate_server(config: pytest.Config) -> str | None:
    """Return the `postgresql://` URL of a server that runs already, or None to leave it to others.

    It is used as if `--db-server` had named it. Called at most once in a run, in the process that
    the command has started: under pytest-xdist the controller. Not called if `--db-server` (or its
    environment variable or ini key) is set. With `dbmigrate_env` the hook has to be in a module
    that is loaded with `-p`, since the address is needed before any conftest file is imported.

    Stop the server with `config.add_cleanup`: the databases of the run are dropped before that.
    """


@pytest.hookspec
def pytest_dbmigrate_migrated(connection: psycopg.Connection) -> None:
    """Put data into the template, of which each test's database is a copy.

    Called after the last revision and the schema check, with a connection to the database that
    becomes the template; it is committed and closed afterwards. Its source file is part of the
    template's fingerprint. Under pytest-xdist it is called in the worker that builds the template.
    """


@pytest.hookspec
def pytest_dbmigrate_differences(differences: list[Difference]) -> None:
    """Change the list of differences between the migrated schema and the models, in place.

    Called before the baseline is applied and the differences become errors or warnings; in every
    run, also one whose template is unchanged.
    """
