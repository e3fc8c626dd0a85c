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
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path

import psycopg
import pytest

from pytest_dbmigrate.addresses.dsn import Dsn, Secret
from tests.plugin.projects import (
    ITEM_TABLE,
    PATIENCE,
    VARIABLE_URL,
    Project,
    async_env,
    block,
    line_of,
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


@pytest.mark.parametrize("driver", ["psycopg", "psycopg2"])
def test_a_synchronous_env_is_run_with_the_projects_driver(project: Project, driver: str) -> None:
    project.pytester.path.joinpath("alembic.ini").write_text(
        f"[alembic]\nscript_location = %(here)s/migrations\nsqlalchemy.url = postgresql+{driver}://"
    )
    project.revision("0001", f'assert op.get_bind().dialect.driver == "{driver}"\n{ITEM_TABLE}')
    project.tests(USES_ITEM)

    project.run().assert_outcomes(passed=1)


def test_an_asynchronous_env_is_run(project: Project) -> None:
    project.write(
        "alembic.ini",
        "[alembic]\nscript_location = %(here)s/migrations\nsqlalchemy.url = postgresql+asyncpg://",
    )
    project.env(async_env())
    project.revision("0001", f'assert op.get_bind().dialect.driver == "asyncpg"\n{ITEM_TABLE}')
    project.tests(USES_ITEM)

    project.run().assert_outcomes(passed=1)


def test_an_env_reads_its_address_from_the_environment(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://postgres@localhost/production")
    project.ini("dbmigrate_env = DATABASE_URL={url:postgresql+psycopg}")
    project.env(sync_env(url=VARIABLE_URL))
    project.revision("0001")
    project.tests(USES_ITEM)

    project.run().assert_outcomes(passed=1)


def test_an_application_that_makes_its_engine_at_import_is_migrated(project: Project) -> None:
    project.ini("dbmigrate_env = DATABASE_URL={url:postgresql+psycopg}")
    project.write(
        "app.py",
        """
        import os

        from sqlalchemy import create_engine

        engine = create_engine(os.environ["DATABASE_URL"])
        """,
    )
    project.env(
        """
        from alembic import context
        from app import engine

        with engine.begin() as connection:
            context.configure(connection=connection)
            context.run_migrations()
        """
    )
    project.revision("0001")
    project.tests("import app\n" + USES_ITEM)

    project.run().assert_outcomes(passed=1)


def test_a_configuration_in_pyproject_is_found(project: Project) -> None:
    (project.path / "alembic.ini").unlink()
    toml = project.write(
        "pyproject.toml", '[tool.alembic]\nscript_location = "%(here)s/migrations"\n'
    )
    project.revision("0001")
    project.tests(USES_ITEM)

    result = project.run()

    if READS_TOML:
        result.assert_outcomes(passed=1)
    else:
        assert explained(result) == [
            "this Alembic does not read pyproject.toml",
            f"  tried: {toml}",
            "  to do: install Alembic 1.16 or newer, or use an alembic.ini",
        ]


@pytest.mark.parametrize("where", ["option", "ini"])
def test_a_configuration_elsewhere_is_named(project: Project, where: str) -> None:
    project.revision("0001")
    (project.path / "backend").mkdir()
    for name in ("alembic.ini", "migrations"):
        (project.path / name).rename(project.path / "backend" / name)
    project.tests(USES_ITEM)
    if where == "ini":
        project.ini("dbmigrate_alembic = backend/alembic.ini")

    result = project.run(*(["--db-alembic=backend/alembic.ini"] if where == "option" else []))

    result.assert_outcomes(passed=1)


def test_any_version_table_is_filled(project: Project) -> None:
    project.env(
        sync_env(
            configure='version_table="history", version_table_schema="admin"',
        ).replace(
            "    context.configure",
            '    connection.exec_driver_sql("create schema admin")\n'
            "    connection.commit()\n"
            "    context.configure",
        )
    )
    project.revision("0001")
    project.tests(
        """
        def test_it(migrated_db):
            found = migrated_db.connect().execute("select version_num from admin.history")
            assert found.fetchall() == [("0001",)]
        """
    )

    project.run().assert_outcomes(passed=1)


@pytest.fixture
def two_heads(project: Project) -> Project:
    """A project whose revisions 0002 and 0003 both follow 0001."""
    project.revision("0001")
    project.revision("0002", 'op.execute("alter table item add colour text")', after="0001")
    project.revision("0003", 'op.execute("alter table item add size text")', after="0001")
    project.tests(
        """
        def test_it(migrated_db):
            migrated_db.connect().execute("select id, name, colour, size from item")
        """
    )
    return project


def test_branches_that_are_merged_are_applied(two_heads: Project) -> None:
    two_heads.revision("0004", "pass", after=("0002", "0003"))

    result = two_heads.run()

    result.assert_outcomes(passed=1)
    assert told(result)[2].startswith("fresh: 4 revisions applied in ")


def test_several_heads_are_an_error_with_the_command_that_merges_them(two_heads: Project) -> None:
    assert explained(two_heads.run()) == [
        "the migrations have 2 heads: 0002, 0003",
        '  to do: merge them: alembic merge -m "merge heads" 0002 0003',
        "         or migrate to all of them: dbmigrate_target = heads",
    ]


def test_several_heads_are_applied_if_asked_for(two_heads: Project) -> None:
    two_heads.run("--db-target=heads").assert_outcomes(passed=1)


def test_the_target_is_a_revision(items_project: Project) -> None:
    items_project.revision("0002", 'raise RuntimeError("beyond the target")')
    items_project.tests(USES_ITEM)

    items_project.run("--db-target=0001").assert_outcomes(passed=1)


def test_an_unknown_target_is_reported_as_unknown(items_project: Project) -> None:
    items_project.tests(USES_ITEM)

    assert explained(items_project.run("--db-target=0009")) == [
        "the migrations cannot be run to 0009: Can't locate revision identified by '0009'",
        "  to do: see `alembic history`; dbmigrate_target names another revision",
    ]


def test_an_index_is_built_concurrently(project: Project) -> None:
    project.revision("0001")
    project.revision(
        "0002",
        """
        with op.get_context().autocommit_block():
            op.execute("create index concurrently item_name on item (name)")
        """,
    )
    project.revision("0003", 'op.execute("alter index item_name rename to item_name_index")')
    project.tests(
        """
        def test_it(migrated_db):
            found = migrated_db.connect().execute("select indexdef from pg_indexes")
            assert any("item_name_index" in row[0] for row in found)
        """
    )

    project.run().assert_outcomes(passed=1)


def test_a_committed_revision_stays_when_the_next_one_reads_it(project: Project) -> None:
    """An enum's new value can be used in the next transaction only."""
    project.revision("0001", "op.execute(\"create type mood as enum ('good')\")")
    project.revision("0002", "op.execute(\"alter type mood add value 'better'\")")
    project.revision("0003", "op.execute(\"create table day (mood mood default 'better')\")")
    project.tests("def test_it(migrated_db): pass")

    project.run().assert_outcomes(passed=1)


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


def test_an_env_that_cannot_be_imported_names_the_line(items_project: Project) -> None:
    items_project.env("import a_module_that_is_not_there\n")
    items_project.tests(USES_ITEM)

    assert explained(items_project.run()) == [
        "the migrations could not be run: env.py failed",
        "  tried: migrations/env.py:1",
        "         ModuleNotFoundError: No module named 'a_module_that_is_not_there'",
        "  to do: fix what it reports; if it is about the address of the database:",
        "         let env.py take its URL from config.get_main_option('sqlalchemy.url'),",
        "         or name the environment variable it reads in dbmigrate_env",
    ]


def test_a_revision_that_cannot_be_parsed_names_the_line(items_project: Project) -> None:
    file = items_project.revision("0002", "if True")
    line = line_of(file, "if True")
    items_project.tests(USES_ITEM)

    assert explained(items_project.run()) == [
        "the migration scripts could not be read",
        f"  tried: migrations/versions/0002.py:{line}",
        f"         SyntaxError: expected ':' (0002.py, line {line})",
        "  to do: fix what it reports, or see `alembic upgrade head`",
    ]


def test_a_revision_that_cannot_be_imported_names_the_line(items_project: Project) -> None:
    items_project.write("migrations/versions/0002.py", "import a_module_that_is_not_there")
    items_project.tests(USES_ITEM)

    assert explained(items_project.run()) == [
        "the migration scripts could not be read",
        "  tried: migrations/versions/0002.py:1",
        "         ModuleNotFoundError: No module named 'a_module_that_is_not_there'",
        "  to do: fix what it reports, or see `alembic upgrade head`",
    ]


def test_an_env_that_exits_is_an_error(items_project: Project) -> None:
    items_project.env('import sys\n\nprint("not today")\nsys.exit(3)\n')
    items_project.tests(USES_ITEM)

    assert explained(items_project.run()) == [
        "the migrations could not be run: env.py failed",
        "  tried: migrations/env.py:4",
        "         SystemExit: 3",
        "  to do: fix what it reports; if it is about the address of the database:",
        "         let env.py take its URL from config.get_main_option('sqlalchemy.url'),",
        "         or name the environment variable it reads in dbmigrate_env",
        "  env.py and the migrations printed:",
        "    not today",
    ]


def test_an_env_that_ends_its_process_is_an_error(items_project: Project) -> None:
    items_project.env("import os\n\nos._exit(3)\n")
    items_project.tests(USES_ITEM)

    assert explained(items_project.run()) == [
        "the process that runs the migrations ended with 3 before the first revision",
        "  to do: see what it printed: it may be out of memory, or a library may have crashed",
    ]


def test_an_env_that_runs_nothing_is_an_error(items_project: Project) -> None:
    items_project.env("from alembic import context\n")
    items_project.tests(USES_ITEM)

    assert explained(items_project.run()) == [
        "env.py ended without running the migrations",
        f"  tried: {items_project.path}/migrations/env.py",
        "  to do: let it call context.configure(...) and context.run_migrations()",
    ]


def test_an_env_that_configures_without_a_connection_is_an_error(items_project: Project) -> None:
    items_project.env(
        """
        from alembic import context

        context.configure(url=context.config.get_main_option("sqlalchemy.url"))
        with context.begin_transaction():
            context.run_migrations()
        """
    )
    items_project.tests(USES_ITEM)

    assert explained(items_project.run()) == [
        "env.py configures Alembic without a connection",
        "  to do: let it pass connection=... to context.configure()",
    ]


def test_an_env_that_fails_after_the_last_revision_is_an_error(items_project: Project) -> None:
    file = items_project.env(sync_env().replace("run_migrations()", "run_migrations(); 1 / 0"))
    items_project.tests(USES_ITEM)

    assert explained(items_project.run()) == [
        "the migrations could not be run: env.py failed",
        f"  tried: migrations/env.py:{line_of(file, '1 / 0')}",
        "         ZeroDivisionError: division by zero",
        "  to do: fix what it reports, or see `alembic upgrade head`",
    ]


def test_an_env_that_rolls_back_is_an_error(items_project: Project) -> None:
    items_project.env(
        """
        from alembic import context
        from sqlalchemy import create_engine

        engine = create_engine(context.config.get_main_option("sqlalchemy.url"))
        with engine.connect() as connection:
            with connection.begin() as transaction:
                context.configure(connection=connection)
                context.run_migrations()
                transaction.rollback()
        """
    )
    items_project.tests(USES_ITEM)

    assert explained(items_project.run()) == [
        (
            "the migrations ran, but version table alembic_version in the database prepared for"
            " them is empty"
        ),
        "  tried: running env.py once, which applied 0001",
        "  to do: let env.py commit what it runs, on the connection it gives Alembic",
    ]


def test_an_env_that_sets_the_search_path_is_run(project: Project) -> None:
    """The recipe for a schema of each tenant in Alembic's cookbook."""
    project.env(
        sync_env().replace(
            "    context.configure(",
            "    connection.exec_driver_sql('create schema tenant')\n"
            "    connection.exec_driver_sql('set search_path to tenant')\n"
            "    connection.commit()\n"
            "    connection.dialect.default_schema_name = 'tenant'\n"
            "    context.configure(",
        )
    )
    project.revision("0001")
    project.revision("0002", "pass")
    project.tests(
        """
        def test_it(migrated_db):
            found = migrated_db.connect().execute("select to_regclass('tenant.item')::text")
            assert found.fetchone() == ("tenant.item",)
        """
    )

    project.run().assert_outcomes(passed=1)


def test_a_missing_revision_is_named(items_project: Project) -> None:
    items_project.revision("0003", "pass", after="0002")
    items_project.tests(USES_ITEM)

    assert explained(items_project.run())[:3] == [
        "no script has revision 0002, which another revision follows",
        f"  tried: reading the scripts in {items_project.path}/migrations",
        "  to do: restore it, or correct the script that has down_revision = '0002'",
    ]


def test_a_configuration_without_its_folder_is_an_error(project: Project) -> None:
    project.write("alembic.ini", "[alembic]\nscript_location = nowhere\n")
    project.tests(USES_ITEM)

    said = explained(project.run())

    assert said[0] == "the migration scripts could not be read"
    assert said[1].startswith("  tried: CommandError: Path doesn't exist: ")
    assert "nowhere" in said[1]


def test_a_project_without_revisions_is_migrated_to_nothing(project: Project) -> None:
    project.tests("def test_it(migrated_db): pass")

    result = project.run()

    result.assert_outcomes(passed=1)
    assert told(result)[2].startswith("fresh: 0 revisions applied in ")


def test_each_step_is_one_plain_line(items_project: Project) -> None:
    items_project.revision("0002", "pass")
    items_project.models()
    items_project.tests(USES_ITEM)

    result = items_project.run()

    assert TIME.sub("N", "\n".join(told(result)[1:])).splitlines() == [
        "PostgreSQL N (url at 127.0.0.1:N), ready in N s",
        "fresh: 2 revisions applied in N s; the schema matches the models",
    ]


def test_revisions_are_listed_with_their_times_if_asked_for(items_project: Project) -> None:
    items_project.revision("0002", "pass")
    items_project.tests(USES_ITEM)

    result = items_project.run("-v")

    assert TIME.sub("N", "\n".join(told(result)[2:])).splitlines() == [
        "1/2 0001 (N ms)",
        "2/2 0002 (N ms)",
        (
            "fresh: 2 revisions applied in N s; not compared with the models: "
            "env.py gives Alembic no target_metadata"
        ),
    ]


def test_a_url_whose_parts_env_fills_in_is_replaced_all_the_same(project: Project) -> None:
    ini = "[alembic]\nscript_location = %(here)s/migrations\n"
    url = "sqlalchemy.url = postgresql+psycopg2://app:%(DB_PASSWORD)s@production/app\n"
    project.write("alembic.ini", ini + url)
    project.env(
        "from alembic import context\n"
        'context.config.set_main_option("DB_PASSWORD", "from the vault")\n' + sync_env()
    )
    project.revision("0001", f'assert op.get_bind().dialect.driver == "psycopg2"\n{ITEM_TABLE}')
    project.tests(USES_ITEM)

    project.run().assert_outcomes(passed=1)


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


def test_a_migration_that_reads_standard_input_finds_its_end(project: Project) -> None:
    question = "import os, sys\nassert (sys.stdin.read(), os.read(0, 1)) == ('', b'')\n"
    project.revision("0001", question + ITEM_TABLE)
    project.tests(USES_ITEM)

    project.run().assert_outcomes(passed=1)


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


def test_what_env_and_the_migrations_print_is_not_shown_if_all_went_well(
    project: Project,
) -> None:
    project.revision("0001", f'print("a revision was here")\n{ITEM_TABLE}')
    project.tests(USES_ITEM)

    result = project.run("-v", "-s")

    result.assert_outcomes(passed=1)
    assert "a revision was here" not in output(result)


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


def test_every_revision_leaves_events(project: Project) -> None:
    files = [project.revision("0001"), project.revision("0002", "pass")]
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
        """
    )

    result = project.run("-s")

    result.assert_outcomes(passed=1)
    rows = [line.split() for line in result.outlines if line.startswith("event ")]
    assert [(row[1], row[2]) for row in rows] == [
        ("0001", "started"),
        ("0001", "done"),
        ("0002", "started"),
        ("0002", "done"),
    ]
    checksums = [hashlib.sha256(file.read_bytes()).hexdigest() for file in files]
    assert [row[3] for row in rows] == [checksum for checksum in checksums for _ in range(2)]
    assert {row[4] for row in rows} == {socket.gethostname()}
    assert len({row[5] for row in rows}) == 1
    assert int(rows[0][5]) != os.getpid()
    assert [row[6] == "None" for row in rows] == [True, False, True, False]
    assert all(0 < float(row[6]) < 60 for row in rows[1::2])


def test_a_failed_revision_leaves_an_event(project: Project) -> None:
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


def test_one_env_run_applies_all_revisions(project: Project) -> None:
    project.env('print("env.py runs")\n' + sync_env())
    for number in range(3):
        project.revision(f"000{number}", "pass")
    project.revision("0003", 'raise RuntimeError("to see what was printed")')
    project.tests(USES_ITEM)

    result = project.run()

    assert output(result).count("env.py runs") == 1
