"""Control database, template and leases, on every kind of server."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pytest
import sqlalchemy as sa

from pytest_dbmigrate.addresses.dsn import Dsn
from pytest_dbmigrate.databases import control_tables, names, sweep, turn
from pytest_dbmigrate.databases.connection import Connection, connect, drop
from pytest_dbmigrate.databases.control import Control
from pytest_dbmigrate.databases.lease import MOST_KEPT, Lease, MigratedDatabase
from pytest_dbmigrate.databases.pools import Pools
from pytest_dbmigrate.errors import DatabaseError
from pytest_dbmigrate.servers.server import Server
from tests.conformance.kinds import Plain
from tests.conformance.templates import ensure

SCHEMA = """
create table item (id serial primary key, name text not null);
insert into item (name) values ('seed');
create sequence ticket;
"""


def build(scratch: Dsn) -> None:
    """Make a small schema with one row in it."""
    with psycopg.connect(scratch.conninfo()) as connection:
        connection.execute(SCHEMA.encode())


@pytest.fixture
def lease(connected: Control, run_id: str) -> Lease:
    """A lease on copies of a sealed template."""
    return Lease(connected, run_id, "main", ensure(connected, run_id, build))


@pytest.fixture
def pools(lease: Lease) -> Iterator[Pools]:
    """The pools of this process."""
    pools = Pools(lease.name)
    yield pools
    pools.close()


def run(database: MigratedDatabase, statement: str) -> list[tuple[Any, ...]]:
    """Run a statement, commit it, and return its rows if it has any."""
    with psycopg.connect(database.dsn) as connection:
        cursor = connection.execute(statement.encode())
        return cursor.fetchall() if cursor.description else []


def databases(server: Server, run_id: str) -> dict[str, str | None]:
    """Return a run's databases and what the catalog says of each."""
    query = (
        "select datname, shobj_description(oid, 'pg_database') from pg_database "
        "where position(%s in datname) > 0"
    )
    with psycopg.connect(server.dsn.conninfo()) as connection:
        return dict(connection.execute(query, (run_id,)).fetchall())


def test_a_lease_is_a_copy_of_the_template(lease: Lease, pools: Pools) -> None:
    assert run(lease.take(), "select * from item") == [(1, "seed")]
    lease.release(pools)


def test_two_leases_in_a_row_have_the_same_address(lease: Lease, pools: Pools) -> None:
    first = lease.take()
    lease.release(pools)
    second = lease.take()
    lease.release(pools)
    assert (first.url, first.dsn) == (second.url, second.dsn)


@pytest.mark.parametrize(
    ("change", "look", "seen"),
    [
        ("insert into item (name) values ('mine')", "select name from item", [("seed",)]),
        ("delete from item", "select name from item", [("seed",)]),
        ("update item set name = 'mine'", "select name from item", [("seed",)]),
        ("create table mine (id int)", "select to_regclass('mine')", [(None,)]),
        ("alter table item add mine int", "select * from item", [(1, "seed")]),
        ("drop table item", "select count(*) from item", [(1,)]),
        ("select nextval('ticket')", "select nextval('ticket')", [(1,)]),
        (
            "insert into item (name) values ('mine')",
            "insert into item (name) values ('yours') returning id",
            [(2,)],
        ),
    ],
)
def test_a_test_sees_nothing_of_the_test_before_it(
    change: str, look: str, seen: list[Any], lease: Lease, pools: Pools
) -> None:
    run(lease.take(), change)
    lease.release(pools)
    assert run(lease.take(), look) == seen
    lease.release(pools)


def test_a_released_database_is_gone(
    lease: Lease, pools: Pools, server: Server, run_id: str
) -> None:
    lease.take()
    assert lease.name in databases(server, run_id)
    lease.release(pools)
    assert lease.name not in databases(server, run_id)


def test_a_database_is_released_while_somebody_is_connected(lease: Lease, pools: Pools) -> None:
    database = lease.take()
    idle = psycopg.connect(database.dsn)
    in_transaction = psycopg.connect(database.dsn)
    in_transaction.execute("insert into item (name) values ('mine')")
    busy = psycopg.connect(database.dsn)
    busy.pgconn.send_query(b"select pg_sleep(600)")
    lease.release(pools)
    for connection in (idle, in_transaction, busy):
        with pytest.raises(psycopg.OperationalError):
            connection.execute("select 1")
        connection.close()


def test_connections_that_a_test_leaves_open_are_named(lease: Lease, pools: Pools) -> None:
    forgotten = psycopg.connect(lease.take().dsn, application_name="shop", autocommit=True)
    forgotten.execute("select 'forgotten'")
    assert lease.leaked(pools) == [
        f"server process {forgotten.info.backend_pid} (shop), idle, last query: select 'forgotten'"
    ]
    lease.release(pools)
    forgotten.close()


def test_connections_of_the_tests_own_objects_are_no_leak(lease: Lease, pools: Pools) -> None:
    database = lease.take()
    database.connect().execute("select 1")
    with database.engine.connect() as connection:
        connection.execute(sa.text("select 1"))
    engine = sa.create_engine(database.url)
    with engine.connect() as connection:
        connection.execute(sa.text("select 1"))
    assert lease.leaked(pools) == []
    lease.release(pools)
    engine.dispose()


def test_an_engine_made_at_import_has_no_dead_connection(lease: Lease, pools: Pools) -> None:
    engine = sa.create_engine(lease.take().url)
    for _ in range(3):
        with engine.begin() as connection:
            connection.execute(sa.text("insert into item (name) values ('mine')"))
            assert connection.scalar(sa.text("select count(*) from item")) == 2
        lease.release(pools)
        lease.take()
    lease.release(pools)
    engine.dispose()


def test_nobody_connects_to_a_sealed_template(lease: Lease, server: Server, run_id: str) -> None:
    name = names.template(run_id)
    with pytest.raises(psycopg.OperationalError) as refused:
        psycopg.connect(server.dsn.at(name).conninfo())
    assert f'database "{name}" is not currently accepting connections' in str(refused.value)


def test_a_template_is_built_under_another_name(
    connected: Control, run_id: str, server: Server
) -> None:
    seen: list[dict[str, str | None]] = []

    def look(scratch: Dsn) -> None:
        seen.append(databases(server, run_id))
        build(scratch)

    ensure(connected, run_id, look)
    assert names.scratch(run_id) in seen[0]
    assert names.template(run_id) not in seen[0]
    assert names.scratch(run_id) not in databases(server, run_id)


def test_a_template_that_was_built_is_not_built_again(connected: Control, run_id: str) -> None:
    assert ensure(connected, run_id, build) == names.template(run_id)

    def fail(_: Dsn) -> None:
        raise AssertionError

    assert ensure(connected, run_id, fail) == names.template(run_id)


def test_the_comment_of_a_database_names_its_owner(
    lease: Lease, pools: Pools, server: Server, run_id: str
) -> None:
    lease.take()
    whose = f"pytest-dbmigrate, run {run_id}"
    assert databases(server, run_id) == {
        names.control(run_id): whose,
        names.template(run_id): whose,
        lease.name: whose,
    }
    lease.release(pools)


def test_a_kept_database_has_a_name_of_its_own_and_what_the_test_has_written(
    lease: Lease, pools: Pools
) -> None:
    run(lease.take(), "insert into item (name) values ('mine')")
    kept = lease.will_keep("test_it")
    lease.release(pools)
    lease.take()
    lease.release(pools)
    assert kept is not None
    with psycopg.connect(kept.conninfo()) as connection:
        rows = connection.execute("select name from item order by id").fetchall()
    assert rows == [("seed",), ("mine",)]


def test_a_run_keeps_no_more_databases_than_it_may(
    lease: Lease, pools: Pools, connected: Control
) -> None:
    for number in range(MOST_KEPT):
        connected.register(f"{lease.name}_{number}", "kept")
    lease.take()
    assert lease.will_keep("test_it") is None
    lease.release(pools)
    assert connected.count("kept") == MOST_KEPT


def test_a_database_that_is_to_be_kept_is_kept_once(
    lease: Lease, pools: Pools, connected: Control
) -> None:
    lease.take()
    assert lease.will_keep("test_it") == lease.will_keep("test_it")
    lease.release(pools)
    assert connected.count("kept") == 1


def test_only_registered_databases_are_dropped(
    lease: Lease, connected: Control, server: Server, run_id: str
) -> None:
    lease.take()
    connected.close()
    stranger = f"dbm_{run_id}_stranger"
    with connect(server.dsn) as connection:
        connection.execute(f"create database {stranger}".encode())
        sweep.sweep(server.dsn, run_id)
        assert list(databases(server, run_id)) == [stranger]
        connection.execute(drop(stranger))


def test_a_database_that_a_test_has_renamed_is_dropped_with_the_others(
    lease: Lease, connected: Control, server: Server, run_id: str
) -> None:
    lease.take()
    connected.rename(lease.name, f"my_own_{run_id}")
    connected.close()
    assert sweep.sweep(server.dsn, run_id)
    assert list(databases(server, run_id)) == []


def test_databases_of_another_run_are_not_dropped(
    lease: Lease, connected: Control, server: Server, run_id: str
) -> None:
    connected.close()
    other = f"{int(run_id, 16) ^ 1:08x}"
    control_tables.create(server.dsn, other)
    sweep.sweep(server.dsn, run_id)
    assert list(databases(server, other)) == [names.control(other)]
    sweep.sweep(server.dsn, other)


def test_a_database_that_cannot_be_copied_is_one_clear_error(
    connected: Control, run_id: str
) -> None:
    lease = Lease(connected, run_id, "main", "no_such_template")
    with pytest.raises(DatabaseError) as raised:
        lease.take()
    assert str(raised.value).splitlines() == [
        "the server refused a command",
        '  tried: template database "no_such_template" does not exist',
        "  to do: see the server's log, or its administrator",
    ]


def end_connections(server: Server, run_id: str) -> None:
    """End all connections to a run's control database, as a test may do."""
    with connect(server.dsn) as connection:
        connection.execute(
            "select pg_terminate_backend(pid) from pg_stat_activity where datname = %s",
            (names.control(run_id),),
        )


def test_a_control_connection_that_a_test_ends_is_made_again(
    connected: Control, run_id: str, server: Server
) -> None:
    end_connections(server, run_id)
    assert connected.count("kept") == 0


def test_a_control_connection_that_is_lost_during_a_build_is_one_clear_error(
    connected: Control, run_id: str, server: Server
) -> None:
    with turn.building(connected):
        end_connections(server, run_id)
        with pytest.raises(DatabaseError) as raised:
            connected.count("kept")
    assert raised.value.what == "the server is gone"


def test_names_that_need_quoting_are_quoted(
    connected: Control, server: Server, run_id: str
) -> None:
    name = f'{run_id} "drop"; --'
    connected.register(name, "lease")
    connected.create(name, "lease")
    assert name in databases(server, run_id)
    connected.drop(name)
    assert name not in databases(server, run_id)


@pytest.mark.parametrize("kind", ["url"], indirect=True)
def test_a_role_with_createdb_alone_ends_its_own_connections(
    lease: Lease, pools: Pools, eventually: Callable[[Callable[[], object]], None]
) -> None:
    other = psycopg.connect(lease.take().dsn)
    lease.release(pools)
    eventually(lambda: is_dead(other))
    other.close()


def is_dead(connection: psycopg.Connection[Any]) -> bool:
    try:
        connection.execute("select 1")
    except psycopg.OperationalError:
        return True
    return False


@pytest.mark.parametrize("kind", ["url"], indirect=True)
@pytest.mark.parametrize("how", ["release", "sweep"])
def test_a_role_with_createdb_alone_drops_a_database_that_is_being_vacuumed(
    how: str,
    lease: Lease,
    pools: Pools,
    plain: Plain,
    server: Server,
    run_id: str,
    eventually: Callable[[Callable[[], object]], None],
) -> None:
    """To such a role the kind of a server's own process is hidden, and it may not end it."""
    database = lease.take()
    with vacuuming_often(plain):
        run(database, A_LONG_VACUUM)
        eventually(lambda: vacuumed(plain, database.name))
        if how == "release":
            lease.release(pools)
        else:
            sweep.sweep(server.dsn, run_id)
        assert database.name not in databases(server, run_id)


A_LONG_VACUUM = """
create table slow (id int) with (
    autovacuum_vacuum_threshold = 0, autovacuum_vacuum_scale_factor = 0,
    autovacuum_vacuum_cost_delay = 100, autovacuum_vacuum_cost_limit = 1
);
insert into slow select generate_series(1, 100000);
delete from slow;
"""


@contextlib.contextmanager
def vacuuming_often(plain: Plain) -> Iterator[None]:
    """Let the server look every second whether there is something to vacuum."""
    with connect(plain.admin) as admin:
        admin.execute("alter system set autovacuum_naptime = '1s'")
        admin.execute("select pg_reload_conf()")
        yield
        admin.execute("alter system reset autovacuum_naptime")
        admin.execute("select pg_reload_conf()")


def vacuumed(plain: Plain, name: str) -> bool:
    """Return whether a process of the server's own vacuums the database."""
    with connect(plain.admin) as admin:
        found = admin.execute(
            "select from pg_stat_activity where datname = %s and backend_type like 'autovacuum%%'",
            (name,),
        )
        return found.fetchone() is not None


# What a role or PGOPTIONS may set for the sessions of the project, and what ours need.
THEIRS = {
    "search_path": "nowhere",
    "default_transaction_read_only": "on",
    "statement_timeout": "7s",
    "lock_timeout": "7s",
    "idle_session_timeout": "7s",
    "client_encoding": "LATIN1",
}
OURS = {
    "search_path": "public",
    "default_transaction_read_only": "off",
    "statement_timeout": "0",
    "lock_timeout": "0",
    "idle_session_timeout": "0",
    "client_encoding": "UTF8",
}


@pytest.mark.parametrize("kind", ["url"], indirect=True)
@pytest.mark.parametrize("way", ["role", "PGOPTIONS"])
def test_settings_for_the_projects_sessions_do_not_apply_to_ours(
    way: str, connected: Control, plain: Plain, monkeypatch: pytest.MonkeyPatch
) -> None:
    dsn = connected.dsn
    if way == "role":
        with connect(plain.admin) as admin:
            for name, value in THEIRS.items():
                begin = f"alter role {dsn.user} in database {dsn.dbname} set {name}"
                admin.execute(f"{begin} = '{value}'".encode())
    else:
        options = " ".join(f"-c {name}={value}" for name, value in THEIRS.items())
        monkeypatch.setenv("PGOPTIONS", options)
    with psycopg.connect(dsn.conninfo()) as connection:
        assert settings_of(connection) == THEIRS
    with connect(dsn) as connection:
        assert settings_of(connection) == OURS


def settings_of(connection: Connection) -> dict[str, str]:
    """Return the settings of a session that a role or PGOPTIONS may change."""
    rows = [connection.execute(f"show {name}".encode()).fetchone() for name in THEIRS]
    return {name: row[0] for name, row in zip(THEIRS, rows, strict=True) if row}
