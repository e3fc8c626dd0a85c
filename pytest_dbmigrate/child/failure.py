"""Failures in the migration child: an exception explained as one of our errors.

Understands the exceptions of psycopg 3 and 2, asyncpg and pg8000, with or without SQLAlchemy
around them.
"""

from __future__ import annotations

import re
import traceback
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pytest_dbmigrate.child.env_run import HAND_OVER, EnvRun
from pytest_dbmigrate.child.progress import Progress
from pytest_dbmigrate.errors import MigrationError, RevisionError, ScriptError


@dataclass(frozen=True)
class ServerMessage:
    """An error of the server. `position` counts characters from 1; 0 if there is none."""

    message: str
    statement: str = ""
    position: int = 0
    detail: str = ""
    hint: str = ""


def of_revision(
    error: BaseException, progress: Progress, applied: tuple[str, ...]
) -> RevisionError:
    """Return the error of the revision that was running; `applied` are the heads left."""
    assert progress.current is not None
    revision, file = progress.current.revision, progress.current.file
    server = _server_message(error)
    return RevisionError(
        f"revision {revision} failed",
        todo=_advice(server.message, "fix the revision and run the tests again"),
        revision=revision,
        file=_relative_path(file),
        line=_line_in(error, file),
        statement=server.statement,
        position=server.position,
        message=server.message,
        detail=server.detail,
        hint=server.hint,
        applied=applied,
        pending=progress.total - len(progress.done),
    )


def of_step(error: BaseException, label: str, file: str) -> ScriptError:
    """Return the error of a step of `dbmigrate_before`."""
    server = _server_message(error)
    is_sql = file.endswith(".sql") and server.position
    line = server.statement.count("\n", 0, server.position) + 1 if is_sql else _line_in(error, file)
    return ScriptError(
        f"{label}, of dbmigrate_before, failed",
        todo=_advice(server.message, "fix it and run the tests again"),
        file=_relative_path(file)
        if line
        else _first_party_frame(error) or (_relative_path(file) if file else ""),
        line=line,
        statement=server.statement,
        position=server.position,
        message=server.message,
        detail=server.detail,
        hint=server.hint,
    )


def of_environment(error: BaseException, env: EnvRun | None) -> MigrationError:
    """Return the error of env.py, outside of any revision; without it, of reading the scripts."""
    server = _server_message(error)
    where = _first_party_frame(error)
    could_connect = env is None or env.is_verified
    name = type(error).__name__
    message = server.message if server.message.startswith(name) else f"{name}: {server.message}"
    return MigrationError(
        "the migrations could not be run: env.py failed"
        if env
        else "the migration scripts could not be read",
        tried=(*((where,) if where else ()), *message.splitlines()),
        todo=("fix what it reports, or see `alembic upgrade head`",)
        if could_connect
        else ("fix what it reports; if it is about the address of the database:", *HAND_OVER),
    )


def of_lost_server(error: BaseException, progress: Progress) -> MigrationError:
    """Return the error of a revision during which the server went away."""
    assert progress.current is not None
    return MigrationError(
        f"the server went away while revision {progress.current.revision} ran",
        tried=tuple(_server_message(error).message.splitlines()),
        todo=("see the server's log: it may have been killed, or have run out of memory",),
    )


def of_comparison(error: BaseException) -> MigrationError:
    """Return the error of comparing the migrated schema with the models."""
    return replace(
        of_environment(error, None),
        what="the migrated schema could not be compared with the models",
        todo=("fix what it reports, or see `alembic check`", "to continue for now: --db-check=off"),
    )


def _server_message(error: BaseException) -> ServerMessage:
    for link in _chain(error):
        if hasattr(link, "diag") and link.diag is not None:  # psycopg
            diag = link.diag
            return ServerMessage(
                diag.message_primary or str(link).strip(),
                _statement(error),
                _position(error, diag.statement_position),
                diag.message_detail or "",
                diag.message_hint or "",
            )
        if hasattr(link, "sqlstate") and hasattr(link, "position"):  # asyncpg
            return ServerMessage(
                link.message or str(link),
                _statement(error),
                _position(error, link.position),
                link.detail or "",
                link.hint or "",
            )
        if link.args and isinstance(link.args[0], dict) and "M" in link.args[0]:  # pg8000
            fields = link.args[0]
            return ServerMessage(
                fields["M"],
                _statement(error),
                _position(error, fields.get("P")),
                fields.get("D", ""),
                fields.get("H", ""),
            )
    text = str(getattr(error, "orig", None) or error).strip()
    name = type(error).__name__
    return ServerMessage(text if _statement(error) else f"{name}: {text}", _statement(error))


def _chain(error: BaseException | None) -> Iterator[Any]:
    """Yield the exception, what SQLAlchemy wrapped in it, and their causes."""
    seen: list[BaseException] = []
    waiting = [error]
    while waiting:
        link = waiting.pop(0)
        if link is None or link in seen:
            continue
        seen.append(link)
        yield link
        waiting += [getattr(link, "orig", None), link.__cause__]


def _statement(error: BaseException) -> str:
    for link in _chain(error):
        statement = getattr(link, "statement", None)
        if isinstance(statement, str):
            return statement
    return ""


def _position(error: BaseException, given: Any) -> int:
    """Return the position, or 0 where the driver has rewritten the statement's parameters."""
    has_parameters = any(getattr(link, "params", None) for link in _chain(error))
    return int(given) if given and not has_parameters else 0


def _line_in(error: BaseException, file: str) -> int:
    lines = [
        frame.lineno or 0
        for frame in traceback.extract_tb(error.__traceback__)
        if frame.filename == file
    ]
    return lines[-1] if lines else 0


def _first_party_frame(error: BaseException) -> str:
    """Return `file:line` of the last frame outside of installed packages."""
    if isinstance(error, SyntaxError) and error.filename:
        return f"{_relative_path(error.filename)}:{error.lineno}"
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        parts = Path(frame.filename).parts
        if "site-packages" in parts or "pytest_dbmigrate" in parts or frame.filename[0] == "<":
            continue
        if frame.filename.startswith(str(Path(traceback.__file__).parent)):
            continue  # the standard library
        return f"{_relative_path(frame.filename)}:{frame.lineno}"
    return ""


def _relative_path(file: str) -> str:
    """Return the path relative to the working folder where it lies below it."""
    try:
        return str(Path(file).relative_to(Path.cwd()))
    except (ValueError, OSError):  # elsewhere, or a script has removed the working folder
        return file


def _advice(message: str, usual: str) -> tuple[str, ...]:
    if "extension" in message and ("not available" in message or "control file" in message):
        return (
            "this server does not ship the extension. The official postgres images ship all",
            "of PostgreSQL's own (uuid-ossp, pgcrypto); postgis/postgis ships PostGIS:",
            "use --db-server=docker, with --db-image where needed, or the URL of such a server",
        )
    role = re.fullmatch(r'role "(.+)" already exists', message)
    if role:
        return _role_advice(role[1])
    return (usual,)


def _role_advice(role: str) -> tuple[str, ...]:
    literal = role.replace("'", "''")
    name = role if re.fullmatch("[a-z_][a-z0-9_]*", role) else '"' + role.replace('"', '""') + '"'
    return (
        "a role belongs to the whole server, not to a database: an earlier run",
        "has made it there, or another revision. Let the revision ask first:",
        "  DO $$ BEGIN",
        f"    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = '{literal}')",
        f"    THEN CREATE ROLE {name};",
        "    END IF;",
        "  END $$",
    )
