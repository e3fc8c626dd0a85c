"""Every shape of Alembic environment is run as it is; what cannot be run is said clearly."""

from __future__ import annotations

import contextlib
import hashlib
import os
import pty
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path

import psycopg
import pytest

from pytest_dbmigrate.addresses.dsn import Dsn, Secret
from tests.plugin.projects import (
    ITEM_TABLE,
    PATIENCE,
    Project,
    block,
    output,
    sync_env,
    told,
)

READS_TOML = tuple(map(int, version("alembic").split(".")[:2])) >= (1, 16)
USES_ITEM = """
def test_it(migrated_db):
    assert migrated_db.connect().execute("select id, name from item").fetchall() == []
"""


# numbers that differ from run to run, but not the ids of revisions
TIME = re.compile(r"\d+\.\d+(?= s|\b \(url)|(?<=:)\d+|(?<=\()\d+(?= ms)")


def explained(result: pytest.RunResult) -> list[str]:
    """Return the explanation of a run whose one database test had no database."""
    result.assert_outcomes(errors=1)
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    return block(result, "dbmigrate: no database").splitlines()


def test_an_application_that_makes_its_engine_at_import_is_migrated(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It reads the address from a variable; each step of the run is one plain line."""
    monkeypatch.setenv("DATABASE_URL", "postgresql://postgres@localhost/production")
    project.ini("dbmigrate_env = DATABASE_URL={url:postgresql+psycopg}")
    project.write(
        "app.py",
        """
        import os

        from sqlalchemy import create_engine

        engine = create_engine(os.environ["DATABASE_URL"])
        """,
    )
    project.models()
    project.env(
        """
        import models
        from alembic import context
        from app import engine

        with engine.begin() as connection:
            context.configure(connection=connection, target_metadata=models.metadata)
            context.run_migrations()
        """
    )
    project.revision("0001")
    project.revision("0002", "pass")
    project.tests("import app\n" + USES_ITEM)

    result = project.run()

    result.assert_outcomes(passed=1)
    assert TIME.sub("N", "\n".join(told(result)[1:])).splitlines() == [
        "PostgreSQL N (url at 127.0.0.1:N), ready in N s",
        "fresh: 2 revisions applied in N s; the schema matches the models",
    ]


def in_a_folder(project: Project) -> None:
    """Move the environment to a folder `backend`."""
    (project.path / "backend").mkdir()
    for name in ("alembic.ini", "migrations"):
        (project.path / name).rename(project.path / "backend" / name)


def test_an_option_names_a_configuration_elsewhere_and_a_target(items_project: Project) -> None:
    items_project.revision("0002", 'raise RuntimeError("beyond the target")')
    in_a_folder(items_project)
    items_project.tests(USES_ITEM)

    result = items_project.run("--db-alembic=backend/alembic.ini", "--db-target=0001")

    result.assert_outcomes(passed=1)


def test_the_ini_file_names_a_configuration_elsewhere_and_several_heads(project: Project) -> None:
    project.revision("0001")
    project.revision("0002", 'op.execute("alter table item add colour text")', after="0001")
    project.revision("0003", 'op.execute("alter table item add size text")', after="0001")
    in_a_folder(project)
    project.ini("dbmigrate_alembic = backend/alembic.ini\ndbmigrate_target = heads")
    project.tests(
        """
        def test_it(migrated_db):
            migrated_db.connect().execute("select id, name, colour, size from item")
        """
    )

    result = project.run()

    result.assert_outcomes(passed=1)
    assert told(result)[2].startswith("fresh: 3 revisions applied in ")


def test_no_configuration_is_an_error_that_lists_where_it_looked(project: Project) -> None:
    (project.path / "alembic.ini").unlink()
    project.write("pyproject.toml", "[tool.other]\n")
    project.tests(USES_ITEM)

    assert explained(project.run()) == [
        "no Alembic configuration was found",
        f"  tried: {project.path}/alembic.ini: no such file",
        f"         {project.path}/pyproject.toml: no [tool.alembic] section",
        "  to do: name it with --db-alembic or dbmigrate_alembic",
    ]


def test_a_toml_file_without_alembics_section_is_refused(project: Project) -> None:
    project.write("other.toml", "[tool.other]\n")
    project.tests(USES_ITEM)

    assert explained(project.run("--db-alembic=other.toml")) == [
        f"{project.path}/other.toml has no [tool.alembic] section",
        "  to do: name another file with --db-alembic or dbmigrate_alembic",
    ]


def test_an_env_that_ends_its_process_is_an_error(items_project: Project) -> None:
    items_project.env("import os\n\nos._exit(3)\n")
    items_project.tests(USES_ITEM)

    assert explained(items_project.run()) == [
        "the process that runs the migrations ended with 3 before the first revision",
        "  to do: see what it printed: it may be out of memory, or a library may have crashed",
    ]


def test_a_project_without_revisions_is_migrated_to_nothing(project: Project) -> None:
    project.tests("def test_it(migrated_db): pass")

    result = project.run()

    result.assert_outcomes(passed=1)
    assert told(result)[2].startswith("fresh: 0 revisions applied in ")


@pytest.mark.parametrize("way", ["role", "PGOPTIONS"])
def test_defaults_of_the_projects_sessions_do_not_disturb_ours(
    project: Project, monkeypatch: pytest.MonkeyPatch, role: Dsn, way: str
) -> None:
    """The project reads where it does not say otherwise, and its tables are in a schema."""
    settings = {"search_path": "app", "default_transaction_read_only": "on"}
    if way == "PGOPTIONS":
        options = " ".join(f"-c {name}={value}" for name, value in settings.items())
        monkeypatch.setenv("PGOPTIONS", options)
    else:
        with psycopg.connect(project.server_url(), autocommit=True) as connection:
            for name, value in settings.items():
                connection.execute(f"alter role {role.user} set {name} = {value}".encode())
    project.env(
        sync_env().replace(
            "    context.configure(",
            "    connection.exec_driver_sql('set default_transaction_read_only = off')\n"
            "    connection.commit()\n"
            "    connection.exec_driver_sql('create schema app')\n"
            "    connection.commit()\n"
            "    context.configure(",
        )
    )
    project.revision("0001")
    project.tests(
        """
        def test_it(migrated_db):
            row = migrated_db.connect().execute("select to_regclass('app.item')::text").fetchone()
            assert row == ("item",)
        """
    )

    project.run(server=role.url()).assert_outcomes(passed=1)


@pytest.fixture
def role(project: Project) -> Iterator[Dsn]:
    """A role on the server that is up already, which may create databases and no more."""
    server = Dsn.parse(project.server_url())
    role = replace(server, user="app", password=Secret("s3cret of app"))
    with psycopg.connect(server.conninfo(), autocommit=True) as connection:
        connection.execute(f"create role app login createdb password '{role.password}'".encode())
        yield role
        connection.execute("drop role app")


def test_modules_named_like_the_standard_librarys_disturb_nothing(items_project: Project) -> None:
    """The folders of tests and of the project come first in the path of both processes."""
    for name in ("json.py", "tests/random.py", "tests/logging.py"):
        items_project.write(name, 'raise RuntimeError("this is the module of the project")')
    items_project.tests(USES_ITEM, name="tests/test_it.py")
    # not `python -m pytest`: pytest itself would import the project's json
    command = [str(Path(sys.executable).with_name("pytest")), *items_project.command()[3:]]

    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=False)

    assert " 1 passed in " in done.stdout, done.stdout + done.stderr


def on_a_terminal(command: list[str]) -> str:
    """Return what a command writes when its standard output is a terminal."""
    ours, terminal = pty.openpty()
    with subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=terminal, stderr=terminal
    ) as process:
        os.close(terminal)
        written = b""
        with contextlib.suppress(OSError):  # how the end of a terminal is told
            while piece := os.read(ours, 4096):
                written += piece
    os.close(ours)
    assert process.returncode == 0
    return written.decode()


def test_progress_is_one_line_that_is_written_over_on_a_terminal(items_project: Project) -> None:
    items_project.revision("0002", "pass")
    items_project.tests(USES_ITEM)

    written = on_a_terminal(items_project.command())

    lines = [line.rstrip("\r").split("\r") for line in written.split("\n")]
    (progress,) = (line for line in lines if line[-1].startswith("dbmigrate: fresh: "))
    assert [step.strip() for step in progress[:-1]] == [
        "",
        "dbmigrate: reading the migrations ...",
        "dbmigrate: revision 1 of 2: 0001",
        "dbmigrate: revision 2 of 2: 0002",
        "",
    ]
    assert "revision 1 of 2" not in "".join(line[-1] for line in lines)


TELL_EVENTS = """
import psycopg

from pytest_dbmigrate.databases import names


def events(server, run):
    dsn = server.dsn.at(names.control(run))
    with psycopg.connect(dsn.conninfo()) as connection:
        return connection.execute(
            "select revision, kind, checksum, run, host, process, seconds, error, at"
            " from event order by id"
        ).fetchall()
"""


@dataclass(frozen=True)
class Green:
    """A verbose run of two revisions, which shows its events, and the files of its revisions."""

    files: tuple[Path, Path]
    result: pytest.RunResult


@pytest.fixture(scope="module")
def runs() -> dict[str, Green]:
    """The run that several tests look at, once it was done."""
    return {}


@pytest.fixture
def green(project: Project, runs: dict[str, Green]) -> Green:
    """The run; its first revision reads standard input, and prints something."""
    if "green" not in runs:
        question = "import os, sys\nassert (sys.stdin.read(), os.read(0, 1)) == ('', b'')\n"
        first = project.revision("0001", f'{question}print("a revision was here")\n{ITEM_TABLE}')
        files = (first, project.revision("0002", "pass"))
        project.write("told.py", TELL_EVENTS)
        project.tests(
            """
            import told

            def test_it(migrated_db, db_server):
                run = migrated_db.name.split("_")[1]
                found = told.events(db_server, run)
                print()
                for revision, kind, checksum, its_run, host, process, seconds, error, at in found:
                    assert its_run == run
                    assert error is None
                    assert at.tzinfo is not None
                    print("event", revision, kind, checksum, host, process, seconds)
                assert migrated_db.connect().execute("select * from item").fetchall() == []
            """
        )
        runs["green"] = Green(files, project.run("-v", "-s"))
    runs["green"].result.assert_outcomes(passed=1)
    return runs["green"]


def test_revisions_are_listed_with_their_times_if_asked_for(green: Green) -> None:
    assert TIME.sub("N", "\n".join(told(green.result)[2:])).splitlines() == [
        "1/2 0001 (N ms)",
        "2/2 0002 (N ms)",
        (
            "fresh: 2 revisions applied in N s; not compared with the models: "
            "env.py gives Alembic no target_metadata"
        ),
    ]
    assert output(green.result).count("target_metadata") == 1


def test_a_migration_that_reads_standard_input_finds_its_end(green: Green) -> None:
    """It would have failed, or waited, otherwise."""
    assert green.result.ret == pytest.ExitCode.OK


def test_what_env_and_the_migrations_print_is_not_shown_if_all_went_well(green: Green) -> None:
    assert "a revision was here" not in output(green.result)


def test_every_revision_leaves_events(green: Green) -> None:
    rows = [line.split() for line in green.result.outlines if line.startswith("event ")]
    assert [(row[1], row[2]) for row in rows] == [
        ("0001", "started"),
        ("0001", "done"),
        ("0002", "started"),
        ("0002", "done"),
    ]
    checksums = [hashlib.sha256(file.read_bytes()).hexdigest() for file in green.files]
    assert [row[3] for row in rows] == [checksum for checksum in checksums for _ in range(2)]
    assert {row[4] for row in rows} == {socket.gethostname()}
    assert len({row[5] for row in rows}) == 1
    assert int(rows[0][5]) != os.getpid()
    assert [row[6] == "None" for row in rows] == [True, False, True, False]
    assert all(0 < float(row[6]) < 60 for row in rows[1::2])


def test_a_failed_revision_leaves_an_event_and_env_was_run_once(project: Project) -> None:
    project.env('print("env.py runs")\n' + sync_env())
    project.revision("0001")
    project.revision("0002", 'op.execute("select nonsense")')
    project.write("told.py", TELL_EVENTS)
    project.tests(
        """
        import told

        def test_unit(request, db_server):
            from pytest_dbmigrate.plugin.state import STATE

            run = request.config.stash[STATE].session().run.id
            print()
            for row in told.events(db_server, run):
                print("event", row[0], row[1], row[6] is not None, row[7])

        def test_database(migrated_db): pass
        """
    )

    result = project.run("-s")

    result.assert_outcomes(passed=1, errors=1)
    assert [line for line in result.outlines if line.startswith("event ")] == [
        "event 0001 started False None",
        "event 0001 done True None",
        "event 0002 started False None",
        'event 0002 failed True column "nonsense" does not exist',
    ]
    assert output(result).count("env.py runs") == 1
