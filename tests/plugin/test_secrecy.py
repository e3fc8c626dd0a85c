"""The password is in no output, no report, no process list, and no file that others can read."""

from __future__ import annotations

import contextlib
import itertools
import os
import stat
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, urlsplit

import psycopg
import pytest
from psycopg import sql

from tests.plugin.projects import Project, sync_env
from tests.plugin.remains import Ended, Runs, Started, processes, watched

SERVERS = ["embedded", "url", pytest.param("docker", marks=pytest.mark.docker)]
ONE_SERVER = ["url", pytest.param("embedded", marks=pytest.mark.matrix)]  # others have each server
PASSWORD = "hunter2hunter2"
ODD_PASSWORD = "h@n/er2:%'\"=h?\\nter&2"
FRAGMENT = 8  # characters of a password that nobody needs to see
TELL = """
    import os

    def tell(password):
        with open(os.open("secret", os.O_WRONLY | os.O_CREAT, 0o600), "w") as file:
            file.write(password)
"""
TESTS = f"""
{TELL}
    import asyncio, logging, sys, warnings
    from pathlib import Path

    import asyncpg
    import psycopg
    import pytest
    import sqlalchemy as sa

    @pytest.fixture(autouse=True)
    def told(migrated_db):
        tell(migrated_db.parts["password"])

    def test_that_holds_it_in_locals(migrated_db):
        url, dsn, parts = migrated_db.url, migrated_db.dsn, migrated_db.parts
        url_text, dsn_text, parts_text = str(url), str(dsn), str(parts)
        formatted = f"to {{url}}, or {{dsn}}"
        engine, async_engine = migrated_db.engine, migrated_db.async_engine
        connection = migrated_db.connect()
        engine_url, info = engine.url, connection.info
        whole = engine_url.render_as_string(hide_password=False)
        word, plain_word = parts["password"], engine_url.password
        encoded_word = word.encode()
        plain_parts = {{**parts, "password": plain_word}}
        several = [url, dsn, parts, url_text, dsn_text, engine_url]
        assert url == dsn == word

    def test_that_says_it(migrated_db):
        url, dsn, parts = migrated_db.url, migrated_db.dsn, migrated_db.parts
        raise RuntimeError(f"cannot use {{url}}, {{dsn}}, {{parts}}")

    def test_that_shows_it_as_an_assertion(migrated_db):
        assert migrated_db.url.replace("dbm_", "dbn_") == migrated_db.url + ""

    def test_that_prints_it(migrated_db):
        print(migrated_db.url, migrated_db.dsn, migrated_db.parts)
        print(migrated_db.url, migrated_db.dsn, migrated_db.parts, file=sys.stderr)
        assert 0

    def test_that_passes_and_prints_it(migrated_db):
        print(migrated_db.url, migrated_db.dsn, migrated_db.parts)

    def test_that_logs_it(migrated_db):
        logging.warning("at %s, %s, %r", migrated_db.url, migrated_db.dsn, migrated_db.parts)
        assert 0

    def test_that_cannot_connect(migrated_db):
        psycopg.connect(migrated_db.dsn, dbname="no_such_database")

    def test_that_cannot_find_the_server(migrated_db):
        psycopg.connect(**migrated_db.parts | {{"port": 1}})

    def test_whose_engine_cannot_connect(migrated_db):
        sa.create_engine(migrated_db.url.replace("dbm_", "no_")).connect()

    def test_whose_asyncpg_cannot_connect(migrated_db):
        asyncio.run(asyncpg.connect(migrated_db.url_for("").replace("dbm_", "no_")))

    def test_whose_url_is_broken(migrated_db):
        sa.create_engine(migrated_db.url.replace("postgresql", "no such dialect"))

    @pytest.fixture
    def broken(migrated_db):
        url = migrated_db.url + ""
        raise RuntimeError(url)

    def test_whose_fixture_fails(broken):
        pass
"""
REPORTS = """
    import json
    from pathlib import Path

    def pytest_runtest_logreport(report):
        with open("reports.jsonl", "a") as file:
            print(json.dumps(report._to_json(), default=str), file=file)
"""


@pytest.fixture
def runs(items_project: Project) -> Iterator[Runs]:
    """Runs of a project of which nothing may be left when the test ends."""
    with watched(items_project) as runs:
        yield runs


@dataclass
class Guarded:
    """A server that wants a password, and the environment of a run on it."""

    server: str
    environ: dict[str, str]


@pytest.fixture
def on(
    runs: Runs, server_url: Callable[[], str], request: pytest.FixtureRequest
) -> Iterator[Callable[..., Guarded]]:
    """Make the server of a kind ready; one that is up already has a role with a given password."""
    numbers = itertools.count()
    ours: list[str] = []

    def ready(kind: str, password: str = PASSWORD) -> Guarded:
        if kind != "url":
            return Guarded(kind, {})
        ours.append(f"role_{os.getpid()}_{next(numbers)}_of_{request.node.name[:20]}")
        with psycopg.connect(server_url(), autocommit=True) as connection:
            connection.execute(
                sql.SQL("create role {} login createdb password {}").format(
                    sql.Identifier(ours[-1]), sql.Literal(password)
                )
            )
        at = urlsplit(server_url())
        who = f"{quote(ours[-1], safe='')}:{quote(password, safe='')}"
        url = f"postgresql://{who}@{at.hostname}:{at.port}/postgres"
        runs.also_look_at(server_url())
        return Guarded("", {"DBMIGRATE_SERVER": url})

    yield ready
    with psycopg.connect(server_url(), autocommit=True) as connection:
        for role in ours:
            connection.execute(sql.SQL("drop role {}").format(sql.Identifier(role)))


def secret_of(runs: Runs) -> str:
    """Return the password that a run has told in a private file."""
    return (runs.project.path / "secret").read_text()


def shown(password: str, text: str) -> list[str]:
    """Return the lines in which the password, or a good part of it, is to be seen."""
    spellings = {password, quote(password, safe=""), quote(password), repr(password)[1:-1]}
    parts = {
        spelling[at : at + FRAGMENT]
        for spelling in spellings
        for at in range(len(spelling) - FRAGMENT + 1)
    }
    return [line for line in text.splitlines() if any(part in line for part in parts)]


def open_to_others(password: str, *folders: Path) -> list[Path]:
    """Return the files with the password in them that others than their owner can read."""
    return [
        path
        for folder in folders
        for path in _readable(folder)
        if password.encode() in path.read_bytes()
    ]


def _readable(path: Path) -> Iterator[Path]:
    mode = path.lstat().st_mode
    if stat.S_ISDIR(mode):
        if mode & 0o011:  # others can reach what is in it
            for inner in path.iterdir():
                yield from _readable(inner)
    elif stat.S_ISREG(mode) and mode & 0o044:
        yield path


@contextlib.contextmanager
def command_lines() -> Iterator[set[str]]:
    """Collect the command lines of all processes of the machine while the block runs."""
    seen: set[str] = set()
    is_over = threading.Event()

    def look() -> None:
        while not is_over.is_set():
            seen.update(process.command for process in processes())
            time.sleep(0.001)

    watcher = threading.Thread(target=look)
    watcher.start()
    try:
        yield seen
    finally:
        is_over.set()
        watcher.join()


@pytest.mark.parametrize(
    ("server", "options"),
    [
        ("embedded", ["-vvv", "--showlocals", "--tb=long", "-rA"]),
        pytest.param("embedded", ["--tb=short", "-l"], marks=pytest.mark.matrix),
        pytest.param("url", ["-vvv", "--showlocals", "--tb=long", "-rA"], marks=pytest.mark.matrix),
        ("url", ["--tb=short", "-l"]),
        ("url", ["--tb=native", "-rA"]),
        pytest.param("docker", ["-vvv", "--showlocals", "-rA"], marks=pytest.mark.docker),
    ],
    ids=lambda it: it if isinstance(it, str) else " ".join(it),
)
def test_no_failing_test_shows_the_password(
    runs: Runs, on: Callable[..., Guarded], server: str, options: list[str]
) -> None:
    guarded = on(server)
    runs.project.tests(TESTS)
    ended = runs.run(*options, server=guarded.server, environ=guarded.environ)
    assert ended.verdict == "10 failed, 1 passed, 1 error"
    assert shown(secret_of(runs), ended.output) == []


def test_no_failing_test_shows_a_password_with_odd_characters(
    runs: Runs, on: Callable[..., Guarded]
) -> None:
    guarded = on("url", ODD_PASSWORD)
    runs.project.tests(TESTS)
    ended = runs.run("-vvv", "--showlocals", "-rA", environ=guarded.environ, server="")
    assert ended.verdict == "10 failed, 1 passed, 1 error"
    assert secret_of(runs) == ODD_PASSWORD
    assert shown(ODD_PASSWORD, ended.output) == []


@pytest.mark.parametrize("server", ONE_SERVER)
def test_no_worker_shows_the_password(runs: Runs, on: Callable[..., Guarded], server: str) -> None:
    guarded = on(server)
    runs.project.tests(TESTS)
    ended = runs.run(
        *("-n", "2", "-vvv", "--showlocals", "-rA"),
        server=guarded.server,
        environ=guarded.environ,
        plugins=["xdist"],
    )
    assert ended.verdict == "10 failed, 1 passed, 1 error"
    assert shown(secret_of(runs), ended.output) == []


@pytest.mark.parametrize("server", ONE_SERVER)
def test_no_report_in_a_file_shows_the_password(
    runs: Runs, on: Callable[..., Guarded], server: str
) -> None:
    guarded = on(server)
    runs.project.tests(TESTS)
    runs.project.write("conftest.py", REPORTS)
    runs.run(
        *("--junitxml=junit.xml", "-o", "junit_logging=all", "--showlocals"),
        server=guarded.server,
        environ=guarded.environ,
    )
    for name in ("junit.xml", "reports.jsonl"):
        text = (runs.project.path / name).read_text()
        assert "test_that_says_it" in text
        assert shown(secret_of(runs), text) == []


def env_that_tells(more: str = "") -> str:
    """Return an env.py that prints its URL, then does more."""
    begin = """
import os, sys
from sqlalchemy.engine import make_url
url = context.config.get_main_option("sqlalchemy.url")
os.write(os.open("secret", os.O_WRONLY | os.O_CREAT, 0o600), make_url(url).password.encode())
print("env.py connects to", url)
print("env.py connects to", make_url(url).translate_connect_args(), file=sys.stderr)
"""
    return sync_env(url="url", imports=begin + more)


@pytest.mark.parametrize("server", SERVERS)
def test_a_failing_revision_does_not_show_the_password_that_env_py_prints(
    runs: Runs, on: Callable[..., Guarded], server: str
) -> None:
    guarded = on(server)
    runs.project.env(env_that_tells())
    runs.project.revision("0002", 'op.execute("select 1 / 0")')
    runs.project.tests("def test_it(migrated_db):\n    pass")
    ended = runs.run("-vvv", "--showlocals", server=guarded.server, environ=guarded.environ)
    assert "env.py connects to" in ended.output
    assert "division by zero" in ended.output
    assert shown(secret_of(runs), ended.output) == []


@pytest.mark.parametrize("server", ONE_SERVER)
def test_a_failing_env_py_does_not_show_the_password_that_is_in_its_error(
    runs: Runs, on: Callable[..., Guarded], server: str
) -> None:
    guarded = on(server)
    runs.project.env(env_that_tells("raise RuntimeError(f'cannot use {url}')"))
    runs.project.tests("def test_it(migrated_db):\n    pass")
    ended = runs.run("-vvv", "--showlocals", server=guarded.server, environ=guarded.environ)
    assert "RuntimeError: cannot use" in ended.output
    assert shown(secret_of(runs), ended.output) == []


@pytest.mark.parametrize("server", ONE_SERVER)
def test_a_failing_statement_with_the_password_in_it_does_not_show_it(
    runs: Runs, on: Callable[..., Guarded], server: str
) -> None:
    guarded = on(server)
    runs.project.env(env_that_tells())
    runs.project.revision(
        "0002",
        """
        password = op.get_bind().engine.url.password
        op.execute(f"alter role nobody_at_all password '{password}'")
        """,
    )
    runs.project.tests("def test_it(migrated_db):\n    pass")
    ended = runs.run("-vvv", "--showlocals", server=guarded.server, environ=guarded.environ)
    assert "alter role nobody_at_all password" in ended.output
    assert shown(secret_of(runs), ended.output) == []


def test_a_statement_with_the_password_in_it_is_not_in_the_event_log(
    runs: Runs, on: Callable[..., Guarded]
) -> None:
    guarded = on("url")
    runs.project.env(env_that_tells())
    runs.project.revision(
        "0002",
        """
        url = op.get_bind().engine.url.render_as_string(hide_password=False)
        raise RuntimeError(f"cannot use {url}")
        """,
    )
    runs.project.tests(
        """
        import time
        from pathlib import Path

        def test_it(request, migrated_db):
            pass

        def test_waits():
            Path("in-test").touch()
            while not Path("go-on").exists():
                time.sleep(0.01)
        """
    )
    started = runs.start(server=guarded.server, environ=guarded.environ)
    started.until("in-test")
    (run_id,) = runs.ids
    at = urlsplit(guarded.environ["DBMIGRATE_SERVER"])
    with psycopg.connect(at._replace(path=f"/dbm_{run_id}_control").geturl()) as connection:
        rows = connection.execute("select error from event where kind = 'failed'").fetchall()
        everything = "".join(
            str(row)
            for table in ("event", "build", "database")
            for row in connection.execute(sql.SQL("select * from {}").format(sql.Identifier(table)))
        )
    runs.project.write("go-on", "")
    started.end()
    assert len(rows) == 1
    assert "cannot use" in everything
    assert shown(PASSWORD, everything) == []


@pytest.mark.parametrize(
    ("server", "where"),
    [
        ("embedded", "conftest.py"),
        ("url", "test_it.py"),
        pytest.param("embedded", "test_it.py", marks=pytest.mark.matrix),
        pytest.param("url", "conftest.py", marks=pytest.mark.matrix),
    ],
)
def test_a_module_that_fails_with_its_address_does_not_show_the_password(
    runs: Runs, on: Callable[..., Guarded], server: str, where: str
) -> None:
    guarded = on(server)
    runs.project.ini("dbmigrate_env = DATABASE_URL")
    runs.project.tests("def test_it(migrated_db):\n    pass")
    runs.project.write(
        where,
        TELL
        + """
    from sqlalchemy.engine import make_url
    url = os.environ["DATABASE_URL"]
    tell(make_url(url).password)
    raise RuntimeError("cannot use " + url)
    """,
    )
    ended = runs.run("-vvv", "--showlocals", server=guarded.server, environ=guarded.environ)
    assert "RuntimeError: cannot use" in ended.output
    assert shown(secret_of(runs), ended.output) == []


UNUSABLE = f"mysql://somebody:{PASSWORD}@127.0.0.1/postgres"


@pytest.mark.parametrize(
    "url",
    [
        UNUSABLE,
        f"postgresql://somebody:{PASSWORD}@127.0.0.1:99999/postgres",
        f"postgresql://somebody:{PASSWORD}@127.0.0.1:port/postgres",
        f"postgresql://somebody:{PASSWORD}@db.example.com/postgres",
        f"postgresql://db.example.com/postgres?user=somebody&password={PASSWORD}",
        f"postgresql://somebody:{PASSWORD}@/postgres",
        f"postgresql:/somebody:{PASSWORD}@127.0.0.1/postgres",
        f"somebody:{PASSWORD}@127.0.0.1",
    ],
)
def test_a_url_that_cannot_be_used_does_not_show_its_password(
    project: Project, monkeypatch: pytest.MonkeyPatch, url: str
) -> None:
    monkeypatch.setenv("DBMIGRATE_SERVER", url)
    assert_refused_in_secret(project.run("-vvv", server=""))


def test_an_option_that_cannot_be_used_does_not_show_its_password(project: Project) -> None:
    assert_refused_in_secret(project.run("-vvv", server=UNUSABLE))


def test_an_ini_that_cannot_be_used_does_not_show_its_password(project: Project) -> None:
    project.ini(f"dbmigrate_server = {UNUSABLE}")
    assert_refused_in_secret(project.run("-vvv", server=""))


def assert_refused_in_secret(result: pytest.RunResult) -> None:
    """Fail if the run has not ended for a setting it cannot use, or has shown the password."""
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    text = "\n".join([*result.outlines, *result.errlines])
    assert text.startswith("ERROR: dbmigrate: ")
    assert shown(PASSWORD, text) == []


def test_a_password_that_is_refused_is_not_shown(runs: Runs, on: Callable[..., Guarded]) -> None:
    guarded = on("url")
    wrong = f"wrong-{PASSWORD[::-1]}"
    environ = {"DBMIGRATE_SERVER": guarded.environ["DBMIGRATE_SERVER"].replace(PASSWORD, wrong)}
    runs.project.tests("def test_it(migrated_db):\n    pass")
    ended = runs.run("-vvv", "--showlocals", server="", environ=environ)
    assert "password authentication failed for user" in ended.output
    assert shown(wrong, ended.output) == []


def _while_it_goes_on(runs: Runs, started: Started) -> str:
    """Wait for the migration, then for the test; return the password once no one can see it."""
    started.until("in-revision")
    password = secret_of(runs)
    folders = (runs.project.path, runs.temporary, *runs.memory_folders())
    assert open_to_others(password, *folders) == []
    runs.project.write("go-on", "")
    started.until("in-test")
    assert open_to_others(password, *folders) == []
    runs.project.write("end", "")
    return password


@pytest.mark.parametrize("server", SERVERS)
def test_no_command_line_and_no_file_that_others_can_read_has_the_password(
    runs: Runs, on: Callable[..., Guarded], server: str
) -> None:
    guarded = on(server)
    runs.project.env(env_that_tells())
    revision = "import time\nfrom pathlib import Path\nPath('in-revision').touch()\n"
    runs.project.revision("0002", revision + "while not Path('go-on').exists(): time.sleep(0.01)")
    runs.project.tests(
        """
        import time
        from pathlib import Path

        def test_it(migrated_db):
            migrated_db.connect()
            Path("in-test").touch()
            while not Path("end").exists():
                time.sleep(0.01)
            assert 0
        """
    )
    with command_lines() as commands:
        started = runs.start("--junitxml=junit.xml", server=guarded.server, environ=guarded.environ)
        password = _while_it_goes_on(runs, started)
        ended: Ended = started.end()
    assert ended.verdict == "1 failed"
    assert any("pytest" in command for command in commands)
    assert shown(password, "\n".join(commands)) == []
    assert open_to_others(password, runs.project.path, runs.temporary) == []


def test_a_kept_run_leaves_the_password_to_its_owner_alone(runs: Runs) -> None:
    runs.project.tests(TESTS)
    runs.run("--db-keep=failed")
    password = secret_of(runs)
    folders = (runs.project.path, runs.temporary, *runs.memory_folders())
    assert len(folders) == 3
    assert open_to_others(password, *folders) == []
    runs.tool("stop")


def test_the_search_for_a_password_finds_it(tmp_path: Path) -> None:
    assert shown("abcdefghijkl", "one\nxx cdefghij xx\ntwo") == ["xx cdefghij xx"]
    assert shown("a b/c:d&e", "at a%20b%2Fc%3Ad") == ["at a%20b%2Fc%3Ad"]
    for name, mode in {"open": 0o644, "group": 0o640, "private": 0o600}.items():
        (tmp_path / name).write_text("the abcdefghijkl")
        (tmp_path / name).chmod(mode)
    tmp_path.chmod(0o755)
    assert {it.name for it in open_to_others("abcdefghijkl", tmp_path)} == {"open", "group"}
    tmp_path.chmod(0o700)
    assert open_to_others("abcdefghijkl", tmp_path) == []
