"""When things happen: nothing for unit tests, the database in time for those that need it."""

from __future__ import annotations

import pytest

from tests.plugin.projects import Project, block, output, told

UNIT_TEST = "def test_unit(): pass\n"
DATABASE_TEST = "def test_database(migrated_db): pass\n"
# Tells, at the end of a run, what it has imported and whether it has a folder of its own.
TELL_COSTS = """
import pathlib
import sys
import tempfile

COSTLY = {"sqlalchemy", "alembic", "psycopg", "asyncpg", "pytest_docker"}


def pytest_terminal_summary(terminalreporter):
    folders = [path.name for path in pathlib.Path(tempfile.gettempdir()).iterdir()]
    terminalreporter.write_line(f"imported: {sorted(COSTLY & set(sys.modules))}")
    terminalreporter.write_line(f"folders: {folders}")
"""
NO_COSTS = {"imported: []", "folders: []"}
SAYS_NOTHING_BUT_ITS_VERSION = ["0.1.0, server=embedded (option)"]


@pytest.fixture
def temporary_folder(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty folder for temporary files: what a run puts there is seen."""
    folder = project.path / "temporary"
    folder.mkdir()
    monkeypatch.setenv("TMPDIR", str(folder))


@pytest.mark.usefixtures("temporary_folder")
def test_unit_tests_alone_start_nothing_and_import_nothing(items_project: Project) -> None:
    items_project.write("conftest.py", TELL_COSTS)
    items_project.tests(UNIT_TEST)

    result = items_project.run(server="embedded")

    result.assert_outcomes(passed=1)
    assert told(result) == SAYS_NOTHING_BUT_ITS_VERSION
    assert set(result.outlines) >= NO_COSTS


@pytest.mark.usefixtures("temporary_folder")
@pytest.mark.parametrize(
    "selection", [("-k", "unit"), ("-m", "not db"), ("--deselect", "test_it.py::test_database")]
)
def test_deselected_database_tests_start_nothing(
    items_project: Project, selection: tuple[str, str]
) -> None:
    items_project.ini("markers = db")
    items_project.write("conftest.py", TELL_COSTS)
    items_project.tests(UNIT_TEST + "import pytest\n@pytest.mark.db\n" + DATABASE_TEST)

    result = items_project.run(*selection, server="embedded")

    result.assert_outcomes(passed=1, deselected=1)
    assert told(result) == SAYS_NOTHING_BUT_ITS_VERSION
    assert set(result.outlines) >= NO_COSTS


@pytest.mark.usefixtures("temporary_folder")
def test_tests_that_cannot_be_collected_start_nothing(items_project: Project) -> None:
    items_project.write("conftest.py", TELL_COSTS)
    items_project.tests(DATABASE_TEST)
    items_project.tests("import a_module_that_is_not_there", name="test_other.py")

    result = items_project.run(server="embedded")

    result.assert_outcomes(errors=1)
    assert told(result) == SAYS_NOTHING_BUT_ITS_VERSION
    assert set(result.outlines) >= NO_COSTS


@pytest.mark.parametrize(
    "needs_it",
    [
        "def test_last(migrated_db): pass",
        """
        import pytest

        @pytest.mark.usefixtures("migrated_db")
        def test_last(): pass
        """,
        """
        import pytest

        @pytest.fixture
        def items(migrated_db): pass

        def test_last(items): pass
        """,
        """
        import pytest

        pytestmark = pytest.mark.usefixtures("migrated_db")

        class TestClass:
            def test_last(self): pass
        """,
    ],
    ids=["argument", "usefixtures", "fixture", "module"],
)
def test_the_database_is_asked_for_before_the_first_test(
    items_project: Project, needs_it: str
) -> None:
    """There is none: nothing says how to migrate it, which is found out before the first test."""
    (items_project.path / "alembic.ini").unlink()
    items_project.tests("def test_first(): pass", name="test_a.py")
    items_project.tests(needs_it, name="test_z.py")

    result = items_project.run("-v")

    result.assert_outcomes(passed=1, errors=1)
    result.stdout.re_match_lines(
        [
            r"dbmigrate: no Alembic configuration was found \(explained at the end\)",
            r"test_a.py::test_first PASSED .*",
            r"test_z.py::.*test_last ERROR .*",
        ]
    )


def test_the_database_is_ready_before_the_first_test(items_project: Project) -> None:
    items_project.tests("def test_first(): pass", name="test_a.py")
    items_project.tests("def test_last(migrated_db): pass", name="test_z.py")

    result = items_project.run("-v")

    result.assert_outcomes(passed=2)
    result.stdout.re_match_lines(
        [r"dbmigrate: fresh: 1 revision applied .*", r"test_a.py::test_first PASSED .*"]
    )


def test_a_test_that_asks_for_the_database_while_it_runs_gets_it(items_project: Project) -> None:
    items_project.tests(
        """
        def test_first(): pass

        def test_second(request):
            database = request.getfixturevalue("migrated_db")
            assert database.connect().execute("select * from item").fetchall() == []
        """
    )

    result = items_project.run("-v")

    result.assert_outcomes(passed=2)
    result.stdout.re_match_lines(
        [r"test_it.py::test_first PASSED .*", r"dbmigrate: fresh: 1 revision applied .*"]
    )


def test_a_test_of_the_server_needs_no_migrations(project: Project) -> None:
    project.revision("0001", 'raise RuntimeError("not needed")')
    project.tests(
        """
        def test_it(db_server):
            assert db_server.kind == "url"
            assert db_server.version >= 150000
        """
    )

    result = project.run()

    result.assert_outcomes(passed=1)
    assert [line for line in told(result) if "revision" in line] == []


ADDRESS_MODULE = """
import os

DATABASE_URL = os.environ["DATABASE_URL"]
PARTS = [os.environ["DB_" + name] for name in ("HOST", "PORT", "USER", "PASSWORD", "NAME")]
"""
ADDRESS_INI = """
dbmigrate_env =
    DATABASE_URL={url:postgresql+psycopg}
    DB_HOST={host}
    DB_PORT={port}
    DB_USER={user}
    DB_PASSWORD={password}
    DB_NAME={database}
"""


def test_the_variables_carry_the_address_of_each_tests_database(items_project: Project) -> None:
    items_project.ini(ADDRESS_INI)
    items_project.tests(
        ADDRESS_MODULE
        + """
import pytest

@pytest.mark.parametrize("number", [1, 2])
def test_it(migrated_db, number):
    parts = migrated_db.parts
    assert DATABASE_URL == migrated_db.url_for("psycopg")
    assert PARTS == [str(parts[key]) for key in ("host", "port", "user", "password", "dbname")]
"""
    )

    result = items_project.run()

    result.assert_outcomes(passed=2)


@pytest.mark.parametrize("arguments", [(), ("sub",), ("sub/test_it.py::test_it",)])
def test_the_variables_are_set_before_any_conftest_is_imported(
    items_project: Project, arguments: tuple[str, ...]
) -> None:
    items_project.ini(ADDRESS_INI)
    items_project.write("conftest.py", ADDRESS_MODULE)
    items_project.write("sub/conftest.py", ADDRESS_MODULE)
    items_project.write("sub/test_it.py", ADDRESS_MODULE + "def test_it(): pass\n")

    result = items_project.run(*arguments, server="embedded")

    result.assert_outcomes(passed=1)


@pytest.mark.parametrize("module", ["conftest.py", "test_other.py"])
def test_a_variable_that_somebody_overrides_stops_the_database_tests(
    items_project: Project, module: str
) -> None:
    """The application would be where nobody has looked whether it is production."""
    items_project.ini("dbmigrate_env =\n    DATABASE_URL\n    OTHER_URL={url}\n")
    items_project.write(module, 'import os\nos.environ["OTHER_URL"] = "postgresql://production"\n')
    items_project.tests(UNIT_TEST + DATABASE_TEST)

    result = items_project.run()

    result.assert_outcomes(passed=1, errors=1)
    assert block(result, "dbmigrate: no database").splitlines() == [
        (
            "OTHER_URL, which dbmigrate_env names, was set to something else while conftest files,"
            " plugins and test modules were loaded"
        ),
        "  to do: remove what sets it, or the variable from dbmigrate_env",
    ]
    assert not any("revision" in line for line in told(result))


def test_the_variables_are_as_before_when_the_run_is_over(
    items_project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", "as before")
    items_project.ini("dbmigrate_env =\n    DATABASE_URL\n    OTHER_URL={url}\n")
    items_project.tests(
        """
        import os

        def test_it():
            assert os.environ["DATABASE_URL"] == os.environ["OTHER_URL"] != "as before"
        """
    )
    script = items_project.write(
        "script.py",
        """
        import os
        import pytest

        code = pytest.main(["-p", "dbmigrate", "--db-server=embedded"])
        print(int(code), os.environ["DATABASE_URL"], "OTHER_URL" in os.environ)
        """,
    )

    result = items_project.pytester.runpython(script)

    result.stdout.fnmatch_lines(["0 as before False"])


def test_an_address_in_the_environment_starts_no_embedded_server(items_project: Project) -> None:
    items_project.ini("dbmigrate_env =\n    PGPORT={port}\n    DATABASE_URL\n")
    items_project.write("conftest.py", TELL_COSTS)
    items_project.tests(
        """
        import os
        import socket

        import pytest

        def test_it():
            with pytest.raises(ConnectionRefusedError):
                socket.create_connection(("127.0.0.1", int(os.environ["PGPORT"])))
        """
    )

    result = items_project.run(server="embedded")

    result.assert_outcomes(passed=1)
    assert told(result) == ["0.1.0, server=embedded (option), env=PGPORT,DATABASE_URL (ini)"]
    assert "imported: []" in result.outlines


def test_the_embedded_server_comes_up_at_the_address_settled_before(
    items_project: Project,
) -> None:
    items_project.ini("dbmigrate_env = DATABASE_URL")
    items_project.tests(
        """
        import os

        import psycopg

        ADDRESS = os.environ["DATABASE_URL"]

        def test_it(migrated_db):
            with psycopg.connect(ADDRESS) as connection:
                connection.execute("insert into item values (1, 'one')")
            rows = migrated_db.connect().execute("select * from item").fetchall()
            assert rows == [(1, "one")]
        """
    )

    result = items_project.run("-W", "error", server="embedded")

    result.assert_outcomes(passed=1)


def test_a_server_that_is_away_does_not_stop_unit_tests(items_project: Project) -> None:
    items_project.ini("dbmigrate_env = DATABASE_URL")
    items_project.tests(UNIT_TEST)

    result = items_project.run(server="postgresql://ada@127.0.0.1:1/shop")

    result.assert_outcomes(passed=1)
    assert "no database" not in output(result)
