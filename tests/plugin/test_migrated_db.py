"""What a test can do with its database, and that the next test sees nothing of it."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.plugin.projects import Project, output

ADD = "insert into item values (1, 'one')"
COUNT = "select count(*) from item"
# Two tests that each find an empty table and leave a row in it.
ALONE = """
def add_to_empty(database):
    with database.connect() as connection:
        assert connection.execute("select count(*) from item").fetchone() == (0,)
        connection.execute("insert into item values (1, 'one')")
"""


class Seen:
    """A run of several modules, which tests look at: each at its own."""

    def __init__(self, result: pytest.RunResult) -> None:
        self.result = result

    def passed(self, module: str) -> int:
        """Return how many tests of a module have passed; none may have another outcome."""
        mark = f" test_{module}.py::"
        words = ("PASSED", "FAILED", "ERROR")
        lines = [it for it in self.result.outlines if it.startswith(words) and mark in it]
        assert [it for it in lines if not it.startswith("PASSED")] == []
        return len(lines)

    def leaves_open(self, module: str) -> bool:
        """Whether the run names a test of the module as one that has left connections open."""
        lines = [it for it in self.result.outlines if it.startswith(f"test_{module}.py::")]
        return any(" PASSED" not in line for line in lines)


Once = Callable[[str, Callable[[], pytest.RunResult]], Seen]


@pytest.fixture(scope="module")
def once() -> Once:
    """A way to do a run only once for all the tests that look at it."""
    done: dict[str, Seen] = {}

    def once(name: str, run: Callable[[], pytest.RunResult]) -> Seen:
        if name not in done:
            done[name] = Seen(run())
        return done[name]

    return once


COMMITS = (
    ALONE
    + """
def test_first(migrated_db): add_to_empty(migrated_db)

def test_second(migrated_db): add_to_empty(migrated_db)
"""
)
CONNECTIONS = f'''
        import subprocess
        import sys
        from concurrent.futures import ThreadPoolExecutor

        def test_connections(migrated_db):
            writer, reader = migrated_db.connect(), migrated_db.connect(autocommit=True)
            writer.execute("{ADD}")
            assert reader.execute("{COUNT}").fetchone() == (0,)
            writer.commit()
            assert reader.execute("{COUNT}").fetchone() == (1,)

        def test_threads(migrated_db):
            def add(number):
                with migrated_db.connect() as connection:
                    connection.execute("insert into item values (%s, 'x')", [number])

            with ThreadPoolExecutor(4) as pool:
                list(pool.map(add, range(20)))
            assert migrated_db.connect().execute("{COUNT}").fetchone() == (20,)

        def test_processes(migrated_db):
            code = "import psycopg, sys; psycopg.connect(sys.argv[1], autocommit=True)"
            code += """.execute("{ADD}")"""
            subprocess.run([sys.executable, "-c", code, migrated_db.dsn], check=True)
            assert migrated_db.connect().execute("{COUNT}").fetchone() == (1,)
        '''
ADDRESS = """
        import pytest

        addresses = set()

        @pytest.mark.parametrize("number", [1, 2, 3])
        def test_it(migrated_db, number):
            addresses.add(migrated_db.url)
            assert len(addresses) == 1
        """
FORMS = """
        import psycopg
        import pytest
        import sqlalchemy as sa

        WHERE = "select current_database()"

        def test_dsn(migrated_db):
            with psycopg.connect(migrated_db.dsn) as connection:
                assert connection.execute(WHERE).fetchone() == (migrated_db.name,)

        def test_parts(migrated_db):
            with psycopg.connect(**migrated_db.parts) as connection:
                assert connection.execute(WHERE).fetchone() == (migrated_db.name,)

        @pytest.mark.parametrize("driver", ["psycopg", "psycopg2"])
        def test_url_for(migrated_db, driver):
            engine = sa.create_engine(migrated_db.url_for(driver))
            with engine.connect() as connection:
                assert connection.dialect.driver == driver
                assert connection.scalar(sa.text(WHERE)) == migrated_db.name

        def test_plain_url(migrated_db):
            with psycopg.connect(migrated_db.url_for("")) as connection:
                assert connection.execute(WHERE).fetchone() == (migrated_db.name,)

        def test_url_is_for_psycopg(migrated_db):
            assert migrated_db.url == migrated_db.url_for("psycopg")

        def test_connect_takes_the_keywords_of_psycopg(migrated_db):
            rows = psycopg.rows.dict_row
            connection = migrated_db.connect(autocommit=True, row_factory=rows)
            assert connection.execute(WHERE).fetchone() == {"current_database": migrated_db.name}
        """
REPR = """
        def test_it(migrated_db, db_server):
            password = migrated_db.parts["password"]
            assert len(str(password)) == 32
            for item in (migrated_db, db_server, db_server.dsn):
                assert str(password) not in f"{item} {item!r}"
            for item in (migrated_db.url, migrated_db.dsn, migrated_db.parts):
                assert str(password) in str(item) or isinstance(item, dict)
                assert str(password) not in repr(item)
            where = f"postgresql://postgres:***@127.0.0.1:{db_server.dsn.port}/{migrated_db.name}"
            assert repr(migrated_db) == f"<MigratedDatabase {where}>"
            assert str(migrated_db) == repr(migrated_db)
        """
CLOSING = """
        opened, engines = [], []

        def test_open(migrated_db):
            opened.append(migrated_db.connect())
            opened.append(migrated_db.engine.raw_connection().driver_connection)
            engines.append(migrated_db.engine)

        def test_is_closed(migrated_db):
            assert [connection.closed for connection in opened] == [True, True]

        def test_the_engine_is_the_tests_own(migrated_db):
            assert migrated_db.engine is migrated_db.engine
            assert migrated_db.engine not in engines
            assert migrated_db.engine.driver == "psycopg"
        """
UNITTEST = (
    ALONE
    + """
import unittest

import pytest

@pytest.mark.usefixtures("migrated_db")
class MarkedTest(unittest.TestCase):
    def setUp(self):
        import os, psycopg
        with psycopg.connect(os.environ["DATABASE_URL"], autocommit=True) as connection:
            connection.execute("insert into item values (1, 'one')")

    def test_first(self): pass

    def test_second(self): pass


class AutouseTest(unittest.TestCase):
    @pytest.fixture(autouse=True)
    def database(self, migrated_db):
        self.database = migrated_db

    def test_first(self): add_to_empty(self.database)

    def test_second(self): add_to_empty(self.database)
"""
)
CLASSES = (
    ALONE
    + """
import pytest

class TestItems:
    @pytest.mark.parametrize("name", ["a", "b"])
    def test_it(self, migrated_db, name): add_to_empty(migrated_db)

    @pytest.fixture(params=[1, 2])
    def prepared(self, migrated_db, request):
        add_to_empty(migrated_db)
        return migrated_db

    def test_prepared(self, prepared):
        assert prepared.connect().execute("select count(*) from item").fetchone() == (1,)
"""
)
APPLICATION = """
import os

import sqlalchemy as sa

engine = sa.create_engine(os.environ["{variable}"])

def add_item(name):
    with engine.begin() as connection:
        assert connection.scalar(sa.text("select count(*) from item")) == 0
        connection.execute(sa.text("insert into item values (1, :name)"), {{"name": name}})
"""
ASYNC_APPLICATION = """
import os

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import create_async_engine

engine = create_async_engine(os.environ["{variable}"])

async def add_item(name):
    async with engine.begin() as connection:
        assert await connection.scalar(sa.text("select count(*) from item")) == 0
        await connection.execute(sa.text("insert into item values (1, :name)"), {{"name": name}})
"""
ENGINE = """
import {app} as app
import pytest

@pytest.mark.parametrize("number", range(4))
@pytest.mark.usefixtures("migrated_db")
def test_it(number):
    assert app.engine.pool.checkedin() == bool(number)
    app.add_item("lamp")
    assert app.engine.pool.checkedin() == 1
"""
ASYNC_ENGINE = """
import {app} as app
import pytest

pytestmark = pytest.mark.asyncio(loop_scope="{loop}")

@pytest.mark.parametrize("number", range(4))
@pytest.mark.usefixtures("migrated_db")
async def test_it(number):
    await app.add_item("lamp")
    assert app.engine.pool.checkedin() == 1
"""
VARIABLES = """
dbmigrate_env =
    DATABASE_URL={url}
    PSYCOPG_URL={url:postgresql+psycopg}
    PSYCOPG2_URL={url:postgresql+psycopg2}
    ASYNCPG_URL={url:postgresql+asyncpg}
"""


@pytest.fixture
def clean(items_project: Project, once: Once) -> Seen:
    """A run of tests that leave nothing open."""

    def run() -> pytest.RunResult:
        items_project.ini(VARIABLES)
        items_project.tests(COMMITS, "test_commits.py")
        items_project.tests(CONNECTIONS, "test_connections.py")
        items_project.tests(ADDRESS, "test_address.py")
        items_project.tests(FORMS, "test_forms.py")
        items_project.tests(REPR, "test_repr.py")
        items_project.tests(CLOSING, "test_closing.py")
        items_project.tests(UNITTEST, "test_unittest.py")
        items_project.tests(CLASSES, "test_classes.py")
        for driver in ("psycopg", "psycopg2"):
            app = f"app_{driver}"
            variable = f"{driver.upper()}_URL"
            items_project.write(f"{app}.py", APPLICATION.format(variable=variable))
            items_project.tests(ENGINE.format(app=app), f"test_engine_{driver}.py")
        return items_project.run("-v", "-rpfE", "-W", "error")

    return once("clean", run)


def test_what_a_test_commits_is_gone_for_the_next(clean: Seen) -> None:
    assert clean.passed("commits") == 2


def test_connections_threads_and_processes_see_what_is_committed(clean: Seen) -> None:
    assert clean.passed("connections") == 3


def test_the_address_is_the_same_in_every_test(clean: Seen) -> None:
    assert clean.passed("address") == 3


def test_the_address_has_the_form_that_each_library_wants(clean: Seen) -> None:
    assert clean.passed("forms") == 7


def test_its_repr_has_no_password(clean: Seen) -> None:
    assert clean.passed("repr") == 1


def test_what_it_opens_is_closed_with_the_test(clean: Seen) -> None:
    assert clean.passed("closing") == 3


def test_unittest_classes_get_a_database_by_a_mark(clean: Seen) -> None:
    assert clean.passed("unittest") == 4


def test_plain_classes_and_parameters_work(clean: Seen) -> None:
    assert clean.passed("classes") == 4


@pytest.mark.parametrize("driver", ["psycopg", "psycopg2"])
def test_an_engine_made_at_import_works_in_every_test(clean: Seen, driver: str) -> None:
    assert clean.passed(f"engine_{driver}") == 4
    assert not clean.leaves_open(f"engine_{driver}")


ASYNCHRONOUS = """
        import pytest
        import sqlalchemy as sa

        @pytest.fixture
        async def item(migrated_db):
            async with migrated_db.async_engine.begin() as connection:
                await connection.execute(sa.text("insert into item values (1, 'one')"))

        @pytest.mark.parametrize("number", [1, 2])
        async def test_it(migrated_db, item, number):
            assert migrated_db.async_engine.driver == "asyncpg"
            async with migrated_db.async_engine.connect() as connection:
                assert await connection.scalar(sa.text("select count(*) from item")) == 1
        """


@pytest.fixture
def asynchronous(items_project: Project, once: Once) -> Seen:
    """A run of asynchronous tests."""

    def run() -> pytest.RunResult:
        options = "asyncio_mode = auto\nasyncio_default_fixture_loop_scope = function"
        items_project.ini(options + VARIABLES)
        items_project.tests(ASYNCHRONOUS, "test_own.py")
        for driver in ("asyncpg", "psycopg"):
            for loop in ("function", "session"):
                app = f"app_{driver}_{loop}"
                variable = f"{driver.upper()}_URL"
                items_project.write(f"{app}.py", ASYNC_APPLICATION.format(variable=variable))
                text = ASYNC_ENGINE.format(app=app, loop=loop)
                items_project.tests(text, f"test_{driver}_{loop}.py")
        return items_project.run("-v", "-rpfE", "-W", "error", plugins=["asyncio"])

    return once("asynchronous", run)


def test_the_asynchronous_engine_works_in_every_loop(asynchronous: Seen) -> None:
    assert asynchronous.passed("own") == 2
    assert "left open" not in output(asynchronous.result)


@pytest.mark.parametrize("driver", ["asyncpg", "psycopg"])
@pytest.mark.parametrize("loop", ["function", "session"])
def test_an_asynchronous_engine_made_at_import_works_in_every_test(
    asynchronous: Seen, driver: str, loop: str
) -> None:
    result = asynchronous.result
    assert asynchronous.passed(f"{driver}_{loop}") == 4
    assert "left open" not in output(result)
    assert "Traceback" not in output(result) + result.stderr.str()


NEVER_RETURNED = """
        import app
        import pytest
        import sqlalchemy as sa

        held = []

        @pytest.mark.parametrize("number", range(20))
        @pytest.mark.usefixtures("migrated_db")
        def test_more_often_than_the_pool_has_room(number):
            connection = app.engine.connect()
            connection.execute(sa.text("lock table item"))
            held.append(connection)

        @pytest.mark.usefixtures("migrated_db")
        def test_last():
            app.add_item("lamp")
            for connection in held:
                connection.close()
        """
SESSION = """
        import other_app as app
        import pytest
        import sqlalchemy as sa
        from sqlalchemy.orm import scoped_session, sessionmaker

        Session = scoped_session(sessionmaker(app.engine))

        @pytest.mark.parametrize("number", range(3))
        @pytest.mark.usefixtures("migrated_db")
        def test_it(number, caplog):
            Session.remove()
            assert Session.execute(sa.text("select * from item")).all() == []
            assert caplog.records == []
        """
DESTROYS = (
    ALONE
    + """
import psycopg
import pytest

DESTRUCTIONS = [
    "drop table item cascade",
    "drop schema public cascade",
    "alter database {name} set default_transaction_read_only to on",
    "alter database {name} with allow_connections false",
    "alter database {name} rename to gone",
    "drop database {name} with (force)",
]

@pytest.mark.parametrize("statement", DESTRUCTIONS)
class TestDestruction:
    def test_destroy(self, migrated_db, db_server, statement):
        add_to_empty(migrated_db)
        is_from_outside = "database" in statement
        where = db_server.dsn.conninfo() if is_from_outside else migrated_db.dsn
        with psycopg.connect(where, autocommit=True) as connection:
            connection.execute(statement.format(name=migrated_db.name))

    def test_next(self, migrated_db, statement): add_to_empty(migrated_db)
"""
)
OUTLIVES = (
    ALONE
    + """
import subprocess
import sys

import pytest

pytestmark = pytest.mark.filterwarnings("default")  # the process is never waited for

CODE = '''
import psycopg, sys
connection = psycopg.connect(sys.argv[1])
connection.execute("lock table item")
print("locked", flush=True)
sys.stdin.read()
'''

def test_first(migrated_db, request):
    child = subprocess.Popen(
        [sys.executable, "-c", CODE, migrated_db.dsn],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )
    assert child.stdout.readline() == "locked\\n"

def test_second(migrated_db): add_to_empty(migrated_db)
"""
)


@pytest.fixture
def harmful(items_project: Project, once: Once) -> Seen:
    """A run of tests that leave things behind."""

    def run() -> pytest.RunResult:
        items_project.ini(VARIABLES)
        for app in ("app", "other_app"):
            items_project.write(f"{app}.py", APPLICATION.format(variable="PSYCOPG_URL"))
        items_project.tests(NEVER_RETURNED, "test_never_returned.py")
        items_project.tests(SESSION, "test_session.py")
        items_project.tests(DESTROYS, "test_destroys.py")
        items_project.tests(OUTLIVES, "test_outlives.py")
        return items_project.run("-v", "-rpfE", "-W", "error")

    return once("harmful", run)


def test_a_connection_that_is_never_returned_does_no_harm(harmful: Seen) -> None:
    assert harmful.passed("never_returned") == 21


def test_a_session_left_open_is_closed_by_the_next_test(harmful: Seen) -> None:
    assert harmful.passed("session") == 3


def test_a_test_that_destroys_its_database_does_no_harm(harmful: Seen) -> None:
    assert harmful.passed("destroys") == 12


def test_a_process_that_outlives_its_test_does_not_hold_the_database(harmful: Seen) -> None:
    assert harmful.passed("outlives") == 2


@pytest.mark.parametrize(
    "stop", ["time.monotonic = time.perf_counter = lambda: 0.0", "time.sleep = lambda _: forbidden"]
)
def test_a_test_that_freezes_time_does_not_stop_the_run(items_project: Project, stop: str) -> None:
    """It is not set going again, and there is a connection whose end is waited for."""
    items_project.tests(
        ALONE
        + f"""
import time
import psycopg

held = []

def test_first(migrated_db):
    add_to_empty(migrated_db)
    held.append(psycopg.connect(migrated_db.dsn))
    {stop}

def test_second(migrated_db):
    add_to_empty(migrated_db)
    held.append(psycopg.connect(migrated_db.dsn))
"""
    )

    items_project.run("-v").assert_outcomes(passed=2)


RANDOM = (
    ALONE
    + """
import pytest

@pytest.mark.parametrize("number", range(5))
def test_database(migrated_db, number): add_to_empty(migrated_db)

@pytest.mark.parametrize("number", range(5))
def test_unit(number): pass
"""
)
FLAKY = (
    ALONE
    + """
tries = []

def test_it(migrated_db):
    add_to_empty(migrated_db)
    tries.append(1)
    assert len(tries) == 3
"""
)


def test_the_order_of_tests_does_not_matter_and_each_try_has_a_new_database(
    items_project: Project,
) -> None:
    items_project.tests(RANDOM, "test_random.py")
    items_project.tests(FLAKY, "test_flaky.py")

    options = ("-p", "randomly", "-p", "no:cacheprovider", "--reruns=2")
    result = items_project.run(*options, plugins=["rerunfailures"])

    assert result.parseoutcomes() == {"passed": 11, "rerun": 2}


def test_an_engine_of_the_test_that_first_imports_sqlalchemy_is_emptied_too(
    project: Project,
) -> None:
    project.revision("0001")
    project.tests(
        """
        import os
        import sys

        ENGINES = []

        def use(migrated_db):
            import sqlalchemy

            if not ENGINES:
                assert len([name for name in sys.modules if name == "sqlalchemy.engine"]) == 1
                ENGINES.append(sqlalchemy.create_engine(os.environ["DATABASE_URL"]))
            with ENGINES[0].begin() as connection:
                connection.execute(sqlalchemy.text("insert into item values (1)"))

        def test_before(migrated_db):
            assert "sqlalchemy" not in sys.modules
            use(migrated_db)

        def test_after(migrated_db):
            use(migrated_db)
        """
    )
    project.ini("dbmigrate_env = DATABASE_URL={url:postgresql+psycopg}")
    result = project.run("--db-resume", "-p", "no:randomly")
    again = project.run("--db-resume", "-p", "no:randomly")
    project.run("--db-stop")
    assert result.parseoutcomes()["passed"] >= 1
    assert again.parseoutcomes() == {"passed": 2}
