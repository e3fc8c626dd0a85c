"""Messages of the migration child: each is the same value on both sides of the pipe."""

from __future__ import annotations

import io
import json

import pytest

from pytest_dbmigrate.addresses.dsn import Dsn, Secret
from pytest_dbmigrate.migrations import messages
from pytest_dbmigrate.migrations.env_configuration import EnvConfiguration, TablesMade
from pytest_dbmigrate.migrations.environments import Environment
from pytest_dbmigrate.migrations.fingerprint import Manifest
from pytest_dbmigrate.migrations.messages import (
    AlembicOptions,
    Answer,
    CompareRequest,
    Comparison,
    Done,
    Failed,
    Job,
    Planned,
    Prepared,
    ProgressMessage,
    Request,
    Result,
    Script,
    Scripts,
    ScriptsRequest,
    Started,
    Tables,
)

DSN = Dsn("127.0.0.1", 5433, "ann", Secret("s3/cret%"), "shop", (("sslmode", "require"),))
ENVIRONMENT = Environment("/p/alembic.ini", "", "/p", section="shop")
TABLES = Tables(["public.item"], ["public.item"], ["public.alembic_version"], "/p/migrations")
CONFIGURED = EnvConfiguration(
    "alembic_version",
    None,
    [[["ix", "ix_%(column_0_label)s"]]],
    {"/p/migrations/env.py": ["a", "b"]},
    TablesMade(["public.item"], ["public.other"]),
)
FIRST_JOB = Job(ENVIRONMENT, "", DSN, DSN, "0a1b2c3d", "1", ("head",), AlembicOptions(), check=True)
FULL_JOB = Job(
    ENVIRONMENT,
    "billing",
    DSN,
    DSN.at("history"),
    run="0a1b2c3d",
    build="1",
    target=("a@head", "b@head"),
    options=AlembicOptions("/p", ("tenant=a",), (("connection", "{connection}"),), "asyncpg"),
    check=False,
    environ={"ANSWER": "42"},
    is_kept=True,
    is_checked_later=True,
    configured=CONFIGURED,
    before=("select 1",),
    helpers=("select 1",),
    within="app:context",
    others=(TABLES,),
    address_files=("/p/.env",),
)
REQUESTS = [
    FIRST_JOB,
    FULL_JOB,
    ScriptsRequest(ENVIRONMENT, "/p", "app:context"),
    CompareRequest((TABLES, TABLES)),
]
COMPARISON = Comparison([{"kind": "add_table", "table": "item"}], "", 0.5)
MESSAGES = [
    Planned(2),
    Prepared("roles.sql", 0.5),
    Started("0001", "Add items."),
    Done("0001", 0.5),
    COMPARISON,
    Result(("0001",), Comparison(unchecked="dbmigrate_check is off")),
    Result(
        ("0001", "0002"), COMPARISON, TABLES, Manifest({"/p/x.py": ["a", ""]}, {"/p": "b"}), "x"
    ),
    Scripts((Script("0001", "Add items."),)),
    Failed({"kind": "MigrationError", "what": "it failed"}),
]


@pytest.mark.parametrize("request_", REQUESTS, ids=lambda it: type(it).__name__)
def test_a_request_arrives_as_it_was_sent(request_: Request) -> None:
    assert messages.read_request(messages.line(request_)) == request_


@pytest.mark.parametrize("message", MESSAGES, ids=lambda it: type(it).__name__)
def test_a_message_arrives_as_it_was_sent(message: ProgressMessage | Answer) -> None:
    stream = io.StringIO()
    messages.send(stream, message)
    assert messages.read(stream.getvalue()) == message


def test_the_password_of_a_job_arrives_hidden_in_its_repr() -> None:
    job = messages.read_request(messages.line(FULL_JOB))
    assert "s3/cret" not in repr(job)


@pytest.mark.parametrize("base", [Request, ProgressMessage, Answer])
def test_every_kind_of_message_is_tried_here(
    base: type[Request | ProgressMessage | Answer],
) -> None:
    assert {type(it) for it in (*REQUESTS, *MESSAGES) if isinstance(it, base)} == {
        *base.__subclasses__()
    }


def test_a_message_is_one_line_that_names_its_kind() -> None:
    text = messages.line(Planned(2))
    assert json.loads(text) == {"kind": "plan", "total": 2}
    assert text.index("\n") == len(text) - 1
