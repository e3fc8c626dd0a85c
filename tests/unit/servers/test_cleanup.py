"""Cleanup command: it runs anywhere, with what it is told, and is told no password."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from pytest_dbmigrate.databases import control_tables, names
from pytest_dbmigrate.databases.connection import connect
from pytest_dbmigrate.servers import cleanup
from pytest_dbmigrate.servers.address import Address
from pytest_dbmigrate.servers.server import Server

PACKAGE = Path(cleanup.__file__).parents[2]


@pytest.fixture
def owner(tmp_path: Path, run_id: str, server: Server) -> Path:
    """The folder of an owner that has a control database on the server."""
    folder = tmp_path / run_id
    folder.mkdir()
    Address.of(server).write(folder)
    control_tables.create(server.dsn, run_id)
    return folder


def run(command: list[str]) -> tuple[int, str]:
    done = subprocess.run(command, cwd="/", capture_output=True, text=True, check=False)
    return done.returncode, done.stderr


def has_control(server: Server, run_id: str) -> bool:
    with connect(server.dsn) as connection:
        found = connection.execute(
            "select from pg_database where datname = %s", (names.control(run_id),)
        )
        return found.fetchone() is not None


def test_it_drops_what_the_owner_has_on_the_server(
    owner: Path, run_id: str, server: Server
) -> None:
    assert has_control(server, run_id)
    assert run(cleanup.command(owner, run_id)) == (0, "")
    assert not has_control(server, run_id)


def test_it_imports_from_where_the_process_did_that_wrote_it_down(
    owner: Path, run_id: str, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(PACKAGE)
    others = [entry for entry in sys.path if Path(entry).resolve() != PACKAGE]
    monkeypatch.setattr(sys, "path", ["", *others])  # the package is in the working folder only
    python, *arguments = cleanup.command(owner, run_id)
    assert f"--path={PACKAGE}" in arguments
    # alone, this interpreter finds the standard library and nothing else
    assert run([python, "-I", "-S", *arguments]) == (0, "")
    assert not has_control(server, run_id)


def test_a_folder_to_import_from_hides_nothing_that_the_interpreter_finds(
    owner: Path, run_id: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "psycopg.py").write_text("raise SystemExit('the wrong one')")
    (tmp_path / "json.py").write_text("raise SystemExit('the wrong one')")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert run(cleanup.command(owner, run_id)) == (0, "")


def test_no_module_beside_it_hides_one_of_the_standard_library() -> None:
    beside = {path.stem for path in Path(cleanup.__file__).parent.iterdir()}
    assert beside & sys.stdlib_module_names == set()


def test_its_arguments_have_no_password(owner: Path, run_id: str, server: Server) -> None:
    words = cleanup.command(owner, run_id, may_be_gone=True, unless_used=True)
    assert server.dsn.password not in " ".join(words)
    assert "--may-be-gone" in words
    assert "--unless-used" in words


def test_a_server_that_may_be_gone_and_is_leaves_nothing_to_do(
    owner: Path, run_id: str, server: Server
) -> None:
    Address(server.dsn.at("no_such_database"), server.kind).write(owner)
    assert run(cleanup.command(owner, run_id, may_be_gone=True)) == (0, "")
    status, said = run(cleanup.command(owner, run_id))
    assert status == 1
    assert "no_such_database" in said


def test_an_owner_that_never_had_a_server_leaves_nothing_to_do(tmp_path: Path) -> None:
    assert run(cleanup.command(tmp_path, "0a1b2c3d")) == (0, "")


def test_arguments_that_are_missing_are_named() -> None:
    status, said = run([sys.executable, cleanup.__file__])
    assert status == 2
    assert said.splitlines()[-1].endswith("the following arguments are required: folder, home")
