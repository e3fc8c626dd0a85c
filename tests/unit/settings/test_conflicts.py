"""Settings that do not go together are refused in words that name both."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.unit.resolving import REMOTE, refusal, resolved, with_url


def test_a_suite_cannot_be_selected_where_suites_are_off(tmp_path: Path) -> None:
    assert refusal(tmp_path, option={"suite": "unit"}, ini={"dbmigrate_suites_mode": "off"}) == [
        "--db-suite=unit selects a suite, and suites are off",
        "  tried: dbmigrate_suites_mode=off, from the ini",
        "  to do: leave out one of the two",
    ]


def test_tests_cannot_be_told_by_fixtures_that_they_need_not_name(tmp_path: Path) -> None:
    ini: dict[str, object] = {"dbmigrate_suites": "auto", "dbmigrate_shared": "true"}
    assert refusal(tmp_path, ini=ini) == [
        (
            "dbmigrate_suites = auto tells tests by the fixtures they name, and with "
            "dbmigrate_shared a test has its database without naming one"
        ),
        "  tried: dbmigrate_shared, from the ini",
        "  to do: say which tests are a suite: NAME: FOLDER ..., or NAME: -m EXPRESSION",
    ]


def test_an_environment_named_twice_is_refused(tmp_path: Path) -> None:
    (tmp_path / "alembic.ini").touch()
    assert refusal(tmp_path, ini={"dbmigrate_alembic": ["alembic.ini", "./alembic.ini"]}) == [
        f"dbmigrate_alembic names {tmp_path}/alembic.ini twice",
        "  to do: keep one of the lines",
    ]


def test_targets_and_environments_have_to_match(tmp_path: Path) -> None:
    assert refusal(tmp_path, ini={"dbmigrate_target": ["head", "heads"]}) == [
        "dbmigrate_target has 2 lines for 1 environment",
        "  to do: give one line for all of them, or a line for each line of dbmigrate_alembic",
    ]


def test_a_variable_named_twice_is_refused(tmp_path: Path) -> None:
    assert refusal(tmp_path, ini={"dbmigrate_env": ["A={host}", "B", "A"]}) == [
        "dbmigrate_env names A twice",
        "  to do: keep one of the lines",
    ]


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        (
            ["CONFIG=a.tmpl", "CONFIG=b.tmpl"],
            ["dbmigrate_env_file names CONFIG twice", "  to do: keep one of the lines"],
        ),
        (
            ["./config=a.tmpl", "other.yaml=b.tmpl", "./sub/../config=b.tmpl"],
            ["dbmigrate_env_file names ./sub/../config twice", "  to do: keep one of the lines"],
        ),
        (
            ["DATABASE_URL=a.tmpl"],
            [
                "dbmigrate_env and dbmigrate_env_file both name DATABASE_URL",
                "  to do: let it hold the address, or the path of a file with it",
            ],
        ),
    ],
)
def test_a_name_has_one_file(lines: list[str], said: list[str], tmp_path: Path) -> None:
    for name in ("a.tmpl", "b.tmpl"):
        with_url(tmp_path / name)
    ini = {"dbmigrate_env": ["DATABASE_URL"], "dbmigrate_env_file": lines}
    assert refusal(tmp_path, ini=ini) == said


def test_a_service_without_its_compose_file_is_refused(tmp_path: Path) -> None:
    assert refusal(tmp_path, option={"compose_service": "db"}) == [
        "dbmigrate_compose_service=db needs a compose file",
        "  to do: set dbmigrate_compose_file as well, or neither",
    ]


def test_the_baseline_may_be_missing_if_the_run_writes_it(tmp_path: Path) -> None:
    options = {"baseline": "drift.txt", "accept_drift": "true"}
    assert resolved(tmp_path, options).baseline == str(tmp_path / "drift.txt")


@pytest.mark.parametrize("accepts", ["true", "false"])
def test_the_folder_of_the_baseline_must_exist(accepts: str, tmp_path: Path) -> None:
    path = tmp_path / "no/where.txt"
    said = {"environ": {"DBMIGRATE_BASELINE": "no/where.txt"}, "option": {"accept_drift": accepts}}
    assert refusal(tmp_path, **said) == [
        f"DBMIGRATE_BASELINE={path} cannot be used: there is no folder {path.parent}",
        "  to do: make the folder, or name another file",
    ]


@pytest.mark.parametrize("accepts", ["true", "false"])
def test_a_folder_is_no_baseline(accepts: str, tmp_path: Path) -> None:
    (tmp_path / "drift").mkdir()
    option = {"accept_drift": accepts}
    assert refusal(tmp_path, option=option, ini={"dbmigrate_baseline": "drift"}) == [
        f"dbmigrate_baseline={tmp_path / 'drift'} cannot be used: it is no file",
        "  to do: name another one",
    ]


def test_there_is_nothing_to_look_at_without_the_check(tmp_path: Path) -> None:
    settings = resolved(tmp_path, {"baseline": "no/where.txt", "check": "off"})
    assert settings.baseline == str(tmp_path / "no/where.txt")


@pytest.mark.parametrize(
    ("said", "what"),
    [
        ({"option": {"accept_drift": "true"}}, "--db-accept-drift needs a file to write to"),
        (
            {"environ": {"DBMIGRATE_ACCEPT_DRIFT": "1"}, "ini": {"dbmigrate_baseline": ""}},
            "DBMIGRATE_ACCEPT_DRIFT needs a file to write to",
        ),
    ],
)
def test_differences_are_accepted_in_a_file(
    said: dict[str, Any], what: str, tmp_path: Path
) -> None:
    assert refusal(tmp_path, **said) == [
        what,
        "  to do: name it: dbmigrate_baseline = FILE in the ini file, or --db-baseline=FILE",
    ]


def test_differences_that_are_not_looked_for_cannot_be_accepted(tmp_path: Path) -> None:
    said = {"option": {"accept_drift": "true", "baseline": "d"}, "ini": {"dbmigrate_check": "off"}}
    assert refusal(tmp_path, **said) == [
        "--db-accept-drift has nothing to accept with dbmigrate_check=off",
        "  to do: leave one of the two out",
    ]


def test_a_server_on_another_machine_is_refused(tmp_path: Path) -> None:
    assert refusal(tmp_path, environ={"DBMIGRATE_SERVER": REMOTE}) == [
        "the server at db.example.com is not on this machine",
        "  tried: postgresql://ann:***@db.example.com:5432/shop, from the environment",
        "  to do: name a server on this machine,",
        "         or say --db-allow-remote if databases may be created and dropped there",
    ]


def test_a_server_on_another_machine_is_taken_if_that_is_allowed(tmp_path: Path) -> None:
    settings = resolved(tmp_path, {"server": REMOTE, "allow_remote": "true"})
    assert settings.server.text == REMOTE
