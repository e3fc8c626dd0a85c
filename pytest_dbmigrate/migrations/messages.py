"""What the migration child tells its parent, one JSON line each."""

from __future__ import annotations

import json
from typing import IO, Any, Literal, TypedDict, cast


class Job(TypedDict):
    """What the child is to do.

    `environ` is added to its environment; `dsn` is the database to migrate, `events` the
    one with the history; `build` names the attempt in it, and `environment` its part there.
    `root` is the project's folder; with `is_kept` the build may be resumed later, and
    `configured` is what env.py told Alembic before, if it is. `before` is what comes ahead of
    the first revision. `others` is what the environments before this one have said of their
    tables; None if there is just one environment. With `is_checked_later` the child stays, and
    is told to compare once all environments are applied. `handed` are files with the address
    in them: no sources of the schema.
    """

    environ: dict[str, str]
    dsn: dict[str, Any]
    events: dict[str, Any]
    run: str
    build: str
    environment: str
    root: str
    is_kept: bool
    configured: dict[str, Any] | None
    source: dict[str, Any]
    target: tuple[str, ...]
    x: tuple[str, ...]
    attributes: list[tuple[str, str]]
    driver: str
    before: tuple[str, ...]
    helpers: tuple[str, ...]
    within: str
    others: list[Tables] | None
    check: bool
    is_checked_later: bool
    handed: list[str]


class Tables(TypedDict):
    """Which tables an environment has to do with, each as `schema.table`.

    Those of its models, those that its revisions have made, and its version tables, which
    know the revisions of the folder `scripts`.
    """

    models: list[str]
    made: list[str]
    versions: list[str]
    scripts: str


class Message(TypedDict, total=False):
    """One line from the child. Which keys it has depends on `type`.

    plan: total; started: revision, doc; prepared, done: revision, seconds;
    result: heads, differences, unchecked, manifest, tables, and from `ChildProcess.migrate` output,
    what was printed meanwhile; compared: differences, unchecked; scripts: scripts; error: error.
    """

    type: Literal["plan", "prepared", "started", "done", "result", "compared", "scripts", "error"]
    total: int
    revision: str
    doc: str
    seconds: float
    heads: list[str]
    differences: list[dict[str, Any]]
    unchecked: str
    manifest: dict[str, Any]
    tables: Tables
    output: str
    scripts: list[dict[str, str]]
    error: dict[str, Any]


def send(stream: IO[str], message: Message) -> None:
    """Write one message and flush it."""
    stream.write(json.dumps(message) + "\n")
    stream.flush()


def read(line: str) -> Message:
    """Return the message on a line."""
    return cast("Message", json.loads(line))
