"""The hooks by which a project extends a run: a server, data in the template, differences."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.plugin.projects import Project, block, line_of, output, told
from tests.plugin.resuming import Resumer, cached, how

XDIST = ("xdist",)
TOO_LATE = "pytest_dbmigrate_server is known too late"
NO_URL = "pytest_dbmigrate_server has returned what is no URL of a server"
ENV = "dbmigrate_env = DATABASE_URL\n"
NAMES_ITS_SERVER = """
    import os

    def pytest_dbmigrate_server(config):
        with open("asked", "a") as file:
            print(os.environ.get("PYTEST_XDIST_WORKER", "owner"), file=file)
        return "{url}"
"""
NEEDS_IT = """
    import os
    import psycopg

    def test_it(migrated_db, db_server):
        assert db_server.kind == "url"

    def test_too(migrated_db):
        pass
"""
PUTS_DATA = """
    def pytest_dbmigrate_migrated(connection):
        with open("called", "a") as file:
            print("called", file=file)
        connection.execute("insert into item values (1, {name!r})")
"""
SEES_DATA = """
    def test_it(migrated_db):
        with migrated_db.connect() as connection:
            print("names:", *connection.execute("select name from item").fetchone())
            connection.execute("delete from item")

    def test_again(migrated_db):
        with migrated_db.connect() as connection:
            assert connection.execute("select count(*) from item").fetchone() == (1,)
"""


def asked(project: Project) -> list[str]:
    """Return the processes that have asked the hook for a server."""
    file = project.path / "asked"
    return file.read_text().split() if file.exists() else []


def called(project: Project) -> int:
    """Return how often data was put into a template."""
    file = project.path / "called"
    return len(file.read_text().split()) if file.exists() else 0


def explained(result: pytest.RunResult) -> list[str]:
    """Return the lines of the section that says why there was no database."""
    return block(result, "dbmigrate: no database").splitlines()


@pytest.mark.parametrize("workers", [(), ("-n2",)], ids=["plain", "xdist"])
def test_a_hook_in_a_conftest_names_the_server(
    items_project: Project, workers: tuple[str, ...]
) -> None:
    url = items_project.server_url()
    items_project.write("conftest.py", NAMES_ITS_SERVER.format(url=url))
    items_project.tests(NEEDS_IT)

    result = items_project.run(*workers, server="", plugins=XDIST if workers else ())

    result.assert_outcomes(passed=2)
    assert asked(items_project) == ["owner"]


@pytest.mark.parametrize("workers", [(), ("-n2",)], ids=["plain", "xdist"])
def test_with_variables_a_hook_in_a_plugin_names_the_server(
    items_project: Project, workers: tuple[str, ...]
) -> None:
    items_project.ini(ENV)
    items_project.write("my_server.py", NAMES_ITS_SERVER.format(url=items_project.server_url()))
    items_project.tests(
        NEEDS_IT
        + """
    def test_variable(migrated_db):
        with psycopg.connect(os.environ["DATABASE_URL"].replace("+psycopg", "")) as connection:
            assert connection.info.dbname == migrated_db.name
"""
    )

    plugins = (*(XDIST if workers else ()), "my_server")
    result = items_project.run(*workers, server="", plugins=plugins)

    result.assert_outcomes(passed=3)
    assert asked(items_project) == ["owner"]


def test_with_variables_a_hook_in_a_conftest_is_too_late(items_project: Project) -> None:
    items_project.ini(ENV)
    items_project.write("conftest.py", NAMES_ITS_SERVER.format(url="postgresql://127.0.0.1/"))
    items_project.tests(NEEDS_IT)

    result = items_project.run(server="")

    assert result.ret == pytest.ExitCode.USAGE_ERROR
    why = "the server's address is needed before conftest files are imported (dbmigrate_env)"
    assert result.errlines == [
        f"ERROR: dbmigrate: {TOO_LATE}: {why}",
        "  tried: conftest.py:3",
        "  to do: put it into a module that is loaded with -p, as in: addopts = -p my_server",
        "",
    ]
    assert asked(items_project) == []


def test_a_hook_that_only_workers_find_is_too_late(items_project: Project) -> None:
    items_project.write("db/conftest.py", NAMES_ITS_SERVER.format(url="postgresql://127.0.0.1/"))
    items_project.tests(NEEDS_IT, "db/test_it.py")

    result = items_project.run("-n2", server="", plugins=XDIST)

    result.assert_outcomes(errors=2)
    assert explained(result) == [
        f"{TOO_LATE}: the process that begins the run does not import that file",
        "  tried: db/conftest.py:3",
        "  to do: put it into a module that is loaded with -p, as in: addopts = -p my_server",
    ]


def test_a_server_that_is_asked_for_is_not_the_hooks(items_project: Project) -> None:
    items_project.write("conftest.py", NAMES_ITS_SERVER.format(url="postgresql://127.0.0.1:1/"))
    items_project.tests(NEEDS_IT)

    result = items_project.run()

    result.assert_outcomes(passed=2)
    assert told(result)[1] == (
        "pytest_dbmigrate_server (conftest.py:3) is not called: --db-server (option) names the "
        "server"
    )
    assert asked(items_project) == []


def test_no_server_is_named_where_no_test_needs_one(items_project: Project) -> None:
    items_project.write("conftest.py", NAMES_ITS_SERVER.format(url="postgresql://127.0.0.1:1/"))
    items_project.tests("def test_it(): pass")

    items_project.run(server="").assert_outcomes(passed=1)

    assert asked(items_project) == []


def test_a_hook_that_returns_none_leaves_the_server_to_the_settings(
    items_project: Project,
) -> None:
    items_project.write("conftest.py", "def pytest_dbmigrate_server(): return None")
    items_project.tests("def test_it(db_server): assert db_server.kind != 'url'")

    items_project.run(server="").assert_outcomes(passed=1)


@pytest.mark.parametrize(
    ("body", "wanted"),
    [
        (
            "raise RuntimeError('no container')",
            [
                "hook pytest_dbmigrate_server failed",
                "  file: conftest.py:2",
                "  error: RuntimeError: no container",
            ],
        ),
        (
            "return 'mysql://127.0.0.1/'",
            [
                f"{NO_URL}: a server's URL starts with postgresql://",
                "  tried: conftest.py:1",
                "  to do: return postgresql://USER:PASSWORD@HOST:PORT/, or None",
            ],
        ),
        (
            "return 'postgresql://database.example/'",
            [
                "the server at database.example is not on this machine",
                "  tried: postgresql://database.example:5432/postgres, from the hook",
                "  to do: name a server on this machine,",
                "         or say --db-allow-remote if databases may be created and dropped there",
            ],
        ),
    ],
    ids=["raises", "no URL", "remote"],
)
@pytest.mark.parametrize("workers", [(), ("-n1",)], ids=["plain", "xdist"])
def test_what_is_wrong_with_the_hook_is_told_once(
    items_project: Project, body: str, wanted: list[str], workers: tuple[str, ...]
) -> None:
    items_project.write("conftest.py", f"def pytest_dbmigrate_server(config):\n    {body}\n")
    items_project.tests("def test_it(migrated_db): pass")

    result = items_project.run(*workers, server="", plugins=XDIST if workers else ())

    result.assert_outcomes(errors=1)
    assert explained(result) == wanted


def test_the_hook_s_server_ends_after_its_databases_are_dropped(items_project: Project) -> None:
    items_project.write(
        "conftest.py",
        f"""
        import psycopg

        URL = "{items_project.server_url()}"

        def pytest_dbmigrate_server(config):
            config.add_cleanup(look)
            return URL

        def look():
            with psycopg.connect(URL) as connection, open("left", "w") as file:
                query = "select datname from pg_database where starts_with(datname, %s)"
                with open("prefix") as prefix:
                    print(*connection.execute(query, [prefix.read()]).fetchall(), file=file)
        """,
    )
    items_project.tests("""
        def test_it(migrated_db):
            with open("prefix", "w") as file:
                file.write(migrated_db.name.removesuffix("main"))
    """)

    items_project.run(server="").assert_outcomes(passed=1)

    assert (items_project.path / "left").read_text().strip() == ""


@pytest.mark.parametrize("workers", [(), ("-n2",)], ids=["plain", "xdist"])
def test_each_database_has_the_data_that_a_hook_has_put_in(
    items_project: Project, workers: tuple[str, ...]
) -> None:
    items_project.write("conftest.py", PUTS_DATA.format(name="a"))
    items_project.tests(SEES_DATA)

    result = items_project.run(*workers, plugins=XDIST if workers else ())

    result.assert_outcomes(passed=2)
    assert called(items_project) == 1


def test_a_hook_may_commit_by_itself(items_project: Project) -> None:
    items_project.write(
        "conftest.py",
        """
        import sqlalchemy as sa
        from sqlalchemy.pool import StaticPool

        def pytest_dbmigrate_migrated(connection):
            engine = sa.create_engine(
                "postgresql+psycopg://", creator=lambda: connection, poolclass=StaticPool
            )
            with engine.begin() as session:
                session.execute(sa.text("insert into item values (1, 'a')"))
            engine.dispose()
        """,
    )
    items_project.tests(SEES_DATA)

    items_project.run().assert_outcomes(passed=2)


@pytest.mark.parametrize("workers", [(), ("-n2",)], ids=["plain", "xdist"])
def test_an_error_of_the_hook_is_one_that_names_its_line(
    items_project: Project, workers: tuple[str, ...]
) -> None:
    conftest = items_project.write(
        "conftest.py",
        """
        def pytest_dbmigrate_migrated(connection):
            connection.execute("insert into item values (1, 'a')")
            connection.execute("insert into item values (1, 'again')")
        """,
    )
    items_project.tests(SEES_DATA)

    result = items_project.run(*workers, plugins=XDIST if workers else ())

    result.assert_outcomes(errors=2)
    assert explained(result) == [
        "hook pytest_dbmigrate_migrated failed",
        f"  file: conftest.py:{line_of(conftest, 'again')}",
        '  error: duplicate key value violates unique constraint "item_pkey"',
        "  detail: Key (id)=(1) already exists.",
    ]


def test_a_hook_that_only_some_processes_find_is_named(items_project: Project) -> None:
    items_project.ini("dbmigrate_suites =\n    first: first\n    second: second\n")
    for name in ("first", "second"):
        items_project.tests("def test_it(migrated_db): pass", f"{name}/test_{name}.py")
    items_project.write("second/conftest.py", PUTS_DATA.format(name="a"))

    result = items_project.run(plugins=XDIST)

    result.assert_outcomes(passed=1, errors=1)
    said = explained(result)
    assert said[0] == (
        "the hooks pytest_dbmigrate_migrated of this process are not those of the process that "
        "has built the template"
    )
    assert said[-1] == (
        "  to do: put the hook into the conftest.py of the root folder, or into a plugin"
    )


@pytest.fixture
def resumer(items_project: Project, temporary_files: Path) -> Iterator[Resumer]:
    """A project whose runs resume, with data in its template; nothing of it stays."""
    with cached(temporary_files) as cache:
        items_project.write("conftest.py", PUTS_DATA.format(name="a"))
        resumer = Resumer(items_project, cache)
        items_project.tests(SEES_DATA)
        yield resumer
        resumer.stop()


def names(result: pytest.RunResult) -> str:
    """Return the data that a test has found."""
    return next(line for line in result.outlines if line.startswith("names:"))[7:]


def test_kept_data_is_put_in_again_only_if_its_file_has_changed(resumer: Resumer) -> None:
    project = resumer.project
    first, second = resumer.run(), resumer.run()
    assert (how(first), how(second)) == ("fresh: 1 revision applied", "unchanged: 1 revision")
    assert (names(first), names(second), called(project)) == ("a", "a", 1)

    project.write("conftest.py", PUTS_DATA.format(name="b"))
    third = resumer.run()
    assert (how(third), names(third), called(project)) == ("unchanged: 1 revision", "b", 2)

    project.write("conftest.py", PUTS_DATA.format(name="b") + "    # a comment changes nothing\n")
    fourth = resumer.run()
    assert (names(fourth), called(project)) == ("b", 2)


def test_kept_data_is_put_in_again_after_a_new_revision(resumer: Resumer) -> None:
    project = resumer.project
    resumer.run()
    project.revision("0002", "op.execute(\"alter table item alter name set default 'x'\")")

    result = resumer.run()

    assert (how(result), names(result)) == ("resumed: 1 of 2 applied now", "a")
    assert called(project) == 2


def test_without_the_hook_kept_data_is_not_used(resumer: Resumer) -> None:
    resumer.run()
    (resumer.project.path / "conftest.py").unlink()
    resumer.project.tests("""
        def test_it(migrated_db):
            with migrated_db.connect() as connection:
                assert connection.execute("select count(*) from item").fetchone() == (0,)
    """)

    assert resumer.how() == "unchanged: 1 revision"
    assert "0001" in output(resumer.project.run("--db-status", server=resumer.server))


def test_a_hook_removes_differences_and_adds_its_own(items_project: Project) -> None:
    items_project.models("""
        item = sa.Table("item", metadata, sa.Column("id", sa.Integer, primary_key=True),
            sa.Column("name", sa.Text), sa.Column("missing", sa.Text), sa.Column("other", sa.Text))
    """)
    items_project.write(
        "conftest.py",
        """
        from pytest_dbmigrate import Difference

        def pytest_dbmigrate_differences(differences):
            differences[:] = [it for it in differences if it.name != "missing"]
            differences.append(Difference("custom", name="table item has no comment"))
        """,
    )
    items_project.tests("def test_it(migrated_db): pass")

    result = items_project.run("--db-check=warn")

    result.assert_outcomes(passed=1)
    assert block(result, "dbmigrate: the schema differs from the models").splitlines() == [
        "- the models have column item.other; no migration adds it",
        "- table item has no comment",
    ]


@pytest.mark.parametrize(
    ("body", "wanted"),
    [
        (
            "differences[0]",
            [
                "hook pytest_dbmigrate_differences failed",
                "  file: conftest.py:2",
                "  error: IndexError: list index out of range",
            ],
        ),
        (
            "differences.append('no')",
            [
                "pytest_dbmigrate_differences has left 'no' in the list, which is no Difference",
                "  tried: conftest.py:1",
                "  to do: add values of pytest_dbmigrate.Difference",
            ],
        ),
    ],
    ids=["raises", "no difference"],
)
def test_what_is_wrong_with_the_differences_of_a_hook_is_told(
    items_project: Project, body: str, wanted: list[str]
) -> None:
    items_project.models()
    items_project.write(
        "conftest.py", f"def pytest_dbmigrate_differences(differences):\n    {body}\n"
    )
    items_project.tests("def test_it(migrated_db): pass")

    result = items_project.run()

    result.assert_outcomes(errors=1)
    assert explained(result) == wanted
