"""What went wrong in a revision or in env.py, read off real errors of real drivers."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pytest_dbmigrate.child import failure
from tests.plugin.projects import line_of

if TYPE_CHECKING:
    from tests.unit.jobs import JobProject
    from tests.unit.projects import Project

MEND = "  to do: fix the revision and run the tests again"
TABLE = 'op.execute("create table item (id int primary key, name text not null)")'


def explained(project: Project, applied: tuple[str, ...] = ()) -> list[str]:
    """Return how the failure of the project's upgrade is explained."""
    upgrade = project.upgrade()
    with pytest.raises(BaseException) as raised:  # noqa: PT011  # of any library
        upgrade.run()
    return failure.of_revision(raised.value, upgrade.progress, applied).lines()


def explained_outside(project: Project) -> list[str]:
    """Return how the failure of the project's env.py is explained."""
    upgrade = project.upgrade()
    with pytest.raises(BaseException) as raised:  # noqa: PT011
        upgrade.run()
    return failure.of_environment(raised.value, upgrade.env).lines()


def test_broken_sql_is_shown_with_its_place_and_its_position(driven_project: Project) -> None:
    driven_project.add("0001", TABLE)
    driven_project.add("0002", 'op.execute("""\n    alter table item\n    add x nosuch""")', "0001")
    assert explained(driven_project, ("0001",)) == [
        "revision 0002 failed",
        "  file: migrations/versions/0002_change.py:11",
        "  sql: alter table item",
        "       add x nosuch",
        "             ^",
        '  server: type "nosuch" does not exist',
        "  left applied: up to 0001; 1 revision is not applied",
        MEND,
    ]


def test_what_the_server_adds_is_shown(driven_project: Project) -> None:
    driven_project.add("0001", TABLE)
    body = "op.execute(\"insert into item values (1, 'a'), (1, 'b')\")"
    driven_project.add("0002", body, "0001")
    assert explained(driven_project, ("0001",)) == [
        "revision 0002 failed",
        "  file: migrations/versions/0002_change.py:11",
        "  sql: insert into item values (1, 'a'), (1, 'b')",
        '  server: duplicate key value violates unique constraint "item_pkey"',
        "  detail: Key (id)=(1) already exists.",
        "  left applied: up to 0001; 1 revision is not applied",
        MEND,
    ]


def test_the_servers_hint_is_shown(driven_project: Project) -> None:
    driven_project.add("0001", 'op.execute("select nmae from (select 1 as name) as item")')
    assert explained(driven_project) == [
        "revision 0001 failed",
        "  file: migrations/versions/0001_change.py:11",
        "  sql: select nmae from (select 1 as name) as item",
        "              ^",
        '  server: column "nmae" does not exist',
        '  hint: Perhaps you meant to reference the column "item.name".',
        "  left applied: nothing; 1 revision is not applied",
        MEND,
    ]


def test_a_position_in_a_statement_that_the_driver_rewrote_is_not_shown(
    driven_project: Project,
) -> None:
    driven_project.add(
        "0001",
        'statement = text("select :first || nosuch").bindparams(first="a")\n'
        "op.get_bind().execute(statement)",
    )
    lines = explained(driven_project)
    assert not any(line.strip() == "^" for line in lines)
    assert '  server: column "nosuch" does not exist' in lines


def test_the_line_is_the_one_in_the_revisions_file_not_in_its_helpers(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(project.folder)
    (project.folder / "failing.py").write_text("def fail():\n    raise ValueError('not so')\n")
    project.add("0001", "import failing\nfailing.fail()")
    assert explained(project) == [
        "revision 0001 failed",
        "  file: migrations/versions/0001_change.py:12",
        "  error: ValueError: not so",
        "  left applied: nothing; 1 revision is not applied",
        MEND,
    ]


def test_a_revision_that_exits_is_a_revision_that_failed(project: Project) -> None:
    project.add("0001", "raise SystemExit(3)")
    project.add("0002", "pass", "0001")
    assert explained(project) == [
        "revision 0001 failed",
        "  file: migrations/versions/0001_change.py:11",
        "  error: SystemExit: 3",
        "  left applied: nothing; 2 revisions are not applied",
        MEND,
    ]


def test_an_error_of_the_driver_itself_is_shown(project: Project) -> None:
    project.add("0001", 'op.get_bind().connection.cursor().execute("select nosuch")')
    assert explained(project)[1:3] == [
        "  file: migrations/versions/0001_change.py:11",
        '  error: column "nosuch" does not exist',
    ]


def test_the_error_of_a_missing_extension_says_where_to_get_it(
    driven_project: Project,
) -> None:
    driven_project.add("0001", 'op.execute("create extension nosuch")')
    advice = [line.removeprefix("  to do: ").strip() for line in explained(driven_project)[-3:]]
    assert advice == [
        "this server does not ship the extension. The official postgres images ship all",
        "of PostgreSQL's own (uuid-ossp, pgcrypto); postgis/postgis ships PostGIS:",
        "use --db-server=docker, with --db-image where needed, or the URL of such a server",
    ]


def test_a_file_outside_of_the_working_folder_is_named_in_full(
    project: Project, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = project.add("0001", "1 / 0")
    monkeypatch.chdir(tmp_path_factory.mktemp("elsewhere"))
    assert explained(project)[1] == f"  file: {file}:11"


def test_the_error_of_an_env_that_does_not_connect_says_how_to_get_the_address(
    project: Project,
) -> None:
    project.write_env("import os\nos.environ['NO_SUCH_VARIABLE']\n")
    assert explained_outside(project) == [
        "the migrations could not be run: env.py failed",
        "  tried: migrations/env.py:2",
        "         KeyError: 'NO_SUCH_VARIABLE'",
        "  to do: fix what it reports; if it is about the address of the database:",
        "         let env.py take its URL from config.get_main_option('sqlalchemy.url'),",
        "         or name the environment variable it reads in dbmigrate_env",
    ]


def test_the_error_of_an_env_that_has_connected_says_to_fix_it(project: Project) -> None:
    env = Path("migrations/env.py").read_text()
    project.write_env(env + "\nraise ValueError('after all')\n")
    assert explained_outside(project) == [
        "the migrations could not be run: env.py failed",
        "  tried: migrations/env.py:11",
        "         ValueError: after all",
        "  to do: fix what it reports, or see `alembic upgrade head`",
    ]


def test_a_revision_that_cannot_be_parsed_is_named_with_its_line(project: Project) -> None:
    project.add("0001", "if:")
    with pytest.raises(SyntaxError) as raised:
        project.upgrade().run()
    assert failure.of_environment(raised.value, None).lines() == [
        "the migration scripts could not be read",
        "  tried: migrations/versions/0001_change.py:11",
        "         SyntaxError: invalid syntax (0001_change.py, line 11)",
        "  to do: fix what it reports, or see `alembic upgrade head`",
    ]


@pytest.mark.parametrize(
    ("role", "literal", "name"),
    [("reader", "'reader'", "reader"), ('The "o\'r"', "'The \"o''r\"'", '"The ""o\'r"""')],
)
def test_the_error_of_an_existing_role_says_how_to_guard_its_creation(
    project: Project, role: str, literal: str, name: str
) -> None:
    quoted = '"' + role.replace('"', '""') + '"'
    create = f"op.execute({f'create role {quoted}'!r})"
    drop = f"op.execute({f'drop role if exists {quoted}'!r})"
    project.add("0001", f"{drop}\n{create}\n{create}")
    assert explained(project)[-7:] == [
        "  to do: a role belongs to the whole server, not to a database: an earlier run",
        "         has made it there, or another revision. Let the revision ask first:",
        "           DO $$ BEGIN",
        f"             IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = {literal})",
        f"             THEN CREATE ROLE {name};",
        "             END IF;",
        "           END $$",
    ]


def test_a_revision_that_fails_when_it_is_committed_is_named(job_project: JobProject) -> None:
    job_project.revision("0001")
    job_project.revision(
        "0002",
        """
        op.execute(
            "create table lot ("
            " item integer references item deferrable initially deferred)"
        )
        op.execute("insert into lot values (7)")
        """,
    )
    assert job_project.explained() == [
        "revision 0002 failed",
        "  file: migrations/versions/0002.py",
        '  error: insert or update on table "lot" violates foreign key constraint "lot_item_fkey"',
        '  detail: Key (item)=(7) is not present in table "item".',
        "  left applied: up to 0001; 1 revision is not applied",
        MEND,
    ]


def test_a_statement_with_parameters_is_shown_as_the_driver_has_it(
    job_project: JobProject,
) -> None:
    """Without a position."""
    job_project.revision("0001")
    file = job_project.revision(
        "0002",
        """
        op.get_bind().execute(
            sa.text("update item set colour = :colour"), {"colour": "red"}
        )
        """,
    )
    assert job_project.explained() == [
        "revision 0002 failed",
        f"  file: migrations/versions/0002.py:{line_of(file, 'get_bind')}",
        "  sql: update item set colour = %(colour)s",
        '  server: column "colour" of relation "item" does not exist',
        "  left applied: up to 0001; 1 revision is not applied",
        MEND,
    ]


def test_the_first_revision_leaves_nothing_applied(job_project: JobProject) -> None:
    file = job_project.revision("0001", 'op.execute("createtable item (id integer)")')
    assert job_project.explained() == [
        "revision 0001 failed",
        f"  file: migrations/versions/0001.py:{line_of(file, 'createtable')}",
        "  sql: createtable item (id integer)",
        "       ^",
        '  server: syntax error at or near "createtable"',
        "  left applied: nothing; 1 revision is not applied",
        MEND,
    ]


def test_an_error_of_python_names_the_line_of_the_revision(job_project: JobProject) -> None:
    job_project.write("helpers.py", "def prices():\n    return {}['lamp']\n")
    job_project.revision("0001")
    file = job_project.revision("0002", "import helpers\n\nhelpers.prices()")
    assert job_project.explained() == [
        "revision 0002 failed",
        f"  file: migrations/versions/0002.py:{line_of(file, 'helpers.prices')}",
        "  error: KeyError: 'lamp'",
        "  left applied: up to 0001; 1 revision is not applied",
        MEND,
    ]


def test_a_message_that_postgres_cannot_store_is_shown_all_the_same(
    job_project: JobProject,
) -> None:
    job_project.revision("0001")
    file = job_project.revision("0002", 'raise RuntimeError("a \\0 of a file")')
    assert job_project.explained() == [
        "revision 0002 failed",
        f"  file: migrations/versions/0002.py:{line_of(file, 'RuntimeError')}",
        "  error: RuntimeError: a \0 of a file",
        "  left applied: up to 0001; 1 revision is not applied",
        MEND,
    ]


def test_a_revision_that_exits_with_success_is_a_revision_that_failed(
    job_project: JobProject,
) -> None:
    job_project.revision("0001")
    file = job_project.revision("0002", "raise SystemExit(0)")
    assert job_project.explained() == [
        "revision 0002 failed",
        f"  file: migrations/versions/0002.py:{line_of(file, 'SystemExit')}",
        "  error: SystemExit: 0",
        "  left applied: up to 0001; 1 revision is not applied",
        MEND,
    ]


def test_a_missing_extension_is_the_whole_message(job_project: JobProject) -> None:
    job_project.revision("0001")
    file = job_project.revision("0002", 'op.execute("create extension postgis")')
    assert job_project.explained() == [
        "revision 0002 failed",
        f"  file: migrations/versions/0002.py:{line_of(file, 'postgis')}",
        "  sql: create extension postgis",
        '  server: extension "postgis" is not available',
        "  hint: The extension must first be installed on the system where PostgreSQL is running.",
        "  left applied: up to 0001; 1 revision is not applied",
        "  to do: this server does not ship the extension. The official postgres images ship all",
        "         of PostgreSQL's own (uuid-ossp, pgcrypto); postgis/postgis ships PostGIS:",
        "         use --db-server=docker, with --db-image where needed, or the URL of such a server",  # noqa: E501
    ]
