"""What every kind of server promises."""

from __future__ import annotations

import contextlib
import os
import re
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import psycopg
import pytest

from pytest_dbmigrate.addresses.dsn import Secret
from pytest_dbmigrate.errors import ServerError
from pytest_dbmigrate.runs.notes import ChoosingServer, ServerReady, StartingServer
from pytest_dbmigrate.runs.run import Run
from pytest_dbmigrate.servers import startup
from pytest_dbmigrate.servers.embedded import place, programs
from pytest_dbmigrate.servers.embedded.account import account
from pytest_dbmigrate.servers.options import THROW_AWAY
from pytest_dbmigrate.servers.server import Server
from pytest_dbmigrate.settings.resolution import resolve
from pytest_dbmigrate.settings.values import Settings
from tests.conformance.kinds import DOCKER, EMBEDDED, OWNED, Started, docker


def shown(server: Server, *names: str) -> dict[str, str]:
    """Return the values of a server's settings."""
    with psycopg.connect(server.dsn.conninfo()) as connection:
        rows = [connection.execute(f"show {name}".encode()).fetchone() for name in names]
    return {name: row[0] for name, row in zip(names, rows, strict=True) if row}


def test_a_server_answers_and_knows_its_version(server: Server) -> None:
    assert shown(server, "server_version_num") == {"server_version_num": str(server.version)}
    assert server.version >= 150000


def test_the_role_may_create_databases(server: Server) -> None:
    with psycopg.connect(server.dsn.conninfo()) as connection:
        row = connection.execute(
            "select rolcreatedb or rolsuper from pg_roles where rolname = current_user"
        ).fetchone()
    assert row == (True,)


def test_a_wrong_password_is_refused(server: Server) -> None:
    wrong = replace(server.dsn, password=Secret("wrong"))
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(wrong.conninfo())


def test_no_password_is_refused(server: Server) -> None:
    without = replace(server.dsn, password=Secret())
    with pytest.raises(psycopg.OperationalError, match="no password supplied"):
        psycopg.connect(without.conninfo(), passfile=os.devnull)


@pytest.mark.parametrize("kind", EMBEDDED, indirect=True)
def test_the_embedded_servers_socket_needs_the_password_as_well(
    started: Started, server: Server
) -> None:
    folder = place.of_run(started.run.id)
    wrong = replace(server.dsn, host=str(folder), password=Secret("wrong"))
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(wrong.conninfo())


@pytest.mark.parametrize("host", ["127.0.0.2", "::1"])
def test_the_port_is_open_on_one_address_of_this_machine_alone(host: str, server: Server) -> None:
    assert server.dsn.host == "127.0.0.1"
    with pytest.raises(psycopg.OperationalError) as refused:
        psycopg.connect(replace(server.dsn, host=host).conninfo(), connect_timeout=5)
    assert re.search("refused|unreachable|assign requested address", str(refused.value)), (
        refused.value
    )


@pytest.mark.parametrize("kind", OWNED, indirect=True)
def test_an_owned_server_waits_for_no_disk(server: Server) -> None:
    documented = {
        "fsync": "off",
        "synchronous_commit": "off",
        "full_page_writes": "off",
        "wal_level": "minimal",
        "autovacuum": "off",
        "max_connections": "200",
    }
    assert shown(server, *documented) == documented
    assert server.durable is False


@pytest.mark.parametrize("kind", OWNED, indirect=True)
def test_every_setting_for_servers_that_are_thrown_away_is_in_force(server: Server) -> None:
    assert shown(server, *THROW_AWAY) == THROW_AWAY


@pytest.mark.parametrize("kind", ["url"], indirect=True)
def test_a_server_that_is_not_ours_is_seen_to_be_durable(server: Server) -> None:
    assert server.durable is True


@pytest.mark.parametrize("kind", OWNED, indirect=True)
def test_two_runs_have_different_servers_and_different_passwords(
    server: Server, settings: Settings, new_run: Run
) -> None:
    other = startup.server(settings, new_run)
    assert (other.dsn.port, other.dsn.password) != (server.dsn.port, server.dsn.password)
    assert other.dsn.password != server.dsn.password


@pytest.mark.parametrize("kind", [*EMBEDDED, "url"], indirect=True)
def test_the_settled_address_is_that_of_the_later_server(settings: Settings, new_run: Run) -> None:
    address = startup.settle(settings, new_run)
    with address.holder or contextlib.nullcontext():
        assert new_run.read(startup.SERVER) is None  # nothing was started yet
        assert startup.server(settings, new_run).dsn == address.dsn


@pytest.mark.parametrize("kind", EMBEDDED, indirect=True)
@pytest.mark.parametrize("name", ["a" * 100, 'with "quotes", commas and a \\'])
def test_a_folder_in_which_no_socket_can_be_is_one_for_the_embedded_server(
    name: str,
    settings: Settings,
    temporary_files: Path,
    monkeypatch: pytest.MonkeyPatch,
    eventually: Callable[[Callable[[], object]], None],
) -> None:
    folder = temporary_files / name
    folder.mkdir(mode=0o755, exist_ok=True)
    who = account()
    who.own(tmp := Path(tempfile.mkdtemp(dir=temporary_files)))
    found = programs.find(settings.pg_bin).reachable_by(who, tmp)
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    monkeypatch.setattr(place, "MEMORY", folder / "none")  # as where there is no /dev/shm
    run = Run.start("conformance")
    try:
        server = startup.server(settings.but(pg_bin=str(found.folder)), run)
        assert [path.name for path in folder.iterdir() if path.name.endswith(run.id)] != []
        assert shown(server, "unix_socket_directories") == {"unix_socket_directories": ""}
    finally:
        run.finish()
    eventually(lambda: list(folder.iterdir()) == [])  # the folder of runs goes after the run


@pytest.mark.parametrize("kind", DOCKER, indirect=True)
def test_docker_has_to_start_to_settle_its_address(settings: Settings, new_run: Run) -> None:
    address = startup.settle(settings, new_run)
    assert new_run.read(startup.SERVER) is not None
    assert startup.server(settings, new_run).dsn == address.dsn


def test_each_process_of_a_run_gets_the_same_server(
    started: Started, settings: Settings, server: Server
) -> None:
    joined = Run.join(str(started.run.folder))
    assert startup.server(settings, joined) == server
    assert startup.settle(settings, joined).dsn == server.dsn
    beginnings = [it for it in joined.journal.read()[0] if isinstance(it, StartingServer)]
    assert len(beginnings) == 1


def test_the_journal_tells_of_the_server(started: Started, server: Server) -> None:
    choosing, starting, ready = started.run.journal.read()[0]
    assert choosing == ChoosingServer()
    assert starting == StartingServer(server.kind)
    assert isinstance(ready, ServerReady)
    assert ready.seconds > 0
    assert ready == ServerReady(str(server), "", ready.seconds)


def test_the_journal_does_not_know_the_password(started: Started, server: Server) -> None:
    assert server.dsn.password not in (started.run.folder / "journal").read_text()


@pytest.mark.parametrize("kind", EMBEDDED, indirect=True)
def test_the_password_is_in_no_processs_command_line(
    server: Server, processes: Callable[[str], list[int]]
) -> None:
    assert processes(server.dsn.password) == []


@pytest.mark.parametrize("kind", EMBEDDED, indirect=True)
def test_the_embedded_servers_folder_is_closed_to_others(started: Started) -> None:
    folder = place.of_run(started.run.id)
    assert {folder.stat().st_mode & 0o777, (folder / "data").stat().st_mode & 0o777} == {0o700}


@pytest.mark.parametrize("kind", EMBEDDED, indirect=True)
def test_a_locale_of_utf8_is_the_embedded_servers_own(server: Server) -> None:
    with psycopg.connect(server.dsn.conninfo()) as connection:
        row = connection.execute(
            "select pg_encoding_to_char(encoding), datcollate, datctype "
            "from pg_database where datname = 'template0'"
        ).fetchone()
    assert row == ("UTF8", "C.UTF-8", "C.UTF-8")


@pytest.mark.parametrize("kind", DOCKER, indirect=True)
def test_a_containers_data_lies_in_memory(started: Started, server: Server) -> None:
    folder = shown(server, "data_directory")["data_directory"]
    assert folder == "/dbmigrate/data"
    assert inside(started, "stat", "-f", "-c", "%T", folder) == "tmpfs"


@pytest.mark.parametrize("kind", DOCKER, indirect=True)
def test_a_containers_port_is_bound_to_this_machine_alone(started: Started, server: Server) -> None:
    bound = docker("port", container(started), "5432").split()
    assert bound == [f"127.0.0.1:{server.dsn.port}"]


@pytest.mark.parametrize("kind", ["compose"], indirect=True)
@pytest.mark.docker
def test_a_projects_own_service_is_started_with_its_user_and_its_database(server: Server) -> None:
    assert (server.dsn.user, server.dsn.dbname) == ("issuers", "issuers")


@pytest.mark.parametrize("kind", ["compose"], indirect=True)
@pytest.mark.docker
def test_a_projects_own_password_is_replaced(server: Server) -> None:
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(replace(server.dsn, password=Secret("issuers")).conninfo())


def container(started: Started) -> str:
    label = f"label=org.pytest-dbmigrate.run={started.run.id}"
    (found,) = docker("ps", "--quiet", "--filter", label).split()
    return found


def inside(started: Started, *command: str) -> str:
    return docker("exec", container(started), *command).strip()


@pytest.mark.docker
def test_a_container_that_ends_is_explained_with_the_end_of_its_log(
    new_run: Run, tmp_path: Path
) -> None:
    file = tmp_path / "compose.yaml"
    file.write_text(
        "services: {db: {image: '${POSTGRES_IMAGE}', command: [postgres, -c, nosuch=1]}}"
    )
    settings = resolve(tmp_path, {"server": "docker", "compose_file": str(file)}, {}, {})
    with pytest.raises(ServerError) as raised:
        startup.server(settings, new_run)
    assert raised.value.what == "the docker server does not accept queries"
    assert 'unrecognized configuration parameter "nosuch"' in raised.value.log


@pytest.mark.docker
def test_a_container_that_cannot_be_made_is_explained_with_what_compose_said(
    new_run: Run, tmp_path: Path
) -> None:
    file = tmp_path / "compose.yaml"
    file.write_text("services: {db: {image: '${POSTGRES_IMAGE}', entrypoint: [/no/such/program]}}")
    settings = resolve(tmp_path, {"server": "docker", "compose_file": str(file)}, {}, {})
    with pytest.raises(ServerError) as raised:
        startup.server(settings, new_run)
    assert raised.value.what == "Docker Compose could not start the server"
    assert "/no/such/program" in str(raised.value)


def test_a_start_that_failed_is_not_tried_again(new_run: Run, tmp_path: Path) -> None:
    settings = resolve(tmp_path, {"server": "embedded", "pg_bin": str(tmp_path)}, {}, {})
    said = []
    for run in (new_run, Run.join(str(new_run.folder))):
        with pytest.raises(ServerError) as raised:
            startup.server(settings, run)
        said.append(str(raised.value))
    assert said[0] == said[1]
    assert said[0].splitlines()[0] == f"{tmp_path} has no programs of PostgreSQL 15 or newer"
    choosing, starting = new_run.journal.read()[0]
    assert (choosing, starting) == (ChoosingServer(), StartingServer("embedded"))
