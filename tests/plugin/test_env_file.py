"""`dbmigrate_env_file`: applications that read the database's address from a file."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.plugin.projects import Project, sync_env
from tests.plugin.remains import Runs, watched

XDIST = ("xdist",)
TEMPLATE = """\
[database]
# {{not ours}} {}
url = "{url:postgresql+psycopg}"
name = "{database}"
"""
APPLICATION = """
    import os, sys
    if sys.version_info >= (3, 11):
        import tomllib
    else:
        import tomli as tomllib
    from pathlib import Path

    FILE = Path(%s)
    CONFIG = tomllib.loads(FILE.read_text())["database"]
"""
VARIABLE, FIXED = 'os.environ["APP_CONFIG"]', '__file__).parent.joinpath("config.toml"'
TESTS = """
    import stat
    import psycopg
    import pytest
    from application import CONFIG, FILE

    @pytest.mark.parametrize("number", range(4))
    def test_it(migrated_db, number):
        assert CONFIG == {"url": migrated_db.url, "name": migrated_db.name}
        assert FILE.name == "config.toml"
        assert migrated_db.url in FILE.read_text()
        assert stat.S_IMODE(FILE.stat().st_mode) == 0o600
        assert "# {{not ours}} {}" in FILE.read_text()
        migrated_db.connect().execute("select * from item")
"""
WAITS = """
    import time
    from pathlib import Path
    import application

    def test_waits(migrated_db):
        Path("in-test").write_text(str(application.FILE))
        time.sleep(600)
"""


@pytest.fixture
def runs(items_project: Project) -> Iterator[Runs]:
    """Runs of a project that has its address from a file; nothing of them may be left."""
    items_project.env(sync_env(url='CONFIG["url"]', imports="from application import CONFIG"))
    items_project.write("conftest.py", "import application")
    items_project.tests(TESTS)
    items_project.write("config.toml.template", TEMPLATE)
    with watched(items_project) as runs:
        yield runs


@pytest.fixture
def by_variable(runs: Runs) -> Runs:
    """They have the file's path from a variable."""
    runs.project.write("application.py", APPLICATION % VARIABLE)
    runs.project.ini("dbmigrate_env_file = APP_CONFIG=config.toml.template")
    return runs


@pytest.fixture
def at_its_path(runs: Runs) -> Iterator[Runs]:
    """They have the file at a path of its own; in the end it is gone."""
    runs.project.write("application.py", APPLICATION % FIXED)
    runs.project.ini("dbmigrate_env_file = config.toml=config.toml.template")
    yield runs
    assert not (runs.project.path / "config.toml").exists()


@pytest.fixture
def both_ways(by_variable: Runs) -> Runs:
    """They have the file both ways, each with an application of its own."""
    project = by_variable.project
    project.write("fixed.py", APPLICATION % FIXED)
    project.write("conftest.py", "import application, fixed")
    project.ini(
        """
        dbmigrate_env_file =
            APP_CONFIG=config.toml.template
            config.toml=config.toml.template
        """
    )
    project.tests(TESTS.replace("from application", "from fixed"), "test_fixed.py")
    return by_variable


@pytest.mark.parametrize(
    ("workers", "server"),
    [
        ("0", "url"),
        ("2", "embedded"),
        pytest.param("0", "embedded", marks=pytest.mark.matrix),
        pytest.param("2", "url", marks=pytest.mark.matrix),
    ],
)
def test_the_variable_names_a_private_file_from_the_first_import_on(
    by_variable: Runs, workers: str, server: str
) -> None:
    ended = by_variable.run("-n", workers, server=server, plugins=XDIST)
    assert (ended.status, ended.verdict) == (pytest.ExitCode.OK, "4 passed")


def test_the_file_is_at_its_path_from_the_first_import_on(at_its_path: Runs) -> None:
    ended = at_its_path.run("-n", "0", server="url", plugins=XDIST)
    assert (ended.status, ended.verdict) == (pytest.ExitCode.OK, "4 passed")


def test_a_resumed_run_finds_nothing_changed_until_the_template_is(both_ways: Runs) -> None:
    runs = both_ways
    first, second = (runs.run("--db-resume", server="url") for _ in range(2))
    runs.project.write("config.toml.template", TEMPLATE + "# more\n")
    third = runs.run("--db-resume", server="url")
    runs.run("--db-stop", server="url")
    assert [ended.verdict for ended in (first, second, third)] == ["8 passed"] * 3
    assert second.told[-1].startswith("unchanged: 1 revision")
    assert third.told[-1].startswith("rebuilt: dbmigrate_env_file was ")
    assert not (runs.project.path / "config.toml").exists()


def test_a_migration_that_fails_puts_the_file_back(both_ways: Runs) -> None:
    both_ways.project.revision("0002", 'op.execute("select 1 / 0")')
    tests = """
        from {0} import CONFIG, FILE

        def test_database(migrated_db): pass

        def test_file():
            assert CONFIG["url"] in FILE.read_text()
        """
    both_ways.project.tests(tests.format("application"))
    both_ways.project.tests(tests.format("fixed"), "test_fixed.py")
    ended = both_ways.run(server="url")
    assert (ended.status, ended.verdict) == (pytest.ExitCode.TESTS_FAILED, "2 passed, 2 errors")
    assert ended.block("dbmigrate: no database")[0] == "revision 0002 failed"
    assert not (both_ways.project.path / "config.toml").exists()


def test_collecting_alone_has_a_file_without_a_server(both_ways: Runs) -> None:
    ended = both_ways.run("--collect-only", "-q")
    assert ended.verdict == "8 tests collected"
    assert both_ways.ids == frozenset()
    assert not (both_ways.project.path / "config.toml").exists()


@pytest.mark.parametrize(("options", "plugins"), [((), ()), (("-n", "2"), XDIST)])
def test_a_killed_run_leaves_no_private_file(
    by_variable: Runs, options: tuple[str, ...], plugins: tuple[str, ...]
) -> None:
    by_variable.project.tests(WAITS)
    started = by_variable.start(*options, plugins=plugins)
    file = Path(started.until("in-test"))
    started.send(signal.SIGKILL)
    started.end()
    assert file.is_relative_to(by_variable.home)  # of which the fixture wants nothing left


def test_a_worker_killed_in_the_migration_leaves_it_to_another(by_variable: Runs) -> None:
    by_variable.project.revision(
        "0002",
        """
        import os, signal
        from pathlib import Path
        if not Path("killed").exists():
            Path("killed").touch()
            os.kill(os.getppid(), signal.SIGKILL)
            op.execute("select pg_sleep(600)")
        """,
    )
    ended = by_variable.run("-n", "2", plugins=XDIST)
    assert (ended.status, ended.verdict) == (pytest.ExitCode.TESTS_FAILED, "1 failed, 3 passed")


@pytest.mark.parametrize("name", ["config.toml", "elsewhere/config.toml"])
def test_a_run_killed_in_the_migration_is_no_obstacle_for_the_next(
    at_its_path: Runs, name: str
) -> None:
    (at_its_path.project.path / "elsewhere").mkdir()
    at_its_path.project.ini(f"dbmigrate_env_file = {name}=config.toml.template")
    at_its_path.project.write("application.py", APPLICATION % FIXED.replace("config.toml", name))
    slow = at_its_path.project.revision(
        "0002",
        """
        from pathlib import Path
        Path("in-migration").touch()
        op.execute("select pg_sleep(600)")
        """,
    )
    started = at_its_path.start()
    started.until("in-migration")
    assert "_build" in (at_its_path.project.path / name).read_text()
    started.send(signal.SIGKILL)
    started.end()
    slow.unlink()
    at_its_path.project.tests(TESTS)
    assert at_its_path.run(server="url").verdict == "4 passed"
    assert not (at_its_path.project.path / name).exists()


def test_ctrl_c_leaves_no_file(at_its_path: Runs) -> None:
    at_its_path.project.tests(WAITS)
    started = at_its_path.start(server="url")
    started.until("in-test")
    started.interrupt()
    assert started.end().status == pytest.ExitCode.INTERRUPTED


def test_the_file_that_a_killed_run_has_left_is_replaced(at_its_path: Runs) -> None:
    at_its_path.project.tests(WAITS)
    started = at_its_path.start(server="url")
    started.until("in-test")
    started.send(signal.SIGKILL)
    started.end()
    assert (at_its_path.project.path / "config.toml").exists()
    at_its_path.project.tests(TESTS)
    assert at_its_path.run(server="url").verdict == "4 passed"


def test_a_file_of_somebody_else_is_left_alone(at_its_path: Runs) -> None:
    file = at_its_path.project.path / "config.toml"
    own = TEMPLATE.replace("{url:postgresql+psycopg}", "postgresql+psycopg://ann:x@localhost/shop")
    file.write_text(own.replace("{database}", "shop"))
    before = (file.read_text(), file.stat())
    ended = at_its_path.run(server="url")
    assert ended.status == pytest.ExitCode.USAGE_ERROR
    assert [line for line in ended.lines if line] == [
        f"ERROR: dbmigrate: {file} is there already, and is not what a killed run has left",
        "  tried: comparing it with its pattern; it stays as it is",
        "  to do: move it away: it is written for a run, and removed at its end,",
        (
            "         or let the application read the file's path from a variable: "
            f"VARIABLE={file}.template"
        ),
    ]
    assert (file.read_text(), file.stat().st_mtime_ns) == (before[0], before[1].st_mtime_ns)
    file.unlink()


def test_a_run_does_not_take_the_file_of_another_that_lives(at_its_path: Runs) -> None:
    file = at_its_path.project.path / "config.toml"
    at_its_path.project.tests(WAITS)
    started = at_its_path.start(server="url")
    started.until("in-test")
    text = file.read_text()
    ended = at_its_path.run(server="url")
    assert ended.status == pytest.ExitCode.USAGE_ERROR
    assert [line for line in ended.lines if line] == [
        f"ERROR: dbmigrate: another run has written {file} and uses it",
        "  to do: wait until that run has ended,",
        (
            "         or let the application read the file's path from a variable: "
            f"VARIABLE={file}.template"
        ),
    ]
    assert at_its_path.run("--collect-only", "-q").verdict == "1 test collected"
    assert file.read_text() == text
    started.interrupt()
    started.end()


def test_workers_cannot_share_a_file(at_its_path: Runs) -> None:
    file = at_its_path.project.path / "config.toml"
    ended = at_its_path.run("-n", "2", server="url", plugins=XDIST)
    assert ended.status == pytest.ExitCode.USAGE_ERROR
    assert [line for line in ended.lines if line] == [
        (
            f"ERROR: dbmigrate: {file}, which dbmigrate_env_file names, is one file, "
            "and each process of pytest-xdist has an address of its own"
        ),
        "  to do: run the tests without -n,",
        (
            "         or let the application read the file's path from a variable: "
            f"VARIABLE={file}.template"
        ),
    ]


def test_a_path_that_cannot_be_written_is_named(at_its_path: Runs) -> None:
    at_its_path.project.ini("dbmigrate_env_file = no/config.toml=config.toml.template")
    ended = at_its_path.run(server="url")
    assert ended.status == pytest.ExitCode.USAGE_ERROR
    assert [line for line in ended.lines if line] == [
        (
            f"ERROR: dbmigrate: {at_its_path.project.path}/no/config.toml, which carries the "
            "database's address, cannot be written: No such file or directory"
        ),
        "  to do: see dbmigrate_env_file",
    ]


def test_a_link_is_not_followed(at_its_path: Runs) -> None:
    file = at_its_path.project.path / "config.toml"
    file.symlink_to("elsewhere.toml")
    ended = at_its_path.run(server="url")
    assert ended.status == pytest.ExitCode.USAGE_ERROR
    assert "cannot be written: Too many levels of symbolic links" in ended.output
    file.unlink()
    assert not (at_its_path.project.path / "elsewhere.toml").exists()


def test_a_variable_that_a_conftest_has_changed_is_an_error(by_variable: Runs) -> None:
    by_variable.project.write(
        "conftest.py", 'import os, application; os.environ["APP_CONFIG"] = "production.toml"'
    )
    ended = by_variable.run(server="url")
    assert ended.verdict == "4 errors"
    assert ended.block("dbmigrate: no database") == [
        (
            "APP_CONFIG, which dbmigrate_env_file names, was set to something else while conftest "
            "files, plugins and test modules were loaded"
        ),
        "  to do: remove what sets it, or the variable from dbmigrate_env_file",
    ]


def test_several_files_and_variables_go_together(by_variable: Runs) -> None:
    by_variable.project.ini(
        """
        dbmigrate_env = DATABASE_URL
        dbmigrate_env_file =
            APP_CONFIG=config.toml.template
            OTHER_CONFIG=other/config.toml.template
            .env=dotenv.example
        """
    )
    by_variable.project.write("other/config.toml.template", "{database}")
    by_variable.project.write("dotenv.example", "DB={url}\n")
    by_variable.project.tests(
        """
        import os
        from pathlib import Path

        def test_it(migrated_db):
            assert Path(os.environ["OTHER_CONFIG"]).read_text() == migrated_db.name
            assert Path(".env").read_text() == f"DB={os.environ['DATABASE_URL']}\\n"
        """
    )
    assert by_variable.run(server="url").verdict == "1 passed"
    assert not (by_variable.project.path / ".env").exists()


def test_the_password_is_not_shown(by_variable: Runs) -> None:
    by_variable.project.tests(
        """
        import application

        def test_it(migrated_db):
            print(application.FILE.read_text())
            assert 0
        """
    )
    ended = by_variable.run(server="url")
    assert ended.verdict == "1 failed"
    assert "postgresql+psycopg://postgres:***@" in ended.output
