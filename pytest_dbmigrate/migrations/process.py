"""Migration child: started, followed, and its death explained, by its parent."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from pytest_dbmigrate import clock
from pytest_dbmigrate.addresses.dsn import redact
from pytest_dbmigrate.errors import MigrationError, from_record
from pytest_dbmigrate.migrations.environments import Environment
from pytest_dbmigrate.migrations.messages import (
    Answer,
    CompareRequest,
    Comparison,
    Failed,
    Job,
    ProgressMessage,
    Request,
    Result,
    Script,
    Scripts,
    ScriptsRequest,
    Started,
    Tables,
    line,
    read,
)

# Before anything is imported, the working folder goes off the import path, where both `-c` and
# `-m` put it: a `random.py` of the project must not replace the standard library's. Then comes
# the rest of our own path, on which this package may have been found.
_BOOT = """
import sys
sys.path[:] = [entry for entry in sys.path if entry]
import json
path = json.loads(sys.stdin.readline())
sys.path += [entry for entry in path if entry not in sys.path]
from pytest_dbmigrate.child.boot import boot
boot(path, int(sys.argv[1]))
"""
A = TypeVar("A", Result, Comparison, Scripts)
_OUTPUT_KEPT = 20_000  # characters
_LAST_SECONDS = 1.0  # seconds a child that has done its work may take to end


class ChildProcess:
    """The process that runs the migrations, started ahead of its job.

    It imports Alembic and SQLAlchemy while the server is still starting, and waits. It
    has a session of its own: Ctrl-C reaches us, and we end it.
    """

    def __init__(self, folder: str) -> None:
        """Start it in `folder`, where relative paths of the project's files begin."""
        self._password = ""
        self._output = tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace")  # noqa: SIM115
        readable, writable = os.pipe()
        self._messages = open(readable, encoding="utf-8")  # noqa: SIM115  # closed by close()
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-c", _BOOT, str(writable)],
                stdin=subprocess.PIPE,
                stdout=self._output,
                stderr=self._output,
                cwd=folder,
                pass_fds=(writable,),
                start_new_session=True,
                text=True,
            )
        finally:
            os.close(writable)
        self._write(json.dumps(search_path()) + "\n")

    def migrate(
        self, job: Job, notify: Callable[[ProgressMessage], None], meanwhile: Callable[[], None]
    ) -> Result:
        """Give the child its job and return its result, with what was printed.

        Each earlier message goes to `notify`; `meanwhile` is called once while the child
        works. Raises `MigrationError`: the child's own, or one that says during which
        revision it died.
        """
        self._password = job.dsn.password
        self._send(job)
        meanwhile()
        result = self._answer(Result, notify, stays=job.is_checked_later)
        return replace(result, output=self._printed())

    def compare(self, others: Sequence[Tables]) -> Comparison:
        """Return the comparison of a child that has migrated and stayed.

        `others` are the tables of the other environments. Raises `MigrationError`.
        """
        self._send(CompareRequest(tuple(others)))
        return self._answer(Comparison, _ignore, stays=False)

    def scripts(self, environment: Environment, root: str, within: str) -> tuple[Script, ...]:
        """Return the revisions of the project's scripts, the first ones first.

        env.py is not run. Raises `MigrationError` if the scripts cannot be read.
        """
        self._send(ScriptsRequest(environment, root, within))
        return self._answer(Scripts, _ignore, stays=False).scripts

    def _answer(
        self, kind: type[A], notify: Callable[[ProgressMessage], None], *, stays: bool
    ) -> A:
        """Return the child's answer, once it comes; `stays` if the child waits for more."""
        running = ""
        for text in self._messages:
            message = read(text)
            if isinstance(message, Answer):
                break
            notify(message)
            running = message.revision if isinstance(message, Started) else running
        else:
            raise _death(self._status(), running, self._printed())
        if isinstance(message, Failed):
            self._wait_for_end()
            error = from_record(_redact_all(message.error, self._password))
            if isinstance(error, MigrationError):
                error = replace(error, output=self._printed())
            raise error
        if not stays:
            self._wait_for_end()
        assert isinstance(message, kind)
        return message

    def close(self) -> None:
        """End the child and what it has started, whatever they are doing."""
        if self._process.returncode is None:  # else its process id may be in use again
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.close()
        self._messages.close()
        self._output.close()

    def _status(self) -> int:
        """Return the exit status, but leave the child unreaped until `close` has used its id."""
        ended = os.waitid(os.P_PID, self._process.pid, os.WEXITED | os.WNOWAIT)
        assert ended is not None
        return ended.si_status if ended.si_code == os.CLD_EXITED else -ended.si_status

    def _wait_for_end(self) -> None:
        """Let the child end by itself, but leave it unreaped until `close` has used its id."""
        deadline = clock.now() + _LAST_SECONDS
        how = os.WEXITED | os.WNOWAIT | os.WNOHANG
        while os.waitid(os.P_PID, self._process.pid, how) is None and clock.now() < deadline:
            clock.sleep(0.002)

    def _send(self, request: Request) -> None:
        self._write(line(request))

    def _write(self, text: str) -> None:
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # its death is noticed when the answer is read
            self._process.stdin.write(text)
            self._process.stdin.flush()

    def _printed(self) -> str:
        """Return what the child has printed."""
        self._output.seek(0)
        # redacted before it is cut: a part of a password would not be recognized
        return _last_lines(redact(self._output.read(), self._password))


def _ignore(_message: ProgressMessage) -> None:
    """Report nothing: no revision is applied."""


def _last_lines(text: str) -> str:
    """Return a text, or only its last lines if it is very long."""
    if len(text) <= _OUTPUT_KEPT:
        return text
    end = text[-_OUTPUT_KEPT:]
    return f"...\n{end[end.find(chr(10)) + 1 :]}"


def _redact_all(value: Any, password: str) -> Any:
    """Return JSON data with the password taken out of every string in it."""
    if isinstance(value, dict):
        return {key: _redact_all(item, password) for key, item in value.items()}
    if isinstance(value, list):
        return [_redact_all(item, password) for item in value]
    return redact(value, password) if isinstance(value, str) else value


def search_path() -> list[str]:
    """Return this process's import path, made absolute, for the child."""
    return list(dict.fromkeys(str(Path(entry).resolve()) for entry in sys.path))


def _death(status: int, revision: str, output: str) -> MigrationError:
    how = f"was killed by {signal.Signals(-status).name}" if status < 0 else f"ended with {status}"
    where = f"while revision {revision} ran" if revision else "before the first revision"
    return MigrationError(
        f"the process that runs the migrations {how} {where}",
        todo=("see what it printed: it may be out of memory, or a library may have crashed",),
        output=output,
    )
