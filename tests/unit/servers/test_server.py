"""What a server is, and how one is waited for."""

from __future__ import annotations

import json
import time
from dataclasses import replace

import pytest

from pytest_dbmigrate.addresses.dsn import Dsn, Secret
from pytest_dbmigrate.errors import ServerError
from pytest_dbmigrate.servers.embedded import port
from pytest_dbmigrate.servers.readiness import wait_until_ready
from pytest_dbmigrate.servers.server import Server

DSN = Dsn("127.0.0.1", 5433, "ann", Secret("s3cret"), "shop")
NEVER = 600.0  # seconds: the test would be noticed


def refusal(server: Server, seconds: float, *, is_alive: bool = True) -> list[str]:
    with pytest.raises(ServerError) as refused:
        wait_until_ready(server, seconds, lambda: is_alive, lambda: "LOG:  one\nLOG:  two\n")
    return str(refused.value).splitlines()


@pytest.mark.parametrize(
    ("server", "said"),
    [
        (Server("docker", DSN, 170005), "PostgreSQL 17.5 (docker)"),
        (Server("embedded", DSN, 180001), "PostgreSQL 18.1 (embedded)"),
        (Server("url", DSN, 150014, is_ours=False), "PostgreSQL 15.14 (url at 127.0.0.1:5433)"),
    ],
)
def test_a_server_says_what_it_is(server: Server, said: str) -> None:
    assert str(server) == said


def test_a_server_survives_a_trip_through_json() -> None:
    server = Server("embedded", DSN, 180001, durable=False, reason="there is no docker command")
    assert Server.from_record(json.loads(json.dumps(server.as_record()))) == server


def test_a_server_that_answers_is_returned_with_its_version_and_durability(server: Server) -> None:
    unknown = replace(server, version=0, durable=True)
    assert wait_until_ready(unknown, 10, lambda: True, lambda: "") == server


def test_a_server_that_does_not_answer_in_time_is_explained_with_its_log() -> None:
    dsn, holder = port.reserve()
    with holder:
        first, tried, *_, todo, title, one, two = refusal(Server("embedded", dsn), 0.05)
    assert (first, tried, todo, title, one, two) == (
        "the embedded server does not accept queries",
        f"  tried: connecting to {dsn} for up to 0.05 s",
        "  to do: see the server's log; --db-timeout gives it more time",
        "  the end of the server's log:",
        "    LOG:  one",
        "    LOG:  two",
    )


def test_a_server_that_has_died_is_not_waited_for() -> None:
    dsn, holder = port.reserve()
    with holder:
        began = time.monotonic()
        first, *_ = refusal(Server("embedded", dsn), NEVER, is_alive=False)
    assert first == "the embedded server does not accept queries"
    assert time.monotonic() - began < NEVER / 10


@pytest.mark.parametrize(
    "wrong",
    [
        {"password": Secret("wrong")},
        {"dbname": "no_such_database"},
    ],
    ids=lambda wrong: next(iter(wrong)),
)
def test_a_refusal_that_waiting_does_not_mend_is_final(
    wrong: dict[str, str], server: Server
) -> None:
    began = time.monotonic()
    first, *_, todo, _, _, _ = refusal(
        Server("url", replace(server.dsn, **wrong), is_ours=False),  # type: ignore[arg-type]
        NEVER,
    )
    assert (first, todo) == (
        "the url server does not accept queries",
        "  to do: check the address, the role and its password in --db-server",
    )
    assert time.monotonic() - began < NEVER / 10


def test_an_error_about_a_server_does_not_repeat_its_password(server: Server) -> None:
    said = "\n".join(
        refusal(Server("url", replace(server.dsn, dbname="none"), is_ours=False), NEVER)
    )
    assert server.dsn.password not in said


def test_a_reserved_port_is_given_to_nobody_else() -> None:
    reserved = [port.reserve() for _ in range(50)]
    assert len({dsn.port for dsn, _ in reserved}) == 50
    assert len({dsn.password for dsn, _ in reserved}) == 50
    for _, holder in reserved:
        holder.close()
