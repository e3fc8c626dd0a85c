"""A revision that commits before its end is known as one before it does so."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest
import sqlalchemy as sa

from pytest_dbmigrate.child.watch import Watch

if TYPE_CHECKING:
    from tests.unit.projects import Project

TABLE = 'op.execute("create table item (id int)")'
BLOCK = f"with op.get_context().autocommit_block():\n    {TABLE}"
OWN_ENGINE = """
import sqlalchemy
engine = sqlalchemy.create_engine(op.get_bind().engine.url, poolclass=sqlalchemy.NullPool{})
"""
OWN = OWN_ENGINE.strip().format("")
AUTOCOMMIT = OWN_ENGINE.strip().format(', isolation_level="AUTOCOMMIT"')
CREATE = 'text("create table item (id int)")'

PLAIN = ("started", True), ("done", True)
ON_ITS_OWN = ("started", True), ("started", False), ("done", False)


def told(project: Project, revision: str = "0001") -> tuple[tuple[str, bool], ...]:
    """Return the kinds of a revision's events, and whether each says that it is transactional."""
    query = "select kind, is_transactional from event where revision = %s order by id"
    return tuple(project.history.execute(query, (revision,)).fetchall())


def tables(project: Project) -> list[str]:
    """Return the tables of the migrated database but the version table."""
    query = (
        "select tablename from pg_tables where schemaname = 'public' "
        "and tablename <> 'alembic_version' order by 1"
    )
    return [name for (name,) in project.query(query)]


def fail(project: Project) -> str:
    """Run an upgrade that fails, write its end down, and return what it raised."""
    upgrade = project.upgrade()
    with pytest.raises(Exception, match=r"it went wrong|already exists") as failure:
        upgrade.run()
    upgrade.progress.fail("it went wrong")
    return str(failure.value)


def test_a_revision_of_plain_statements_is_transactional(driven_project: Project) -> None:
    driven_project.add("0001", f'{TABLE}\nop.execute("insert into item values (1)")')
    driven_project.upgrade().run()
    assert told(driven_project) == PLAIN
    assert tables(driven_project) == ["item"]


@pytest.mark.parametrize(
    "body",
    [
        "pass",
        'import sqlalchemy\nop.create_table("item", sqlalchemy.Column("id", sqlalchemy.Integer))',
        'with op.get_bind().begin_nested():\n    op.execute("select 1")',
        "with op.get_bind().begin_nested() as savepoint:\n    savepoint.rollback()",
        'op.execute("select 1 as commit")',
        'op.execute("create table committed (the_end int)")',
        'op.execute("select case when true then 1 else 2 end")',
    ],
)
def test_statements_that_commit_nothing_leave_a_revision_transactional(
    body: str, project: Project
) -> None:
    project.add("0001", body)
    project.upgrade().run()
    assert told(project) == PLAIN


def test_what_alembic_commits_around_revisions_is_not_their_doing(driven_project: Project) -> None:
    driven_project.add("0001", TABLE)
    driven_project.add("0002", 'op.execute("drop table item")', "0001")
    driven_project.upgrade().run()
    assert (told(driven_project, "0001"), told(driven_project, "0002")) == (PLAIN, PLAIN)


def test_a_revision_that_fails_in_its_transaction_is_rolled_back_and_stays_transactional(
    driven_project: Project,
) -> None:
    driven_project.add("0001", f'{TABLE}\nraise RuntimeError("it went wrong")')
    assert fail(driven_project) == "it went wrong"
    assert told(driven_project) == (("started", True), ("failed", True))
    assert tables(driven_project) == []


def test_an_autocommit_block_is_written_down(driven_project: Project) -> None:
    driven_project.add("0001", BLOCK)
    driven_project.upgrade().run()
    assert told(driven_project) == ON_ITS_OWN
    assert tables(driven_project) == ["item"]


def test_an_empty_autocommit_block_commits_what_came_before_it(driven_project: Project) -> None:
    driven_project.add(
        "0001",
        f"{TABLE}\nwith op.get_context().autocommit_block():\n    pass\n"
        'raise RuntimeError("it went wrong")',
    )
    assert fail(driven_project) == "it went wrong"
    assert told(driven_project) == (("started", True), ("started", False), ("failed", False))
    assert tables(driven_project) == ["item"]


def test_several_commits_of_a_revision_are_written_down_once(driven_project: Project) -> None:
    driven_project.add("0001", f"{BLOCK}\n{BLOCK.replace('item', 'other')}")
    driven_project.upgrade().run()
    assert told(driven_project) == ON_ITS_OWN


def test_a_revision_after_one_that_committed_on_its_own_is_transactional_again(
    driven_project: Project,
) -> None:
    driven_project.add("0001", BLOCK)
    driven_project.add("0002", 'op.execute("drop table item")', "0001")
    driven_project.upgrade().run()
    assert (told(driven_project, "0001"), told(driven_project, "0002")) == (ON_ITS_OWN, PLAIN)


@pytest.mark.parametrize(
    "statement",
    ["COMMIT", "commit;", "  \\n commit", "Commit And Chain", "END", "select 1; commit"],
)
def test_a_commit_in_a_statement_is_written_down(statement: str, project: Project) -> None:
    project.add("0001", f'{TABLE}\nop.execute("{statement}")\nraise RuntimeError("it went wrong")')
    assert fail(project) == "it went wrong"
    assert told(project) == (("started", True), ("started", False), ("failed", False))
    assert tables(project) == ["item"]


def test_a_commit_in_a_statement_is_written_down_with_psycopg2(project: Project) -> None:
    project.driver = "psycopg2"
    project.add("0001", f'{TABLE}\nop.execute("COMMIT")\nraise RuntimeError("it went wrong")')
    assert fail(project) == "it went wrong"
    assert told(project) == (("started", True), ("started", False), ("failed", False))
    assert tables(project) == ["item"]


def test_a_connection_of_the_revisions_own_that_commits_is_written_down(project: Project) -> None:
    project.add("0001", f"{OWN}\nwith engine.begin() as own:\n    own.execute({CREATE})")
    project.upgrade().run()
    assert told(project) == ON_ITS_OWN
    assert tables(project) == ["item"]


def test_a_connection_of_the_revisions_own_that_commits_as_it_goes_is_written_down(
    project: Project,
) -> None:
    project.driver = "psycopg2"
    project.add(
        "0001",
        f"{OWN}\nwith engine.connect() as own:\n    own.execute({CREATE})\n    own.commit()\n"
        'raise RuntimeError("it went wrong")',
    )
    assert fail(project) == "it went wrong"
    assert told(project) == (("started", True), ("started", False), ("failed", False))
    assert tables(project) == ["item"]


def test_a_connection_of_the_revisions_own_that_rolls_back_is_nothing_to_write_down(
    project: Project,
) -> None:
    project.add("0001", f"{OWN}\nwith engine.connect() as own:\n    own.execute({CREATE})")
    project.upgrade().run()
    assert told(project) == PLAIN
    assert tables(project) == []


@pytest.mark.parametrize("driver", ["psycopg", "psycopg2"])
def test_a_statement_on_an_engine_in_autocommit_is_written_down(
    driver: str, project: Project
) -> None:
    project.driver = driver
    project.add("0001", f"{AUTOCOMMIT}\nwith engine.connect() as own:\n    own.execute({CREATE})")
    project.upgrade().run()
    assert told(project) == ON_ITS_OWN
    assert tables(project) == ["item"]


def test_a_statement_on_an_asyncpg_engine_in_autocommit_is_written_down(project: Project) -> None:
    project.add(
        "0001",
        "import asyncio\n"
        "from sqlalchemy.ext.asyncio import create_async_engine\n"
        'url = op.get_bind().engine.url.set(drivername="postgresql+asyncpg")\n'
        "async def create():\n"
        '    engine = create_async_engine(url, isolation_level="AUTOCOMMIT")\n'
        "    async with engine.connect() as own:\n"
        f"        await own.execute({CREATE})\n"
        "    await engine.dispose()\n"
        "asyncio.run(create())",
    )
    project.upgrade().run()
    assert told(project) == ON_ITS_OWN
    assert tables(project) == ["item"]


def test_the_event_is_there_before_the_commit_is(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    info = project.history.info
    monkeypatch.setenv("HISTORY", f"{info.dsn} password={info.password}")
    project.add(
        "0001",
        f"import os, psycopg\n{TABLE}\nwith op.get_context().autocommit_block():\n"
        "    with psycopg.connect(os.environ['HISTORY']) as history:\n"
        "        rows = history.execute('select kind from event').fetchall()\n"
        "    assert rows == [('started',), ('started',)], rows",
    )
    project.upgrade().run()
    assert told(project) == ON_ITS_OWN


def test_a_session_that_joins_the_revisions_transaction_does_not_end_it(project: Project) -> None:
    project.add(
        "0001",
        "from sqlalchemy.orm import Session\n"
        f"with Session(op.get_bind()) as session:\n    session.execute({CREATE})\n"
        '    session.commit()\nraise RuntimeError("it went wrong")',
    )
    assert fail(project) == "it went wrong"
    assert told(project) == (("started", True), ("failed", True))
    assert tables(project) == []


def test_an_error_in_an_autocommit_block_leaves_what_was_committed_and_says_so(
    driven_project: Project,
) -> None:
    driven_project.add("0001", f"{TABLE}\n{BLOCK}")
    assert "already exists" in fail(driven_project)
    assert told(driven_project) == (("started", True), ("started", False), ("failed", False))
    assert tables(driven_project) == ["item"]


@pytest.fixture
def engine(project: Project) -> Iterator[sa.Engine]:
    """An engine of the project's database."""
    engine = sa.create_engine(project.database.url("psycopg"), poolclass=sa.NullPool)
    yield engine
    engine.dispose()


@contextmanager
def watched(heard: list[str]) -> Iterator[Watch]:
    """Watch, and note each call."""
    watch = Watch(lambda: heard.append("commit"))
    try:
        yield watch
    finally:
        watch.close()


def commit(engine: sa.Engine) -> None:
    with engine.begin() as connection:
        connection.execute(sa.text("select 1"))


def test_only_commits_while_a_script_runs_are_noticed(engine: sa.Engine) -> None:
    heard: list[str] = []
    with watched(heard) as watch:
        commit(engine)
        with watch.script():
            assert heard == []
            commit(engine)
            assert heard == ["commit"]
        commit(engine)
    assert heard == ["commit"]


def test_no_commit_is_noticed_after_a_script_has_raised(engine: sa.Engine) -> None:
    heard: list[str] = []
    with watched(heard) as watch:
        with pytest.raises(RuntimeError), watch.script():
            raise RuntimeError
        commit(engine)
    assert heard == []


def test_a_watch_that_is_closed_hears_nothing(engine: sa.Engine) -> None:
    heard: list[str] = []
    with watched(heard) as watch:
        pass
    with watch.script():
        commit(engine)
    assert heard == []


def test_each_of_two_watches_hears_what_its_own_script_commits(engine: sa.Engine) -> None:
    first: list[str] = []
    second: list[str] = []
    with watched(first) as one, watched(second), one.script():
        commit(engine)
    assert (first, second) == (["commit"], [])
