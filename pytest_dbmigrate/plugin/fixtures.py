"""The fixtures `migrated_db`, `migrated_db_factory` and `db_server`."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING, Literal, TypeVar

import pytest

from pytest_dbmigrate.plugin.state import STATE

if TYPE_CHECKING:
    from pytest_dbmigrate.databases.factory import MigratedDatabaseFactory
    from pytest_dbmigrate.databases.lease import MigratedDatabase
    from pytest_dbmigrate.servers.server import Server

T = TypeVar("T")
WITH_DATABASE = frozenset({"migrated_db", "migrated_db_factory"})
WITH_SERVER = WITH_DATABASE | {"db_server"}
# pytest 8.2 to 9; what it says after this names the fixtures, with their files and lines
_MISMATCH = re.compile(
    r"ScopeMismatch: You tried to access the function scoped fixture migrated_db "
    r"with a (?P<scope>\w+) scoped request object\.\s*"
)


def _scope(fixture_name: str, config: pytest.Config) -> Literal["session", "function"]:  # noqa: ARG001  # pytest's names
    return "session" if config.stash[STATE].settings.shared else "function"


@pytest.fixture(scope=_scope)
def migrated_db(request: pytest.FixtureRequest) -> Iterator[MigratedDatabase]:
    """A database of the test's own, built by the project's migrations, at head.

    Committed writes, several connections, threads and subprocesses are fine; the next
    test has a new database at the same address. With `dbmigrate_shared` it is the one
    that all tests of the process share, and has the scope of the session.
    """
    state = request.config.stash[STATE]
    session = state.session()
    if state.settings.shared:
        yield _or_fail(session.share)
        return
    _or_fail(session.prepare)
    database = _or_fail(session.take)
    try:
        yield database
    finally:
        name_leaks = request.config.get_verbosity() > 0
        _or_fail(partial(session.release, request.node.nodeid, name_leaks=name_leaks))


@pytest.fixture(scope="session")
def migrated_db_factory(request: pytest.FixtureRequest) -> Iterator[MigratedDatabaseFactory]:
    """Makes databases like `migrated_db`, for fixtures of every scope, and for a second one.

    `migrated_db_factory()` returns a database that lives until its `release()`, until the end
    of the `with` block it is used for, or else until the end of the session.
    """
    session = request.config.stash[STATE].session()
    name_leaks = request.config.get_verbosity() > 0
    factory = _or_fail(partial(session.factory, name_leaks=name_leaks))
    try:
        yield factory
    finally:
        _or_fail(factory.release)


@pytest.fixture(scope="session")
def db_server(request: pytest.FixtureRequest) -> Server:
    """The run's Postgres server: its kind, version, and the address of its main database."""
    return _or_fail(request.config.stash[STATE].session().server)


def explain_scope(message: str) -> str:
    """Return pytest's message for a fixture that cannot have `migrated_db`, with the way out.

    Any other message comes back as it is.
    """
    found = _MISMATCH.match(message)
    if found is None:
        return message
    scope = found["scope"]
    return (
        f"ScopeMismatch: migrated_db is the database of one test, and a fixture of scope {scope} "
        "asked for it: let that fixture ask for migrated_db_factory, whose databases live as long "
        f"as it does (with migrated_db_factory() as database: ...)\n{message[found.end() :]}"
    )


def _or_fail(step: Callable[[], T]) -> T:
    """Return what the step returns; its error becomes the test's, in one line."""
    from pytest_dbmigrate.errors import DatabaseError, DbmigrateError

    said = ""
    try:
        return step()
    except DatabaseError as error:  # of this test alone
        said = str(error)
    except DbmigrateError as error:
        said = f"no database: {error.what} (explained at the end)"
    pytest.fail(said, pytrace=False)
