"""What the migration child tells its parent, one JSON line each."""

from __future__ import annotations

import json
from typing import IO, Any, Literal, TypedDict, cast


class Job(TypedDict):
    """What the child is to do.

    `environ` is added to its environment; `dsn` is the database to migrate, `events` the
    one with the history; `build` names the attempt in it. `root` is the project's folder if
    the build may be resumed later, and `configured` what env.py told Alembic before, if it is.
    """

    environ: dict[str, str]
    dsn: dict[str, Any]
    events: dict[str, Any]
    run: str
    build: str
    root: str
    configured: dict[str, Any] | None
    source: dict[str, Any]
    target: str
    check: bool


class Message(TypedDict, total=False):
    """One line from the child. Which keys it has depends on `type`.

    plan: total; started: revision, doc; done: revision, seconds;
    result: heads, differences, unchecked, manifest; scripts: scripts; error: error.
    """

    type: Literal["plan", "started", "done", "result", "scripts", "error"]
    total: int
    revision: str
    doc: str
    seconds: float
    heads: list[str]
    differences: list[dict[str, Any]]
    unchecked: str
    manifest: dict[str, Any]
    scripts: list[dict[str, str]]
    error: dict[str, Any]


def send(stream: IO[str], message: Message) -> None:
    """Write one message and flush it."""
    stream.write(json.dumps(message) + "\n")
    stream.flush()


def read(line: str) -> Message:
    """Return the message on a line."""
    return cast("Message", json.loads(line))
