"""The parent's side of a migration: starts the child, follows it, explains its death."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import IO

from pytest_dbmigrate.dsn import redact
from pytest_dbmigrate.errors import MigrationError, from_record
from pytest_dbmigrate.migrations.messages import Job, Message, read

_BOOT = (
    "import json, sys; job = json.loads(sys.stdin.readline()); sys.path[:] = job['path']; "
    "from pytest_dbmigrate.child import main; main(job, int(sys.argv[1]))"
)
_OUTPUT_KEPT = 20_000  # characters


def migrate(
    job: Job, folder: str, environ: Mapping[str, str], notify: Callable[[Message], None]
) -> Message:
    """Run the migrations of `job` in a child process and return its `result` message.

    Each earlier message goes to `notify`. Raises `MigrationError`: the child's own, or
    one that says during which revision it died. The child ends with this process.
    """
    last: Message | None = None
    running = ""
    with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as output:
        with _child(job, folder, environ, output) as (child, messages):
            for line in messages:
                last = read(line)
                notify(last)
                running = last.get("revision", "") if last["type"] == "started" else running
                if last["type"] in ("result", "error"):
                    break
            else:
                child.wait()
                last = None
        said = _said(output, job)
    if last is None:
        raise _died(child.returncode, running, said)
    if last["type"] == "error":
        error = from_record(last["error"])
        raise replace(error, output=said) if isinstance(error, MigrationError) else error
    return last


@contextlib.contextmanager
def _child(
    job: Job, folder: str, environ: Mapping[str, str], output: IO[str]
) -> Iterator[tuple[subprocess.Popen[str], IO[str]]]:
    """Yield the child and its messages; on leaving, the child is gone.

    It has a session of its own: Ctrl-C reaches us, and we end it.
    """
    readable, writable = os.pipe()
    with open(readable, encoding="utf-8") as messages:
        try:
            child = subprocess.Popen(
                [sys.executable, "-c", _BOOT, str(writable)],
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=output,
                cwd=folder,
                env=dict(environ),
                pass_fds=(writable,),
                start_new_session=True,
                text=True,
            )
        finally:
            os.close(writable)
        assert child.stdin is not None
        try:
            with contextlib.suppress(BrokenPipeError):
                child.stdin.write(json.dumps(job) + "\n")
                child.stdin.flush()
            yield child, messages
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(child.pid, signal.SIGKILL)
            with contextlib.suppress(BrokenPipeError):
                child.stdin.close()
            child.wait()


def search_path() -> list[str]:
    """Return this process's import path, made absolute, for the child."""
    return list(dict.fromkeys(str(Path(entry).resolve()) for entry in sys.path))


def _said(output: IO[str], job: Job) -> str:
    output.seek(0)
    text = output.read()[-_OUTPUT_KEPT:]
    return redact(text, job["dsn"]["password"])


def _died(status: int, revision: str, said: str) -> MigrationError:
    how = f"was killed by {signal.Signals(-status).name}" if status < 0 else f"ended with {status}"
    where = f"while revision {revision} ran" if revision else "before the first revision"
    return MigrationError(
        f"the process that runs the migrations {how} {where}",
        todo=("see what it printed; out of memory, or a crash in a library?",),
        output=said,
    )
