"""However a run ends, nothing of it is left, on every kind of server."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from typing import Any

import psycopg
import pytest

from pytest_dbmigrate import file_locks
from pytest_dbmigrate.databases.connection import connect, drop
from pytest_dbmigrate.errors import ServerError
from pytest_dbmigrate.runs import folders, guardian
from pytest_dbmigrate.runs.run import Run
from pytest_dbmigrate.servers import startup
from pytest_dbmigrate.settings.resolution import resolve
from tests.conformance.kinds import Owner, Plain

StartOwner = Callable[..., Owner]
Left = Callable[[Owner], list[str]]
Find = Callable[[str], list[int]]
Eventually = Callable[[Callable[[], object]], None]


def answers(owner: Owner) -> bool:
    """Return whether the test's database is there."""
    try:
        with psycopg.connect(owner.database.conninfo()) as connection:
            connection.execute("select * from item")
    except psycopg.OperationalError:
        return False
    return True


def kill_guardian(owner: Owner, processes: Find) -> None:
    """Kill the run's guardian, and return when it is gone."""
    (found,) = processes(f"guardian.py\0{owner.folder}")
    os.kill(found, signal.SIGKILL)
    while file_locks.is_record_locked(owner.folder / guardian.BUSY):
        pass  # a process that is ending has no command line any more, but its locks


def test_a_run_that_goes_on_is_seen(start_owner: StartOwner, left: Left, kind: str) -> None:
    owner = start_owner()
    found = {line.partition(" ")[0] for line in left(owner)}
    own = {"docker": {"ps", "network"}, "compose": {"ps", "network"}, "url": {"database"}}
    assert found == {"process", "folder", *own.get(kind, ())}
    assert answers(owner)


def test_a_run_that_finishes_leaves_nothing(start_owner: StartOwner, left: Left) -> None:
    owner = start_owner()
    owner.finish()
    assert (left(owner), answers(owner)) == ([], False)


def test_a_run_that_is_killed_leaves_nothing(
    start_owner: StartOwner, left: Left, eventually: Eventually
) -> None:
    owner = start_owner()
    owner.kill()
    eventually(lambda: left(owner) == [])
    assert not answers(owner)


def test_a_run_whose_guardian_was_killed_leaves_nothing(
    start_owner: StartOwner, left: Left, processes: Find
) -> None:
    owner = start_owner()
    kill_guardian(owner, processes)
    owner.finish()
    assert (left(owner), answers(owner)) == ([], False)


def test_the_next_run_sweeps_what_is_left_when_all_was_killed(
    start_owner: StartOwner, left: Left, processes: Find
) -> None:
    owner = start_owner()
    kill_guardian(owner, processes)
    owner.kill()
    assert left(owner) != []
    folders.sweep()
    assert (left(owner), answers(owner)) == ([], False)


def test_a_kept_run_stays_until_it_is_ended(start_owner: StartOwner, left: Left) -> None:
    owner = start_owner(keep=True)
    owner.finish()
    folders.sweep()
    assert answers(owner)
    assert folders.end_kept(None) == [owner.id]
    assert (left(owner), answers(owner)) == ([], False)


@pytest.mark.parametrize("kind", ["url"], indirect=True)
def test_a_server_by_url_has_the_same_databases_as_before(
    start_owner: StartOwner, plain: Plain
) -> None:
    before = plain.databases()
    owner = start_owner()
    during = plain.databases()
    owner.finish()
    assert (plain.databases(), len(during - before)) == (before, 3)


@pytest.mark.parametrize("kind", ["url"], indirect=True)
def test_a_database_that_somebody_else_gave_our_prefix_survives(
    start_owner: StartOwner, plain: Plain
) -> None:
    owner = start_owner()
    strangers = {f"dbm_{owner.id}_stranger", "dbm_0a1b2c3d_template"}
    with connect(plain.role) as connection:
        for name in strangers:
            connection.execute(f"create database {name}".encode())
        owner.finish()
        assert strangers <= plain.databases()
        for name in strangers:
            connection.execute(drop(name))


def test_a_role_without_createdb_is_one_clear_error(plain: Plain, new_run: Run) -> None:
    with connect(plain.admin) as connection:
        connection.execute("create role reader login password 's3cret'")
    url = plain.role.url().replace("tester", "reader")
    settings = resolve(new_run.folder, {"server": str(url)}, {}, {})
    with pytest.raises(ServerError) as refused:
        startup.server(settings, new_run)
    version = plain_version(plain)
    assert str(refused.value).splitlines() == [
        f"role reader may not create databases on {version}",
        '  to do: run there, as a superuser: ALTER ROLE "reader" CREATEDB',
    ]
    with connect(plain.admin) as connection:
        connection.execute("drop role reader")


def plain_version(plain: Plain) -> str:
    with connect(plain.admin) as connection:
        row: Any = connection.execute("select current_setting('server_version_num')").fetchone()
    major, minor = divmod(int(row[0]), 10000)
    return f"PostgreSQL {major}.{minor} (url at 127.0.0.1:{plain.admin.port})"
