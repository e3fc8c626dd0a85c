"""Alembic's side of an upgrade, on a real database."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pytest_dbmigrate.addresses.dsn import Dsn, Secret
from pytest_dbmigrate.child.configuration import configuration
from pytest_dbmigrate.child.plan import target_of
from pytest_dbmigrate.errors import MigrationError, WrongDatabaseError
from pytest_dbmigrate.migrations.environments import Environment
from pytest_dbmigrate.migrations.messages import AlembicOptions, Done, Planned, Started

if TYPE_CHECKING:
    from tests.unit.projects import Project

DSN = Dsn("127.0.0.1", 5433, "ann", Secret("s3/cret%"), "shop")


def history(project: Project) -> list[tuple[Any, ...]]:
    return project.history.execute("select revision, kind from event order by id").fetchall()


def url_in(folder: Path, ini: str) -> str | None:
    file = folder / "alembic.ini"
    file.write_text(ini)
    with configuration(
        Environment(str(file), "", str(folder)), DSN, ("head",), AlembicOptions()
    ) as config:
        return config.get_main_option("sqlalchemy.url")


@pytest.mark.parametrize(
    ("given", "driver"),
    [
        ("", "psycopg"),
        ("sqlalchemy.url = driver://user:pass@localhost/dbname", "psycopg"),
        ("sqlalchemy.url = postgresql://ann@localhost/shop", ""),  # SQLAlchemy's own choice
        ("sqlalchemy.url = postgresql+asyncpg://ann@localhost/shop", "asyncpg"),
        ("sqlalchemy.url = postgresql+psycopg2://ann@localhost/shop", "psycopg2"),
    ],
)
def test_the_configured_url_is_pointed_at_our_database_with_its_own_driver(
    given: str, driver: str, tmp_path: Path
) -> None:
    assert url_in(tmp_path, f"[alembic]\n{given}\n") == DSN.url(driver)


def test_a_target_of_one_head_is_taken_as_it_is(project: Project) -> None:
    project.add("0001", "pass")
    assert target_of(project.upgrade().env.script, ("head",)) == "head"


def test_several_heads_are_an_error_with_the_command_that_merges_them(project: Project) -> None:
    project.add("0001", "pass")
    project.add("0002a", "pass", "0001")
    project.add("0002b", "pass", "0001")
    with pytest.raises(MigrationError) as refused:
        project.upgrade().run()
    assert str(refused.value).splitlines() == [
        "the migrations have 2 heads: 0002a, 0002b",
        '  to do: merge them: alembic merge -m "merge heads" 0002a 0002b',
        "         or migrate to all of them: dbmigrate_target = heads",
    ]


def test_every_revision_is_applied_in_its_order(driven_project: Project) -> None:
    driven_project.add("0001", 'op.execute("create table item (id int)")')
    driven_project.add("0002", 'op.execute("insert into item values (1), (2)")', "0001")
    driven_project.upgrade().run()
    assert driven_project.query("select id from item order by id") == [(1,), (2,)]
    assert driven_project.query("select version_num from alembic_version") == [("0002",)]


def test_an_event_is_written_before_and_after_each_revision(driven_project: Project) -> None:
    driven_project.add("0001", "pass")
    driven_project.add("0002", "pass", "0001")
    driven_project.upgrade().run()
    assert history(driven_project) == [
        ("0001", "started"),
        ("0001", "done"),
        ("0002", "started"),
        ("0002", "done"),
    ]


def test_an_event_knows_the_checksum_of_its_revisions_file(project: Project) -> None:
    file = project.add("0001", "pass")
    project.upgrade().run()
    checksums = project.history.execute("select checksum from event").fetchall()
    assert checksums == [(hashlib.sha256(file.read_bytes()).hexdigest(),)] * 2


def test_the_plan_and_each_step_are_reported_as_they_happen(project: Project) -> None:
    project.add("0001", "pass")
    project.add("0002", "pass", "0001")
    project.upgrade().run()
    messages = [replace(it, seconds=0) if isinstance(it, Done) else it for it in project.told]
    assert messages == [
        Planned(2),
        Started("0001", "Change 0001."),
        Done("0001", 0),
        Started("0002", "Change 0002."),
        Done("0002", 0),
    ]


def test_a_revision_before_the_one_that_fails_stays_applied(driven_project: Project) -> None:
    driven_project.add("0001", 'op.execute("create table item (id int)")')
    driven_project.add("0002", 'op.execute("create table item (id int)")', "0001")
    upgrade = driven_project.upgrade()
    with pytest.raises(Exception, match='relation "item" already exists'):
        upgrade.run()
    upgrade.progress.fail("it exists")
    assert driven_project.query("select version_num from alembic_version") == [("0001",)]
    assert history(driven_project) == [
        ("0001", "started"),
        ("0001", "done"),
        ("0002", "started"),
        ("0002", "failed"),
    ]


def test_the_events_before_a_revision_that_never_ends_are_there_while_it_runs(
    project: Project,
) -> None:
    seen: list[list[tuple[Any, ...]]] = []
    project.add("0001", "pass")
    project.add("0002", "from builtins import look; look()", "0001")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("builtins.look", lambda: seen.append(history(project)), raising=False)
        project.upgrade().run()
    assert seen == [[("0001", "started"), ("0001", "done"), ("0002", "started")]]


def test_an_autocommit_block_is_outside_of_any_transaction(driven_project: Project) -> None:
    driven_project.add("0001", 'op.execute("create table item (id int)")')
    driven_project.add(
        "0002",
        "with op.get_context().autocommit_block():\n"
        '    op.execute("create index concurrently ix_item on item (id)")',
        "0001",
    )
    driven_project.upgrade().run()
    assert driven_project.query("select indisvalid from pg_index where indrelid = 'item'::regclass")


def test_a_run_to_a_revision_ends_there(project: Project) -> None:
    project.add("0001", "pass")
    project.add("0002", "pass", "0001")
    upgrade = project.upgrade("0001")
    upgrade.run()
    assert upgrade.progress.done == ["0001"]


def test_an_unknown_target_is_an_error(project: Project) -> None:
    project.add("0001", "pass")
    with pytest.raises(MigrationError) as refused:
        project.upgrade("0009").run()
    first, todo = str(refused.value).splitlines()
    assert first.startswith("the migrations cannot be run to 0009: ")
    assert todo == "  to do: see `alembic history`; dbmigrate_target names another revision"


def test_the_schema_is_checked_once_after_the_last_revision(project: Project) -> None:
    checked: list[list[str]] = []
    project.add("0001", "pass")
    upgrade = project.upgrade(check=lambda *_: checked.append(list(upgrade.progress.done)))
    upgrade.run()
    assert checked == [["0001"]]


def test_an_env_that_connects_elsewhere_is_refused_before_its_first_statement(
    driven_project: Project, new_database: Callable[[], Dsn]
) -> None:
    other = new_database()
    env = (driven_project.folder / "migrations/env.py").read_text()
    url = str(other.url(driven_project.driver))
    configured = 'context.config.get_main_option("sqlalchemy.url")'
    driven_project.write_env(env.replace(configured, f"'{url}'"))
    driven_project.add("0001", 'op.execute("create table item (id int)")')
    with pytest.raises(WrongDatabaseError) as refused:
        driven_project.upgrade().run()
    ours = driven_project.database.dbname
    assert str(refused.value).splitlines() == [
        (
            f"env.py connects to database {other.dbname} at 127.0.0.1:{other.port}, "
            f"not to the one prepared for it ({ours})"
        ),
        "  tried: asking its connection for current_database(); nothing was run there",
        "  to do: let env.py take its URL from config.get_main_option('sqlalchemy.url'),",
        "         or name the environment variable it reads in dbmigrate_env",
    ]
    tables = "select count(*) from pg_tables where schemaname = 'public'"
    assert replace(driven_project, database=other).query(tables) == [(0,)]


def test_an_env_that_runs_nothing_is_an_error(project: Project) -> None:
    file = project.write_env("")
    with pytest.raises(MigrationError) as refused:
        project.upgrade().run()
    assert str(refused.value).splitlines() == [
        "env.py ended without running the migrations",
        f"  tried: {file}",
        "  to do: let it call context.configure(...) and context.run_migrations()",
    ]


def test_an_env_without_a_connection_is_an_error(project: Project) -> None:
    project.write_env("from alembic import context\ncontext.configure(dialect_name='postgresql')")
    with pytest.raises(MigrationError) as refused:
        project.upgrade().run()
    assert str(refused.value).splitlines() == [
        "env.py configures Alembic without a connection",
        "  to do: let it pass connection=... to context.configure()",
    ]


def test_the_version_table_is_the_one_that_env_names(project: Project) -> None:
    env = (project.folder / "migrations/env.py").read_text()
    project.write_env(
        env.replace("connection=connection", "connection=connection, version_table='v'")
    )
    project.add("0001", "pass")
    upgrade = project.upgrade()
    upgrade.run()
    assert upgrade.env.version_table == ("v", None)
    assert project.query("select version_num from v") == [("0001",)]
