"""A control database that several runs share: who lives, what is built, what is swept."""

from __future__ import annotations

import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any

import psycopg
import pytest

from pytest_dbmigrate.databases import builds, control_tables, guests, names, sweep, turn
from pytest_dbmigrate.databases.connection import connect
from pytest_dbmigrate.databases.control import Control
from pytest_dbmigrate.databases.turn import Holder, Outcome
from pytest_dbmigrate.errors import BusyError
from pytest_dbmigrate.migrations import events
from pytest_dbmigrate.servers.server import Server
from pytest_dbmigrate.version import __version__

GUEST = """
import json, sys
from pytest_dbmigrate.databases import turn
from pytest_dbmigrate.databases.control import Control
from pytest_dbmigrate.addresses.dsn import Dsn

told = json.loads(sys.stdin.readline())
control = Control(Dsn.from_record(told["dsn"]), told["run"], durable=True, home=told["home"])
if told["lease"]:
    control.register(told["lease"], "lease")
    control.create(told["lease"], "lease")
if told["uses"]:
    control.use(told["uses"])
if told["builds"]:
    with turn.building(control):
        print("here", flush=True)
        sys.stdin.readline()
print("here", flush=True)
sys.stdin.readline()
"""
MAKER = """
import json, sys
from pytest_dbmigrate.databases import control_tables
from pytest_dbmigrate.addresses.dsn import Dsn
from pytest_dbmigrate.errors import BusyError, DatabaseError
from pytest_dbmigrate.migrations import events

dsn = Dsn.from_record(json.loads(sys.stdin.readline()))
print(json.dumps("ready"), flush=True)
for line in sys.stdin:
    try:
        control_tables.create(dsn, json.loads(line), events.TABLE)
        print(json.dumps("made"), flush=True)
    except DatabaseError as error:
        print(json.dumps(str(error)), flush=True)
"""


class Guest:
    """A process of another run that shares the home."""

    def __init__(self, server: Server, home: str, **told: Any) -> None:
        self.run = secrets.token_hex(4)
        self.lease = names.lease(self.run, "main")
        self.process = subprocess.Popen(
            [sys.executable, "-c", GUEST],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        record = {"dsn": server.dsn.as_record(), "run": self.run, "home": home}
        known = {"lease": self.lease, "uses": "", "builds": False, **told}
        self.say(json.dumps({**record, **known}))
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == "here\n"

    def say(self, line: str = "") -> None:
        """Tell the process a line."""
        assert self.process.stdin is not None
        print(line, file=self.process.stdin, flush=True)

    def kill(self) -> None:
        """Kill the process, and return when it is gone."""
        self.process.kill()
        self.process.communicate()


StartGuest = Callable[..., Guest]
Eventually = Callable[[Callable[[], object]], None]


@pytest.fixture
def start_guest(server: Server, run_id: str) -> Iterator[StartGuest]:
    """A way to start processes of other runs that share the home of this test."""
    guests: list[Guest] = []

    def start(**told: Any) -> Guest:
        guests.append(Guest(server, run_id, **told))
        return guests[-1]

    yield start
    for guest in guests:
        guest.kill()


@pytest.fixture
def own() -> str:
    """The id of this process's run."""
    return secrets.token_hex(4)


@pytest.fixture
def control(server: Server, run_id: str, own: str) -> Iterator[Control]:
    """This process's connection to the home, of which its run is a guest, too."""
    control = Control(server.dsn, own, durable=server.durable, home=run_id)
    yield control
    control.close()


def databases(server: Server) -> set[str]:
    """Return the names of all databases."""
    with connect(server.dsn) as connection:
        return {name for (name,) in connection.execute("select datname from pg_database")}


def registered(control: Control) -> set[tuple[str, str, str]]:
    """Return the name, the role and the owner of what is registered but the home itself."""
    query = "select name, role, run from database where role <> 'control'"
    return set(control.execute(query).fetchall())


def known_runs(control: Control) -> set[str]:
    return {run for (run,) in control.execute("select id from run")}


def new_build(control: Control, own: str, base: str | None = None) -> str:
    """Begin and seal a build with a table of its name's row; return its id."""
    build = secrets.token_hex(4)
    scratch = builds.begin(control, build, own, [], {"Python": "3.12"}, base)
    with psycopg.connect(scratch.conninfo()) as connection:
        connection.execute("create table if not exists made (by text)")
        connection.execute("insert into made values (%s)", (build,))
    builds.seal(control, build, {"facts": {"heads": ["0001"]}})
    return build


# who lives


def test_a_run_is_alive_while_a_process_of_it_is_connected(
    control: Control, start_guest: StartGuest, eventually: Eventually
) -> None:
    guest = start_guest()
    assert guests.is_alive(control, guest.run)
    guest.kill()
    eventually(lambda: not guests.is_alive(control, guest.run))


def test_a_run_is_alive_while_one_of_two_processes_is(
    server: Server, control: Control, run_id: str, start_guest: StartGuest, eventually: Eventually
) -> None:
    guest = start_guest()
    worker = Control(server.dsn, guest.run, durable=True, home=run_id)
    guest.kill()
    assert guests.is_alive(control, guest.run)
    worker.close()
    eventually(lambda: not guests.is_alive(control, guest.run))


def test_an_unknown_run_is_not_alive(control: Control) -> None:
    assert not guests.is_alive(control, "0a1b2c3d")
    assert not guests.is_alive(control, "ffffffff")


def test_asking_whether_a_run_is_alive_does_not_block_it(
    server: Server, control: Control, run_id: str
) -> None:
    late = secrets.token_hex(4)
    assert not guests.is_alive(control, late)
    joined = Control(server.dsn, late, durable=True, home=run_id)
    assert guests.is_alive(control, late)
    joined.close()


def test_a_run_of_another_home_is_not_seen(
    server: Server, control: Control, start_guest: StartGuest
) -> None:
    guest = start_guest()
    elsewhere = secrets.token_hex(4)
    control_tables.create(server.dsn, elsewhere)
    other = Control(server.dsn, elsewhere, durable=True)
    assert not guests.is_alive(other, guest.run)
    other.close()
    assert sweep.sweep(server.dsn, elsewhere)
    assert guests.is_alive(control, guest.run)


def test_every_run_of_a_home_is_recorded_with_its_process(
    control: Control, own: str, start_guest: StartGuest
) -> None:
    guest = start_guest()
    rows = control.execute("select id, host, process from run").fetchall()
    assert set(rows) == {
        (own, socket.gethostname(), os.getpid()),
        (guest.run, socket.gethostname(), guest.process.pid),
    }


def test_test_databases_of_a_dead_run_are_dropped(
    server: Server, control: Control, own: str, start_guest: StartGuest, eventually: Eventually
) -> None:
    guest = start_guest()
    assert guest.lease in databases(server)
    guest.kill()
    eventually(lambda: guests.sweep_dead(control, [own]) == [guest.run])
    assert guest.lease not in databases(server)
    assert (registered(control), known_runs(control)) == (set(), {own})
    assert guests.sweep_dead(control, [own]) == []


def test_nothing_of_a_living_run_is_dropped(
    server: Server, control: Control, own: str, start_guest: StartGuest, eventually: Eventually
) -> None:
    living, dead = start_guest(), start_guest()
    dead.kill()
    eventually(lambda: guests.sweep_dead(control, [own]) == [dead.run])
    assert {living.lease, dead.lease} & databases(server) == {living.lease}
    assert registered(control) == {(living.lease, "lease", living.run)}
    assert known_runs(control) == {own, living.run}


def test_a_run_does_not_sweep_itself(server: Server, control: Control, own: str) -> None:
    lease = names.lease(own, "main")
    control.register(lease, "lease")
    control.create(lease, "lease")
    assert guests.sweep_dead(control, [own]) == []
    assert lease in databases(server)


def test_templates_of_a_dead_run_stay(
    server: Server, control: Control, own: str, run_id: str, eventually: Eventually
) -> None:
    dead = secrets.token_hex(4)
    its = Control(server.dsn, dead, durable=server.durable, home=run_id)
    build = new_build(its, dead)
    its.close()
    eventually(lambda: guests.sweep_dead(control, [own]) == [dead])
    assert names.template(build) in databases(server)
    assert [(it.id, it.run) for it in builds.every(control)] == [(build, dead)]


def test_kept_databases_of_a_dead_run_stay(
    server: Server, control: Control, own: str, run_id: str, eventually: Eventually
) -> None:
    dead = secrets.token_hex(4)
    its = Control(server.dsn, dead, durable=server.durable, home=run_id)
    kept = names.kept(dead, "main", 0, "test_it")
    its.register(kept, "kept")
    its.create(kept, "kept")
    its.close()
    eventually(lambda: guests.sweep_dead(control, [own]) == [dead])
    assert kept in databases(server)
    assert registered(control) == {(kept, "kept", dead)}
    assert dead in known_runs(control)


def test_a_run_that_leaves_drops_its_test_databases_and_its_rows(
    server: Server, control: Control, own: str
) -> None:
    lease = names.lease(own, "main")
    control.register(lease, "lease")
    control.create(lease, "lease")
    turn.record(control, Outcome("0a1b2c3d"))
    assert guests.leave(control, own)
    assert lease not in databases(server)
    assert (registered(control), known_runs(control), turn.outcome(control)) == (set(), set(), None)


def test_a_run_that_has_kept_something_says_so_when_it_leaves(control: Control, own: str) -> None:
    control.register(names.kept(own, "main", 0, "test_it"), "kept")
    turn.record(control, Outcome("0a1b2c3d"))
    assert not guests.leave(control, own)
    assert (known_runs(control), turn.outcome(control)) == ({own}, Outcome("0a1b2c3d"))


# what is built


def test_a_build_begins_with_an_empty_database_that_belongs_to_the_home(
    server: Server, control: Control, own: str, run_id: str
) -> None:
    scratch = builds.begin(control, "0a1b2c3d", own, [{"revision": "0001"}], {"Python": "3.12"})
    assert scratch == server.dsn.at(names.scratch("0a1b2c3d"))
    assert registered(control) == {(scratch.dbname, "build", run_id)}
    with psycopg.connect(scratch.conninfo()) as connection:
        query = "select count(*) from pg_class where relnamespace = 'public'::regnamespace"
        assert connection.execute(query).fetchone() == (0,)
        query = "select shobj_description(oid, 'pg_database') from pg_database where datname = %s"
        assert connection.execute(query, (scratch.dbname,)).fetchone() == (names.comment(run_id),)
    (build,) = builds.every(control)
    assert (build.id, build.run, build.base, build.shape, build.sealed) == (
        "0a1b2c3d",
        own,
        [{"revision": "0001"}],
        {"Python": "3.12"},
        None,
    )


def test_a_build_that_is_sealed_is_a_template_that_nobody_connects_to(
    server: Server, control: Control, own: str, run_id: str
) -> None:
    build = new_build(control, own)
    template = names.template(build)
    assert (control.is_sealed(template), control.is_sealed(names.scratch(build))) == (True, None)
    assert registered(control) == {(template, "template", run_id)}
    assert [it.sealed for it in builds.every(control)] == [{"facts": {"heads": ["0001"]}}]
    with pytest.raises(psycopg.OperationalError, match="not currently accepting connections"):
        psycopg.connect(server.dsn.at(template).conninfo())


def test_a_build_resumes_from_a_copy_of_another_template(
    server: Server, control: Control, own: str
) -> None:
    first = new_build(control, own)
    second = new_build(control, own, first)
    lease = names.lease(own, "main")
    control.register(lease, "lease")
    control.create(lease, "lease", names.template(second))
    with psycopg.connect(server.dsn.at(lease).conninfo()) as connection:
        assert connection.execute("select by from made").fetchall() == [(first,), (second,)]
    assert control.is_sealed(names.template(first))


def test_a_build_that_is_begun_again_is_empty(control: Control, own: str) -> None:
    scratch = builds.begin(control, "0a1b2c3d", own, [{"revision": "0001"}], {"Python": "3.12"})
    with psycopg.connect(scratch.conninfo()) as connection:
        connection.execute("create table made (by text)")
    again = builds.begin(control, "0a1b2c3d", own, [], {"Python": "3.13"})
    with psycopg.connect(again.conninfo()) as connection:
        assert connection.execute("select to_regclass('made')").fetchone() == (None,)
    assert [(it.base, it.shape) for it in builds.every(control)] == [([], {"Python": "3.13"})]


def test_a_build_that_is_resumed_is_as_it_was_left(
    server: Server, control: Control, own: str
) -> None:
    scratch = builds.begin(control, "0a1b2c3d", "4e5f6071", [], {})
    with psycopg.connect(scratch.conninfo()) as connection:
        connection.execute("create table made (by text)")
    assert builds.resume(control, "0a1b2c3d", own) == scratch
    with psycopg.connect(scratch.conninfo()) as connection:
        assert connection.execute("select to_regclass('made')::text").fetchone() == ("made",)
    assert [it.run for it in builds.every(control)] == [own]


def test_a_build_that_is_forgotten_leaves_nothing(
    server: Server, control: Control, own: str
) -> None:
    sealed = new_build(control, own)
    builds.begin(control, "0a1b2c3d", own, [], {})
    for build in (sealed, "0a1b2c3d"):
        builds.forget(control, build)
        builds.forget(control, build)
        assert not [name for name in databases(server) if build in name]
    assert (builds.every(control), registered(control)) == ([], set())


def test_the_most_recently_used_build_comes_first(control: Control, own: str) -> None:
    first, second, third = (new_build(control, own) for _ in range(3))
    assert [it.id for it in builds.every(control)] == [third, second, first]
    control.use(first)
    assert [it.id for it in builds.every(control)] == [first, third, second]
    with connect(control.dsn) as connection:
        assert builds.every(connection) == builds.every(control)


def test_a_template_is_in_use_while_another_process_copies_it(
    control: Control, own: str, start_guest: StartGuest, eventually: Eventually
) -> None:
    build = new_build(control, own)
    assert not builds.is_in_use(control, build)
    guest = start_guest(uses=build)
    assert builds.is_in_use(control, build)
    guest.kill()
    eventually(lambda: not builds.is_in_use(control, build))


def test_two_processes_use_the_same_template(
    control: Control, own: str, start_guest: StartGuest, eventually: Eventually
) -> None:
    build = new_build(control, own)
    first, second = start_guest(uses=build), start_guest(uses=build)
    first.kill()
    eventually(lambda: not guests.is_alive(control, first.run))
    assert builds.is_in_use(control, build)
    second.kill()
    eventually(lambda: not builds.is_in_use(control, build))


def test_a_template_stays_in_use_when_its_user_reconnects(
    server: Server, control: Control, own: str, run_id: str
) -> None:
    build = new_build(control, own)
    user = Control(server.dsn, secrets.token_hex(4), durable=server.durable, home=run_id)
    user.use(build)
    ended = user.one("select pg_backend_pid()")
    control.execute("select pg_terminate_backend(%s, 10000)", (ended,))
    assert not builds.is_in_use(control, build)
    assert user.one("select 1") == 1
    assert builds.is_in_use(control, build)
    user.close()


def test_the_least_recently_used_templates_beyond_the_limit_are_spare(
    control: Control, own: str, start_guest: StartGuest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(builds, "MOST_TEMPLATES", 1)
    oldest, old, newest = (new_build(control, own) for _ in range(3))
    builds.begin(control, "0a1b2c3d", own, [], {})
    assert [it.id for it in builds.spare(control)] == [old, oldest]
    start_guest(uses=oldest)  # it is also the one that was used last, from now on
    assert [it.id for it in builds.spare(control)] == [newest, old]
    start_guest(uses=newest)
    assert [it.id for it in builds.spare(control)] == [old]


def test_no_template_below_the_limit_is_spare(control: Control, own: str) -> None:
    new_build(control, own)
    assert (builds.spare(control), builds.MOST_TEMPLATES) == ([], 8)


def test_only_databases_without_a_build_are_orphans(
    server: Server, control: Control, own: str, run_id: str
) -> None:
    kept, gone = new_build(control, own), new_build(control, own)
    begun = builds.begin(control, "0a1b2c3d", own, [], {}).dbname
    lease = names.lease(own, "main")
    control.register(lease, "lease")
    control.create(lease, "lease")
    control.register(names.scratch("4e5f6071"), "build")  # it was never made
    control.execute("delete from build where id = %s", (gone,))
    builds.drop_orphans(control)
    assert registered(control) == {
        (names.template(kept), "template", run_id),
        (begun, "build", run_id),
        (lease, "lease", own),
    }
    assert names.template(gone) not in databases(server)
    assert {names.template(kept), begun, lease} <= databases(server)


# what is swept


def test_the_sweep_of_a_guest_leaves_the_home(
    server: Server, control: Control, own: str, run_id: str, start_guest: StartGuest
) -> None:
    build = new_build(control, own)
    guest, other = start_guest(), start_guest()
    guest.kill()
    assert sweep.sweep(server.dsn, guest.run, run_id)
    ours = {name for name in databases(server) if name.startswith("dbm_")}
    assert {names.control(run_id), names.template(build), other.lease} <= ours
    assert guest.lease not in ours
    assert registered(control) == {
        (names.template(build), "template", run_id),
        (other.lease, "lease", other.run),
    }
    assert known_runs(control) == {own, other.run}


def test_the_sweep_of_a_guest_drops_what_a_test_has_renamed(
    server: Server, control: Control, own: str, run_id: str
) -> None:
    lease, renamed = names.lease(own, "main"), f"renamed_{own}"
    control.register(lease, "lease")
    control.create(lease, "lease")
    control.rename(lease, renamed)
    control.close()
    assert sweep.sweep(server.dsn, own, run_id)
    assert renamed not in databases(server)


def test_the_sweep_of_a_guest_ends_statements_on_its_build(
    server: Server, control: Control, own: str, run_id: str
) -> None:
    scratch = builds.begin(control, "0a1b2c3d", own, [], {})
    sealed = builds.begin(control, "4e5f6071", "89abcdef", [], {})
    with connect(scratch) as orphan, connect(sealed) as others:
        assert sweep.sweep(server.dsn, own, run_id)
        with pytest.raises(psycopg.OperationalError):
            orphan.execute("select 1")
        assert others.execute("select 1").fetchone() == (1,)
    assert {scratch.dbname, sealed.dbname} <= databases(server)


def test_the_sweep_of_a_home_drops_all(
    server: Server, control: Control, own: str, run_id: str, start_guest: StartGuest
) -> None:
    before = databases(server)
    build = new_build(control, own)
    builds.begin(control, "0a1b2c3d", own, [], {})
    guest = start_guest()
    renamed = f"renamed_{guest.run}"
    guest.kill()
    control.rename(guest.lease, renamed)
    assert {names.template(build), names.scratch("0a1b2c3d"), renamed} <= databases(server)
    control.close()
    assert sweep.sweep(server.dsn, run_id, run_id)
    assert databases(server) == before - {names.control(run_id)}


def test_the_sweep_of_one_home_leaves_the_others(server: Server, control: Control) -> None:
    other = secrets.token_hex(4)
    control_tables.create(server.dsn, other)
    assert sweep.sweep(server.dsn, other)
    assert sweep.sweep(server.dsn, other)
    assert control.one("select 1") == 1
    assert names.control(other) not in databases(server)


# who builds


def test_a_process_that_waits_for_its_turn_is_told_the_holder(
    control: Control, start_guest: StartGuest, eventually: Eventually
) -> None:
    guest = start_guest(builds=True)
    told: list[Holder] = []

    def waiting(holder: Holder) -> None:
        told.append(holder)
        guest.say()

    with turn.building(control, 30, waiting):
        holder = turn.holder(control)
        assert holder is not None
        assert holder.process == os.getpid()
    (other,) = told
    assert (other.run, other.host, other.process) == (
        guest.run,
        socket.gethostname(),
        guest.process.pid,
    )


def test_waiting_for_too_long_is_an_error_that_names_the_holder(
    control: Control, start_guest: StartGuest
) -> None:
    guest = start_guest(builds=True)
    with pytest.raises(BusyError) as refused, turn.building(control, 0.2):
        pytest.fail("it was let in")
    since = control.one("select since from holder").astimezone()
    who = f"run {guest.run} (process {guest.process.pid} on {socket.gethostname()})"
    assert str(refused.value).splitlines() == [
        "another run of this project has been applying migrations for 0.2 s",
        f"  tried: waiting for {who}, since {since:%H:%M:%S}",
        "  to do: end that run, or wait longer with --db-wait",
    ]


def test_nobody_waits_for_a_builder_that_was_killed(
    control: Control, start_guest: StartGuest
) -> None:
    guest = start_guest(builds=True)
    guest.process.send_signal(signal.SIGKILL)
    guest.process.wait()
    with turn.building(control, 30):
        pass


def test_waiting_for_a_process_of_the_same_run_is_silent(
    server: Server,
    control: Control,
    run_id: str,
    start_guest: StartGuest,
    eventually: Eventually,
) -> None:
    guest = start_guest(builds=True)
    told: list[Holder] = []
    query = "select count(*) from pg_locks where locktype = 'advisory' and not granted"

    def let_go() -> None:
        eventually(lambda: control.one(query))
        guest.say()

    other = threading.Thread(target=let_go)
    worker = Control(server.dsn, guest.run, durable=server.durable, home=run_id)
    other.start()
    with turn.building(worker, 30, told.append):
        pass
    other.join()
    worker.close()
    assert told == []


def test_a_home_without_builds_has_no_holder(control: Control, own: str) -> None:
    assert turn.holder(control) is None
    with turn.building(control):
        holder = turn.holder(control)
    assert holder is not None
    assert isinstance(holder.since, datetime)
    assert (holder.run, holder.host, holder.process) == (own, socket.gethostname(), os.getpid())


def test_two_homes_do_not_wait_for_each_other(
    server: Server, control: Control, start_guest: StartGuest
) -> None:
    start_guest(builds=True)
    other = secrets.token_hex(4)
    control_tables.create(server.dsn, other)
    elsewhere = Control(server.dsn, other, durable=server.durable)
    with turn.building(elsewhere, 0.2):
        pass
    elsewhere.close()
    assert sweep.sweep(server.dsn, other)


# the home itself


@pytest.fixture
def makers() -> Iterator[list[subprocess.Popen[str]]]:
    """Processes that each make the homes that they are told, when they are told."""
    pipe = subprocess.PIPE
    made = [
        subprocess.Popen([sys.executable, "-c", MAKER], stdin=pipe, stdout=pipe, text=True)
        for _ in range(4)
    ]
    yield made
    for process in made:
        process.kill()
        process.communicate()


def test_several_processes_make_a_home_once(
    server: Server, makers: list[subprocess.Popen[str]]
) -> None:
    name = secrets.token_hex(4)
    for word in (server.dsn.as_record(), name):  # the second when all have read the first
        for process in makers:
            assert process.stdin is not None
            print(json.dumps(word), file=process.stdin, flush=True)
        said = [process.stdout and json.loads(process.stdout.readline()) for process in makers]
        assert said == ["ready" if word != name else "made"] * 4
    assert control_tables.version(server.dsn, name) == __version__
    made = Control(server.dsn, name, durable=server.durable)
    query = "select name, role, run from database"
    assert made.execute(query).fetchall() == [(names.control(name), "control", name)]
    assert events.read(made._connection, "0a1b2c3d") == []
    made.close()
    assert sweep.sweep(server.dsn, name)


def test_an_existing_home_is_left_unchanged(
    server: Server, control: Control, own: str, run_id: str
) -> None:
    control_tables.create(server.dsn, run_id, events.TABLE)
    assert known_runs(control) == {own}
    row = control.execute("select name, role, run from database").fetchall()
    assert row == [(names.control(run_id), "control", run_id)]


def test_a_home_knows_the_version_that_made_it(
    server: Server, control: Control, run_id: str
) -> None:
    assert control_tables.version(server.dsn, run_id) == __version__
    control.execute("update plugin set version = '0.0.1'")
    control_tables.create(server.dsn, run_id, events.TABLE)
    assert control_tables.version(server.dsn, run_id) == "0.0.1"


def test_a_missing_home_has_no_version(server: Server) -> None:
    assert control_tables.version(server.dsn, secrets.token_hex(4)) == ""


@pytest.mark.parametrize("change", ["delete from plugin", "drop table plugin"])
def test_a_home_without_a_version_is_of_another_version(
    change: str, server: Server, control: Control, run_id: str
) -> None:
    control.execute(change)
    assert control_tables.version(server.dsn, run_id) == "another version"
