"""`migrated_db_factory`: databases for a module or a session, and a second one for a test."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from tests.plugin.projects import Project, output
from tests.plugin.remains import Ended, Runs, watched
from tests.plugin.test_keep import ask, kept, name_of

XDIST = ("xdist",)
MODULE = """
    import pytest

    @pytest.fixture(scope="module")
    def catalogue(migrated_db_factory):
        with migrated_db_factory("catalogue") as database:
            with database.connect() as connection:
                connection.execute("insert into item values (1, 'of the module')")
            yield database

    def names(database):
        with database.connect() as connection:
            rows = connection.execute("select name from item order by id").fetchall()
            return [name for name, in rows]
"""
TWO_TESTS = (
    MODULE
    + """
    def test_writes(catalogue, migrated_db):
        with catalogue.connect() as connection:
            connection.execute("insert into item values (2, 'of a test')")
        assert names(migrated_db) == []

    def test_finds_it(catalogue, migrated_db):
        assert names(catalogue) == ["of the module", "of a test"]
        assert names(migrated_db) == []
"""
)
MISMATCH = """
    import pytest

    @pytest.fixture(scope="{scope}")
    def catalogue(migrated_db):
        return migrated_db

    class TestIt:
        def test_it(self, catalogue):
            pass
"""
OTHER_MISMATCH = """
    import pytest

    @pytest.fixture
    def session(migrated_db):
        return migrated_db

    @pytest.fixture(scope="module")
    def catalogue(session):
        return session

    def test_it(catalogue):
        pass
"""


@pytest.fixture
def runs(items_project: Project) -> Iterator[Runs]:
    """Runs of a project; whatever they keep is ended before the test ends."""
    with watched(items_project) as runs:
        yield runs
        assert runs.tool("stop").status == 0


@pytest.mark.parametrize("workers", [(), ("-n2", "--dist=loadfile")], ids=["plain", "xdist"])
def test_a_database_of_a_module_lives_through_its_tests(
    items_project: Project, workers: tuple[str, ...]
) -> None:
    items_project.tests(TWO_TESTS)
    items_project.tests(TWO_TESTS, "test_other.py")

    result = items_project.run(*workers, plugins=XDIST if workers else ())

    result.assert_outcomes(passed=4)


def test_a_database_is_gone_when_it_is_released(items_project: Project) -> None:
    """A pooled engine does not keep it either."""
    items_project.tests("""
        import psycopg
        import pytest
        import sqlalchemy as sa

        def is_there(database, migrated_db):
            query = "select count(*) from pg_database where datname = %s"
            with migrated_db.connect() as connection:
                return connection.execute(query, [database.name]).fetchone() == (1,)

        def test_with(migrated_db_factory, migrated_db):
            with migrated_db_factory() as database:
                assert is_there(database, migrated_db)
            assert not is_there(database, migrated_db)

        def test_release(migrated_db_factory, migrated_db):
            database = migrated_db_factory()
            connection = database.connect()
            database.release()
            database.release()
            assert connection.closed
            assert not is_there(database, migrated_db)

        def test_names(migrated_db_factory, migrated_db):
            first, second = migrated_db_factory("Aside 1"), migrated_db_factory("Aside 1")
            assert first.name != second.name
            assert first.name.endswith("_aside_1") and second.name.endswith("_aside_1")
            assert is_there(first, migrated_db) and is_there(second, migrated_db)

        def test_pooled_engine(migrated_db_factory, migrated_db):
            with migrated_db_factory() as database:
                engine = sa.create_engine(database.url)
                with engine.connect() as connection:
                    connection.execute(sa.text("select 1"))
            assert not is_there(database, migrated_db)
    """)

    items_project.run().assert_outcomes(passed=4)


def test_what_nobody_releases_is_gone_with_the_run(runs: Runs) -> None:
    runs.project.tests("""
        import pathlib

        def test_it(migrated_db_factory):
            pathlib.Path("name").write_text(migrated_db_factory("left").name)
    """)

    ended = runs.run()

    assert ended.verdict == "1 passed"
    name = (runs.project.path / "name").read_text()
    assert re.fullmatch(r"dbm_[0-9a-f]{8}_main_extra0_left", name)
    assert databases(runs, ended) == []


def databases(runs: Runs, ended: Ended) -> list[str]:
    """Return the databases of a run that are still on the server."""
    import psycopg

    (run_id,) = runs.ids
    with psycopg.connect(runs.project.server_url()) as connection:
        query = "select datname from pg_database where starts_with(datname, %s)"
        return [name for (name,) in connection.execute(query, [f"dbm_{run_id}_"])]


def test_what_a_database_has_left_open_is_named(runs: Runs) -> None:
    runs.project.tests("""
        import psycopg

        def test_it(migrated_db_factory):
            with migrated_db_factory("aside") as database:
                global left
                left = psycopg.connect(database.dsn, application_name="leak")
    """)

    ended = runs.run("-v")

    assert ended.verdict == "1 passed"
    owner, line = ended.block("dbmigrate: connections left open")
    assert owner == "migrated_db_factory('aside')"
    assert re.fullmatch(r"  server process \d+ \(leak\), idle", line)


def test_a_failed_test_keeps_the_databases_that_live(runs: Runs) -> None:
    runs.project.tests(
        MODULE
        + """
    def test_passes(catalogue):
        pass

    def test_fails(catalogue, migrated_db):
        assert names(catalogue) == []

    def test_fails_too(catalogue):
        assert 0
"""
    )

    ended = runs.run("--db-keep=failed", server="embedded")

    assert ended.verdict == "2 failed, 1 passed"
    own, catalogue = kept(ended)
    assert name_of(own).endswith("_test_fails")
    assert name_of(catalogue).endswith("_extra0_catalogue")
    assert ask(catalogue, "select name from item") == "of the module"


def test_without_a_database_a_test_says_so_in_one_line(items_project: Project) -> None:
    items_project.revision("0002", "raise RuntimeError('no')")
    items_project.tests("""
        def test_it(migrated_db_factory):
            pass
    """)

    result = items_project.run()

    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["no database: revision 0002 failed (explained at the end)"])


def test_a_fixture_of_a_higher_scope_is_told_to_ask_for_the_factory(items_project: Project) -> None:
    scopes = ("class", "module", "package", "session")
    for scope in scopes:
        items_project.tests(MISMATCH.format(scope=scope), f"test_{scope}.py")
    items_project.tests(OTHER_MISMATCH, "test_other.py")

    result = items_project.run()

    result.assert_outcomes(errors=5)
    said = output(result)
    for scope in scopes:
        assert (
            f"ScopeMismatch: migrated_db is the database of one test, and a fixture of scope "
            f"{scope} asked for it: let that fixture ask for migrated_db_factory, whose databases "
            "live as long as it does (with migrated_db_factory() as database: ...)\n"
            "Requesting fixture stack:\n"
            f"test_{scope}.py:3:  def catalogue(migrated_db)\n"
            "Requested fixture:\n"
        ) in said, scope
    # another mismatch is told as pytest tells it
    assert "You tried to access the function scoped fixture session" in said
    assert said.count("ScopeMismatch") == 2 * 5  # and in pytest's short summary
