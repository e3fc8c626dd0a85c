"""The parent's side of a migration: starts the child, follows it, explains its death."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from pytest_dbmigrate import clock
from pytest_dbmigrate.addresses.dsn import redact
from pytest_dbmigrate.errors import MigrationError, from_record
from pytest_dbmigrate.migrations.messages import Job, Message, Tables, read

# What this interpreter has comes first while we import: a `random.py` of the project must
# not stand for the standard library's. The imports make many objects and no garbage:
# collecting it meanwhile takes a fifth longer.
_BOOT = """
import sys
sys.path[:] = own = [entry for entry in sys.path if entry]
import gc, json
gc.disable()
full = json.loads(sys.stdin.readline())
sys.path[:] = own + [entry for entry in full if entry not in own]
from pytest_dbmigrate.child.main import main
sys.path[:] = full
gc.freeze()
gc.enable()
main(int(sys.argv[1]))
"""
_OUTPUT_KEPT = 20_000  # characters
_FAREWELL = 1.0  # seconds a child that has done its work may take to end


class ChildProcess:
    """The process that runs the migrations, started ahead of its job.

    It imports Alembic and SQLAlchemy while the server is still starting, and waits. It
    has a session of its own: Ctrl-C reaches us, and we end it.
    """

    def __init__(self, folder: str) -> None:
        """Start it in `folder`, where relative paths of the project's files begin."""
        self._job: Job | None = None
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
        self._tell(search_path())

    def migrate(
        self, job: Job, notify: Callable[[Message], None], meanwhile: Callable[[], None]
    ) -> Message:
        """Give the child its job and return its `result` message, with what was printed.

        Each earlier message goes to `notify`; `meanwhile` is called once while the child
        works. Raises `MigrationError`: the child's own, or one that says during which
        revision it died.
        """
        self._job = job
        self._tell(job)
        meanwhile()
        result = self._answer(notify, stays=job["is_checked_later"])
        return {**result, "output": self._said()}

    def compare(self, others: list[Tables], notify: Callable[[Message], None]) -> Message:
        """Return the `compared` message of a child that has migrated and stayed.

        `others` is what the other environments have said of their tables. Raises
        `MigrationError`.
        """
        self._tell(others)
        return self._answer(notify, stays=False)

    def scripts(self, source: dict[str, Any], root: str, within: str) -> list[dict[str, str]]:
        """Return the revisions and docs of the project's scripts, the first ones first.

        env.py is not run. Raises `MigrationError` if the scripts cannot be read.
        """
        self._tell({"look": True, "source": source, "root": root, "within": within})
        return self._answer(lambda _: None, stays=False)["scripts"]

    def _answer(self, notify: Callable[[Message], None], *, stays: bool) -> Message:
        last: Message | None = None
        running = ""
        for line in self._messages:
            last = read(line)
            if last["type"] in ("result", "compared", "scripts", "error"):
                break
            notify(last)
            running = last.get("revision", "") if last["type"] == "started" else running
        else:
            raise _died(self._status(), running, self._said())
        if last["type"] == "error":
            self._wait_for_farewell()
            error = from_record(_redacted(last["error"], self._password))
            if isinstance(error, MigrationError):
                error = replace(error, output=self._said())
            raise error
        if not stays:
            self._wait_for_farewell()
        return last

    @property
    def _password(self) -> str:
        return str(self._job["dsn"]["password"]) if self._job else ""

    def close(self) -> None:
        """End the child and what it has started, whatever they are doing."""
        if self._process.returncode is None:  # else its number may be another's by now
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.close()
        self._messages.close()
        self._output.close()

    def _status(self) -> int:
        """Return the status the child ends with, but keep its number until `close` has used it."""
        ended = os.waitid(os.P_PID, self._process.pid, os.WEXITED | os.WNOWAIT)
        assert ended is not None
        return ended.si_status if ended.si_code == os.CLD_EXITED else -ended.si_status

    def _wait_for_farewell(self) -> None:
        """Let the child end by itself, but keep its number until `close` has used it."""
        deadline = clock.now() + _FAREWELL
        how = os.WEXITED | os.WNOWAIT | os.WNOHANG
        while os.waitid(os.P_PID, self._process.pid, how) is None and clock.now() < deadline:
            clock.sleep(0.002)

    def _tell(self, what: object) -> None:
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # its death is noticed where it is read
            self._process.stdin.write(json.dumps(what) + "\n")
            self._process.stdin.flush()

    def _said(self) -> str:
        self._output.seek(0)
        # redacted before it is cut: half a password would not be known for one
        return _end_of(redact(self._output.read(), self._password))


def _end_of(text: str) -> str:
    """Return a text, or only its last lines if it is very long."""
    if len(text) <= _OUTPUT_KEPT:
        return text
    end = text[-_OUTPUT_KEPT:]
    return f"...\n{end[end.find(chr(10)) + 1 :]}"


def _redacted(value: Any, password: str) -> Any:
    """Return JSON data with the password taken out of every string in it."""
    if isinstance(value, dict):
        return {key: _redacted(item, password) for key, item in value.items()}
    if isinstance(value, list):
        return [_redacted(item, password) for item in value]
    return redact(value, password) if isinstance(value, str) else value


def search_path() -> list[str]:
    """Return this process's import path, made absolute, for the child."""
    return list(dict.fromkeys(str(Path(entry).resolve()) for entry in sys.path))


def _died(status: int, revision: str, said: str) -> MigrationError:
    how = f"was killed by {signal.Signals(-status).name}" if status < 0 else f"ended with {status}"
    where = f"while revision {revision} ran" if revision else "before the first revision"
    return MigrationError(
        f"the process that runs the migrations {how} {where}",
        todo=("see what it printed; out of memory, or a crash in a library?",),
        output=said,
    )
