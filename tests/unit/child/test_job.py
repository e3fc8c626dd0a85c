"""Every shape of Alembic environment is applied as it is; what cannot be run is said clearly."""

from __future__ import annotations

from importlib.metadata import version
from typing import TYPE_CHECKING

import psycopg
import pytest

from pytest_dbmigrate.migrations.messages import Done
from tests.plugin.projects import ITEM_TABLE, async_env, line_of, sync_env

if TYPE_CHECKING:
    from tests.unit.jobs import JobProject

READS_TOML = tuple(map(int, version("alembic").split(".")[:2])) >= (1, 16)


@pytest.fixture
def items_project(job_project: JobProject) -> JobProject:
    """A project with one revision, `0001`, that makes table `item`."""
    job_project.revision("0001")
    return job_project


def ask(project: JobProject, query: str) -> list[tuple[object, ...]]:
    """Return what the migrated database answers."""
    with psycopg.connect(project.dsn.conninfo()) as connection:
        return connection.execute(query.encode()).fetchall()


@pytest.mark.parametrize("driver", ["psycopg", "psycopg2", "asyncpg"])
def test_an_env_is_run_with_the_projects_driver(job_project: JobProject, driver: str) -> None:
    job_project.write(
        "alembic.ini",
        f"[alembic]\nscript_location = %(here)s/migrations\nsqlalchemy.url = postgresql+{driver}://",
    )
    if driver == "asyncpg":
        job_project.env(async_env())
    job_project.revision("0001", f'assert op.get_bind().dialect.driver == "{driver}"\n{ITEM_TABLE}')
    assert job_project.migrated() == ["item"]


def test_a_configuration_in_pyproject_is_found(job_project: JobProject) -> None:
    (job_project.path / "alembic.ini").unlink()
    toml = job_project.write(
        "pyproject.toml", '[tool.alembic]\nscript_location = "%(here)s/migrations"\n'
    )
    job_project.revision("0001")
    if READS_TOML:
        assert job_project.migrated() == ["item"]
    else:
        assert job_project.explained() == [
            "this Alembic does not read pyproject.toml",
            f"  tried: {toml}",
            "  to do: install Alembic 1.16 or newer, or use an alembic.ini",
        ]


def test_any_version_table_is_filled(items_project: JobProject) -> None:
    items_project.env(
        sync_env(
            configure='version_table="history", version_table_schema="admin"',
        ).replace(
            "    context.configure",
            '    connection.exec_driver_sql("create schema admin")\n'
            "    connection.commit()\n"
            "    context.configure",
        )
    )
    items_project.run()
    assert ask(items_project, "select version_num from admin.history") == [("0001",)]


@pytest.fixture
def two_heads(items_project: JobProject) -> JobProject:
    """A project whose revisions 0002 and 0003 both follow 0001."""
    add = 'op.execute("alter table item add {} text")'
    items_project.revision("0002", add.format("colour"), after="0001")
    items_project.revision("0003", add.format("size"), after="0001")
    return items_project


def test_branches_that_are_merged_are_applied(two_heads: JobProject) -> None:
    two_heads.revision("0004", "pass", after=("0002", "0003"))
    two_heads.run()
    assert ask(two_heads, "select id, name, colour, size from item") == []
    assert len([it for it in two_heads.told if isinstance(it, Done)]) == 4


def test_several_heads_are_an_error_with_the_command_that_merges_them(
    two_heads: JobProject,
) -> None:
    assert two_heads.explained() == [
        "the migrations have 2 heads: 0002, 0003",
        '  to do: merge them: alembic merge -m "merge heads" 0002 0003',
        "         or migrate to all of them: dbmigrate_target = heads",
    ]


def test_an_unknown_target_is_reported_as_unknown(items_project: JobProject) -> None:
    assert items_project.explained(target=("0009",)) == [
        "the migrations cannot be run to 0009: Can't locate revision identified by '0009'",
        "  to do: see `alembic history`; dbmigrate_target names another revision",
    ]


def test_an_index_is_built_concurrently(items_project: JobProject) -> None:
    items_project.revision(
        "0002",
        """
        with op.get_context().autocommit_block():
            op.execute("create index concurrently item_name on item (name)")
        """,
    )
    items_project.revision("0003", 'op.execute("alter index item_name rename to item_name_index")')
    items_project.run()
    found = ask(items_project, "select indexname from pg_indexes where tablename = 'item'")
    assert ("item_name_index",) in found


def test_a_committed_revision_stays_when_the_next_one_reads_it(job_project: JobProject) -> None:
    """An enum's new value can be used in the next transaction only."""
    job_project.revision("0001", "op.execute(\"create type mood as enum ('good')\")")
    job_project.revision("0002", "op.execute(\"alter type mood add value 'better'\")")
    job_project.revision("0003", "op.execute(\"create table day (mood mood default 'better')\")")
    assert job_project.migrated() == ["day"]


def test_an_env_that_sets_the_search_path_is_run(items_project: JobProject) -> None:
    """The recipe for a schema of each tenant in Alembic's cookbook."""
    items_project.env(
        sync_env().replace(
            "    context.configure(",
            "    connection.exec_driver_sql('create schema tenant')\n"
            "    connection.exec_driver_sql('set search_path to tenant')\n"
            "    connection.commit()\n"
            "    connection.dialect.default_schema_name = 'tenant'\n"
            "    context.configure(",
        )
    )
    items_project.revision("0002", "pass")
    items_project.run()
    assert ask(items_project, "select to_regclass('tenant.item')::text") == [("tenant.item",)]


def test_a_url_whose_parts_env_fills_in_is_replaced_all_the_same(job_project: JobProject) -> None:
    ini = "[alembic]\nscript_location = %(here)s/migrations\n"
    url = "sqlalchemy.url = postgresql+psycopg2://app:%(DB_PASSWORD)s@production/app\n"
    job_project.write("alembic.ini", ini + url)
    job_project.env(
        "from alembic import context\n"
        'context.config.set_main_option("DB_PASSWORD", "from the vault")\n' + sync_env()
    )
    job_project.revision("0001", f'assert op.get_bind().dialect.driver == "psycopg2"\n{ITEM_TABLE}')
    assert job_project.migrated() == ["item"]


def test_an_env_that_cannot_be_imported_names_the_line(items_project: JobProject) -> None:
    items_project.env("import a_module_that_is_not_there\n")
    assert items_project.explained() == [
        "the migrations could not be run: env.py failed",
        "  tried: migrations/env.py:1",
        "         ModuleNotFoundError: No module named 'a_module_that_is_not_there'",
        "  to do: fix what it reports; if it is about the address of the database:",
        "         let env.py take its URL from config.get_main_option('sqlalchemy.url'),",
        "         or name the environment variable it reads in dbmigrate_env",
    ]


def test_a_revision_that_cannot_be_parsed_names_the_line(items_project: JobProject) -> None:
    file = items_project.revision("0002", "if True")
    line = line_of(file, "if True")
    assert items_project.explained() == [
        "the migration scripts could not be read",
        f"  tried: migrations/versions/0002.py:{line}",
        f"         SyntaxError: expected ':' (0002.py, line {line})",
        "  to do: fix what it reports, or see `alembic upgrade head`",
    ]


def test_a_revision_that_cannot_be_imported_names_the_line(items_project: JobProject) -> None:
    items_project.write("migrations/versions/0002.py", "import a_module_that_is_not_there")
    assert items_project.explained() == [
        "the migration scripts could not be read",
        "  tried: migrations/versions/0002.py:1",
        "         ModuleNotFoundError: No module named 'a_module_that_is_not_there'",
        "  to do: fix what it reports, or see `alembic upgrade head`",
    ]


def test_an_env_that_exits_is_an_error(items_project: JobProject) -> None:
    items_project.env("import sys\n\nsys.exit(3)\n")
    assert items_project.explained() == [
        "the migrations could not be run: env.py failed",
        "  tried: migrations/env.py:3",
        "         SystemExit: 3",
        "  to do: fix what it reports; if it is about the address of the database:",
        "         let env.py take its URL from config.get_main_option('sqlalchemy.url'),",
        "         or name the environment variable it reads in dbmigrate_env",
    ]


def test_an_env_that_runs_nothing_is_an_error(items_project: JobProject) -> None:
    items_project.env("from alembic import context\n")
    assert items_project.explained() == [
        "env.py ended without running the migrations",
        f"  tried: {items_project.path}/migrations/env.py",
        "  to do: let it call context.configure(...) and context.run_migrations()",
    ]


def test_an_env_that_configures_without_a_connection_is_an_error(items_project: JobProject) -> None:
    items_project.env(
        """
        from alembic import context

        context.configure(url=context.config.get_main_option("sqlalchemy.url"))
        with context.begin_transaction():
            context.run_migrations()
        """
    )
    assert items_project.explained() == [
        "env.py configures Alembic without a connection",
        "  to do: let it pass connection=... to context.configure()",
    ]


def test_an_env_that_fails_after_the_last_revision_is_an_error(items_project: JobProject) -> None:
    file = items_project.env(sync_env().replace("run_migrations()", "run_migrations(); 1 / 0"))
    assert items_project.explained() == [
        "the migrations could not be run: env.py failed",
        f"  tried: migrations/env.py:{line_of(file, '1 / 0')}",
        "         ZeroDivisionError: division by zero",
        "  to do: fix what it reports, or see `alembic upgrade head`",
    ]


def test_an_env_that_rolls_back_is_an_error(items_project: JobProject) -> None:
    items_project.env(
        """
        from alembic import context
        from sqlalchemy import create_engine, pool

        url = context.config.get_main_option("sqlalchemy.url")
        engine = create_engine(url, poolclass=pool.NullPool)
        with engine.connect() as connection:
            with connection.begin() as transaction:
                context.configure(connection=connection)
                context.run_migrations()
                transaction.rollback()
        """
    )
    assert items_project.explained() == [
        (
            "the migrations ran, but version table alembic_version in the database prepared for"
            " them is empty"
        ),
        "  tried: running env.py once, which applied 0001",
        "  to do: let env.py commit what it runs, on the connection it gives Alembic",
    ]


@pytest.mark.filterwarnings("ignore:Revision 0002 .* is not present:UserWarning")
def test_a_missing_revision_is_named(items_project: JobProject) -> None:
    items_project.revision("0003", "pass", after="0002")
    assert items_project.explained()[:3] == [
        "no script has revision 0002, which another revision follows",
        f"  tried: reading the scripts in {items_project.path}/migrations",
        "  to do: restore it, or correct the script that has down_revision = '0002'",
    ]


def test_a_configuration_without_its_folder_is_an_error(job_project: JobProject) -> None:
    job_project.write("alembic.ini", "[alembic]\nscript_location = nowhere\n")

    said = job_project.explained()

    assert said[0] == "the migration scripts could not be read"
    assert said[1].startswith("  tried: CommandError: Path doesn't exist: ")
    assert "nowhere" in said[1]
