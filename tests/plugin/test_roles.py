"""What migrations make for the whole server: named once, and in the way of no later run."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest

from tests.plugin.projects import Project, block, line_of, output, told
from tests.plugin.resuming import Resumer, cached, how

READER = 'op.execute("create role app_reader")'
MADE = "server-wide objects made by the migrations: "
NEW = "server-wide objects new since the migrations began: "
STAYS = "they stay when the run ends: guard them, see docs/reference/migrations.md (Roles)"
TEST = "def test_it(migrated_db): pass"
STARTED = """
def test_it(migrated_db):
    with migrated_db.connect() as connection:
        row = connection.execute("select pg_postmaster_start_time()::text").fetchone()
    print("started:", *row)
"""
SLOW = """
import pathlib, time

def test_slow(migrated_db):
    pathlib.Path("running").touch()
    while not pathlib.Path("end").exists():
        time.sleep(0.01)
"""
GUARDED = '''
op.execute("""
    do $$ begin
        if not exists (select from pg_roles where rolname = 'app_reader') then
            create role app_reader;
        end if;
    end $$
""")
'''


@pytest.fixture
def given(project: Project) -> Iterator[psycopg.Connection[tuple[object, ...]]]:
    """A connection to the server that is up already; the role is dropped at the end."""
    with psycopg.connect(project.server_url(), autocommit=True) as connection:
        yield connection
        connection.execute("drop role if exists app_reader")


@pytest.fixture
def orders(project: Project) -> Project:
    """A project whose second revision makes a role, and lets it read a table."""
    project.copy("roles")
    return project


@pytest.fixture
def resumer(project: Project, temporary_files: Path) -> Iterator[Resumer]:
    """A project whose runs resume, with one revision; its test tells when the server started."""
    with cached(temporary_files) as cache:
        project.revision("0001")
        resumer = Resumer(project, cache)
        project.tests(STARTED)
        yield resumer
        resumer.stop()


def about_server(result: pytest.RunResult) -> list[str]:
    """Return what was said of the server and of what was made for all of it."""
    lines = [line for line in told(result) if line.startswith((MADE, NEW, STAYS))]
    assert result.outlines.count("dbmigrate: " + STAYS) <= 1
    return lines


def started(result: pytest.RunResult) -> str:
    """Return when the server that the test has seen was started."""
    result.assert_outcomes(passed=1)
    (line,) = (it for it in result.outlines if it.startswith("started: "))
    return line


@contextmanager
def running(resumer: Resumer) -> Iterator[None]:
    """Have another run of the project test something meanwhile; it passes."""
    resumer.project.write("test_slow.py", SLOW)
    command = resumer.project.command("--db-resume", "test_slow.py", server="embedded")
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as other:
        try:
            while not (resumer.project.path / "running").exists():
                assert other.poll() is None
                time.sleep(0.01)
            yield
        finally:
            (resumer.project.path / "end").touch()
    assert other.returncode == 0


def edit(file: Path, old: str, new: str) -> None:
    text = file.read_text()
    assert text.count(old) == 1
    file.write_text(text.replace(old, new))


def test_the_naive_way_fails_at_the_second_database(
    orders: Project, given: psycopg.Connection[tuple[object, ...]]
) -> None:
    result = orders.run_naive()

    result.assert_outcomes(passed=1, errors=1)
    assert 'role "app_reader" already exists' in output(result)


def test_every_run_passes_fresh_unchanged_and_rebuilt(
    orders: Project, temporary_files: Path
) -> None:
    with cached(temporary_files) as cache:
        resumer = Resumer(orders, cache)
        (orders.path / "test_it.py").unlink()
        results = [resumer.run("-p", "ours") for _ in range(2)]
        edit(orders.path / "migrations/versions/0001_orders.py", "numeric", "real")
        results.append(resumer.run("-p", "ours"))
        resumer.stop()

    for result in results:
        result.assert_outcomes(passed=2)
    assert [(how(it), about_server(it)) for it in results] == [
        ("fresh: 2 revisions applied", [MADE + "role app_reader"]),
        ("unchanged: 2 revisions", []),
        ("rebuilt: 0001_orders was edited; 2 revisions applied", [MADE + "role app_reader"]),
    ]


@pytest.mark.parametrize(
    ("option", "said"), [("-n2", [MADE + "role app_reader"]), ("-q", [])], ids=["workers", "quiet"]
)
def test_a_run_that_keeps_nothing_passes_and_mentions_a_role_once_if_it_may(
    orders: Project, option: str, said: list[str]
) -> None:
    result = orders.run(option, server="embedded", plugins=["ours", "xdist"])

    result.assert_outcomes(passed=2)
    assert about_server(result) == said
    assert bool(told(result)) == bool(said)


def test_other_objects_of_the_server_are_named_too(project: Project) -> None:
    project.revision(
        "0001",
        """
        with op.get_context().autocommit_block():
            op.execute("set allow_in_place_tablespaces = on")
            op.execute("create tablespace fast location ''")
            op.execute("create database archive")
            op.execute("alter system set work_mem = '8MB'")
        op.execute("create role b")
        op.execute("create role a")
        op.execute("alter role a set work_mem = '8MB'")
        op.execute("alter role a in database archive set work_mem = '8MB'")
        op.execute("alter database archive set search_path = one, two")
        """,
    )
    project.tests(TEST)

    result = project.run(server="embedded")

    result.assert_outcomes(passed=1)
    assert about_server(result) == [
        MADE + "database archive, role a, role b, setting search_path of all roles in database "
        "archive, setting work_mem of role a, setting work_mem of role a in database archive, "
        "setting work_mem of the server, tablespace fast"
    ]


def test_a_role_on_a_given_server_stays_and_the_next_run_says_how_to_guard_it(
    project: Project, given: psycopg.Connection[tuple[object, ...]]
) -> None:
    file = project.revision("0001", READER)
    project.tests(TEST)

    first, second = project.run(), project.run()

    first.assert_outcomes(passed=1)
    assert about_server(first) == [NEW + "role app_reader", STAYS]
    assert given.execute("select from pg_roles where rolname = 'app_reader'").fetchone() == ()
    second.assert_outcomes(errors=1)
    assert about_server(second) == []
    assert block(second, "dbmigrate: no database").splitlines() == [
        "revision 0001 failed",
        f"  file: migrations/versions/0001.py:{line_of(file, 'create role')}",
        "  sql: create role app_reader",
        '  server: role "app_reader" already exists',
        "  left applied: nothing; 1 revision is not applied",
        "  to do: a role belongs to the whole server, not to a database: an earlier run",
        "         has made it there, or another revision. Let the revision ask first:",
        "           DO $$ BEGIN",
        "             IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'app_reader')",
        "             THEN CREATE ROLE app_reader;",
        "             END IF;",
        "           END $$",
    ]


def test_a_role_that_is_guarded_is_named_by_the_run_that_made_it(
    project: Project, given: psycopg.Connection[tuple[object, ...]]
) -> None:
    project.revision("0001", GUARDED)
    project.tests(TEST)

    results = [project.run() for _ in range(2)]

    assert [it.ret for it in results] == [0, 0]
    assert [about_server(it) for it in results] == [[NEW + "role app_reader", STAYS], []]


def test_a_role_is_named_though_a_later_revision_failed(
    project: Project, given: psycopg.Connection[tuple[object, ...]]
) -> None:
    project.revision("0001", READER)
    project.revision("0002", 'op.execute("nonsense")')
    project.tests(TEST)

    result = project.run()

    result.assert_outcomes(errors=1)
    assert about_server(result) == [NEW + "role app_reader", STAYS]


def test_a_given_server_that_is_resumed_keeps_its_roles(
    resumer: Resumer, given: psycopg.Connection[tuple[object, ...]]
) -> None:
    resumer.server = resumer.project.server_url()
    file = resumer.project.revision("0002", READER)
    resumer.how()
    edit(file, "create role app_reader", "create role app_reader nologin")

    result = resumer.run()

    result.assert_outcomes(errors=1)
    assert '  server: role "app_reader" already exists' in result.outlines


def test_the_server_stays_when_a_role_is_made_again(resumer: Resumer) -> None:
    more = (
        "grant select on item to app_reader",
        "grant connect on database postgres to app_reader",
        "grant set on parameter work_mem to app_reader",
        "create role b; grant app_reader to b; create role c; set role b; reset role; grant b to c",
        "alter role app_reader set work_mem = '8MB'",
        "create table owned (id int); alter table owned owner to app_reader",
    )
    statements = "".join(f'\nop.execute("{it}")' for it in more)
    file = resumer.project.revision("0002", READER + statements)
    before = started(resumer.run())
    edit(file, "create role app_reader", "create role app_reader nologin")

    result = resumer.run()

    assert how(result) == "rebuilt: 0002 was edited; 2 revisions applied"
    assert started(result) == before


def test_a_role_is_made_again_where_another_template_is_resumed(
    resumer: Resumer,
) -> None:
    resumer.how()
    file = resumer.project.revision("0002", READER)
    first = resumer.run()
    edit(file, "create role app_reader", "create role app_reader nologin")

    result = resumer.run()

    assert [how(it) for it in (first, result)] == ["resumed: 1 of 2 applied now"] * 2
    assert [about_server(it) for it in (first, result)] == [[MADE + "role app_reader"]] * 2
    assert started(result) == started(first)


def test_a_role_made_by_a_test_or_by_a_resumed_template_does_not_prevent_a_resume(
    resumer: Resumer,
) -> None:
    resumer.project.revision("0002", READER)
    resumer.project.tests(
        STARTED + '    migrated_db.connect().execute("create role b").connection.commit()\n'
    )
    results = [resumer.run()]
    resumer.project.tests(STARTED)
    for revision, body in {
        "0003": 'op.execute("grant select on item to app_reader")',
        "0004": 'op.execute("set role app_reader; table item; reset role")',
        "0005": 'op.execute("create role c")',
    }.items():
        resumer.project.revision(revision, body)
        results.append(resumer.run())

    assert [(how(it), about_server(it)) for it in results[1:]] == [
        ("resumed: 1 of 3 applied now", []),
        ("resumed: 1 of 4 applied now", []),
        ("resumed: 1 of 5 applied now", [MADE + "role c"]),
    ]
    assert {started(it) for it in results} == {started(results[0])}


def test_a_role_of_a_build_that_failed_is_not_in_the_way(resumer: Resumer) -> None:
    first = resumer.project.path / "migrations/versions/0001.py"
    resumer.project.revision("0002", READER)
    broken = resumer.project.revision("0003", 'op.execute("nonsense")')
    resumer.run().assert_outcomes(errors=1)
    broken.unlink()
    edit(first, "name text", "name varchar")

    result = resumer.run()

    result.assert_outcomes(passed=1)
    assert how(result) == "rebuilt: 0001 was edited; 2 revisions applied"
    assert about_server(result) == [MADE + "role app_reader"]
    assert len([line for line in told(result) if line.startswith("PostgreSQL")]) == 1


def test_a_role_or_database_made_by_a_test_is_gone_when_the_server_is_rebuilt(
    resumer: Resumer,
) -> None:
    file = resumer.project.path / "migrations/versions/0001.py"
    results = []
    for statement, edited in (
        ("create role app_reader", ("name text", "name varchar")),
        ("create database archive", ("name varchar", "name char(9)")),
        ("select 1", ("name char(9)", "name text")),
    ):
        resumer.project.tests(
            STARTED + f'    migrated_db.connect(autocommit=True).execute("{statement}")\n'
        )
        results.append(resumer.run())
        edit(file, *edited)

    assert [how(it) for it in results[1:]] == ["rebuilt: 0001 was edited; 1 revision applied"] * 2
    assert len({started(it) for it in results}) == 3


def test_a_role_that_another_run_may_use_is_not_dropped(resumer: Resumer) -> None:
    file = resumer.project.revision("0002", READER)
    with running(resumer):
        edit(file, "create role app_reader", "create role app_reader nologin")
        result = resumer.run("test_it.py")

    result.assert_outcomes(errors=1)
    first, second, *_ = block(result, "dbmigrate: no database").splitlines()
    assert first == "the kept server has to be replaced, and another run uses it"
    assert second.startswith("  tried: run ")


def test_a_setting_of_the_server_is_gone_with_it_when_it_is_rebuilt(resumer: Resumer) -> None:
    file = resumer.project.revision(
        "0002",
        "with op.get_context().autocommit_block():\n"
        "    op.execute(\"alter system set work_mem = '8MB'\")",
    )
    before = started(resumer.run())
    edit(file, "work_mem", "maintenance_work_mem")

    result = resumer.run()

    assert started(result) != before
    assert about_server(result) == [MADE + "setting maintenance_work_mem of the server"]


def test_a_role_that_another_run_may_have_made_is_not_attributed_to_the_migrations(
    resumer: Resumer,
) -> None:
    with running(resumer):
        resumer.project.revision("0002", READER)
        result = resumer.run("test_it.py")

    result.assert_outcomes(passed=1)
    assert about_server(result) == [NEW + "role app_reader"]
