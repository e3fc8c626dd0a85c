"""Connections that a test leaves open: always closed, and named at `-v`."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator

import pytest

from tests.plugin.projects import Project
from tests.plugin.remains import Ended, Runs, watched

TITLE = "dbmigrate: connections left open"
HEAD = """
    import subprocess, sys, threading
    import psycopg
    import sqlalchemy as sa

    left = []
"""
LEAKS = {
    "a psycopg connection": """
        def test_leaks(migrated_db):
            left.append(psycopg.connect(migrated_db.dsn, application_name="leak"))
            left[0].execute("select 1")
    """,
    "a thread": """
        def test_leaks(migrated_db):
            is_open = threading.Event()

            def stay():
                with psycopg.connect(migrated_db.dsn, application_name="leak") as connection:
                    connection.execute("select 1")
                    is_open.set()
                    threading.Event().wait()

            threading.Thread(target=stay, daemon=True).start()
            is_open.wait()
    """,
    "a process": """
        CODE = '''if 1:
            import psycopg, sys
            connection = psycopg.connect(sys.stdin.readline(), application_name="leak")
            connection.execute("select 1")
            print("open", flush=True)
            sys.stdin.read()
        '''

        def test_leaks(migrated_db):
            process = subprocess.Popen(
                [sys.executable, "-c", CODE],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            )
            left.append(process)
            print(migrated_db.dsn, file=process.stdin, flush=True)
            assert process.stdout.readline() == "open\\n"
    """,
    "a SQLAlchemy connection": """
        def test_leaks(migrated_db):
            url = migrated_db.url + "?application_name=leak"
            left.append(sa.create_engine(url).connect())
            left[0].execute(sa.text("select 1"))
    """,
}
CLEAN = {
    "its own psycopg connection": """
        def test_is_clean(migrated_db):
            left.append(migrated_db.connect())
            left[0].execute("select 1")
    """,
    "its own engine": """
        def test_is_clean(migrated_db):
            with migrated_db.engine.connect() as connection:
                connection.execute(sa.text("select 1"))
    """,
    "the pool of an application": """
        def test_is_clean(migrated_db):
            left.append(sa.create_engine(migrated_db.url))
            with left[0].connect() as connection:
                connection.execute(sa.text("select 1"))
    """,
    "a connection that was closed": """
        def test_is_clean(migrated_db):
            with psycopg.connect(migrated_db.dsn) as connection:
                connection.execute("select 1")
    """,
}


@pytest.fixture
def runs(items_project: Project) -> Iterator[Runs]:
    """Runs of a project of which nothing may be left when the test ends."""
    with watched(items_project) as runs:
        yield runs


def write(runs: Runs, *parts: str) -> None:
    """Write a module of tests."""
    runs.project.tests("\n".join(map(textwrap.dedent, (HEAD, *parts))))


def named(ended: Ended) -> list[str]:
    """Return the lines about leaks, the server's process ids taken out."""
    if not any(TITLE in line for line in ended.lines):
        return []
    return [re.sub(r"process \d+", "process N", line) for line in ended.block(TITLE)]


NEXT = """
    def test_next(migrated_db):
        with psycopg.connect(migrated_db.dsn) as connection:
            rows = connection.execute(
                "select datname, application_name from pg_stat_activity "
                "where application_name = 'leak' and starts_with(datname, %s)",
                [migrated_db.name.rpartition("_main")[0]],
            ).fetchall()
        assert rows == []
"""


def test_each_kind_of_leak_is_named_with_its_test_and_closed_before_the_next(runs: Runs) -> None:
    for number, leak in enumerate(LEAKS.values()):
        leaks, follows = map(textwrap.dedent, (leak, NEXT))
        runs.project.tests(f"{textwrap.dedent(HEAD)}{leaks}{follows}", f"test_{number}.py")
    ended = runs.run("-v", server="url")
    assert (ended.status, ended.verdict) == (pytest.ExitCode.OK, f"{2 * len(LEAKS)} passed")
    assert named(ended) == [
        line
        for number in range(len(LEAKS))
        for line in (
            f"test_{number}.py::test_leaks",
            "  server process N (leak), idle in transaction, last query: select 1",
        )
    ]


@pytest.mark.parametrize("options", [[], ["-q"]], ids=["by default", "quietly"])
def test_a_leak_is_not_named_when_not_asked_for(runs: Runs, options: list[str]) -> None:
    write(runs, LEAKS["a psycopg connection"])
    ended = runs.run(*options, server="url")
    assert ended.status == pytest.ExitCode.OK
    assert named(ended) == []


def test_what_the_plugin_closes_in_time_is_no_leak(runs: Runs) -> None:
    for number, clean in enumerate(CLEAN.values()):
        text = textwrap.dedent(HEAD) + textwrap.dedent(clean)
        runs.project.tests(text, f"test_{number}.py")
    ended = runs.run("-v", server="url")
    assert (ended.status, ended.verdict) == (pytest.ExitCode.OK, f"{len(CLEAN)} passed")
    assert named(ended) == []


def test_the_leaks_of_several_tests_are_named_one_after_the_other(runs: Runs) -> None:
    twice = """
        def test_leaks_twice(migrated_db):
            left.append(psycopg.connect(migrated_db.dsn, application_name="one"))
            left.append(psycopg.connect(migrated_db.dsn))
    """
    write(runs, LEAKS["a psycopg connection"], twice)
    assert named(runs.run("-v", server="url")) == [
        "test_it.py::test_leaks",
        "  server process N (leak), idle in transaction, last query: select 1",
        "test_it.py::test_leaks_twice",
        "  server process N (one), idle",
        "  server process N, idle",
    ]


def test_the_leaks_of_workers_are_named_by_their_controller(runs: Runs) -> None:
    write(runs, LEAKS["a psycopg connection"])
    ended = runs.run("-v", "-n", "2", server="url", plugins=["xdist"])
    assert named(ended) == [
        "test_it.py::test_leaks",
        "  server process N (leak), idle in transaction, last query: select 1",
    ]
