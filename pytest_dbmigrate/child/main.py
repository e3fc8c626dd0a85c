"""The migration child's main: what it is told on standard input, and what it answers.

The scripts run in a process of their own, because env.py imports the application:
in the tests' process that would bind the application's engine to the wrong database,
let `fileConfig` switch loggers off, and leak whatever a migration patches.
"""

from __future__ import annotations

import gc
import json
import os
import sys
import threading
from collections.abc import Iterator
from functools import partial
from queue import SimpleQueue
from typing import IO, Any

from pytest_dbmigrate.child.job import JobRunner, look
from pytest_dbmigrate.errors import DbmigrateError, as_record
from pytest_dbmigrate.migrations.messages import Message, send

_ORPHANED = 3  # exit status


def main(results: int) -> None:
    """Wait for the job, do it, and tell the parent on the file descriptor `results`.

    Ends with exit status 0 whenever the parent was told how it went.
    """
    line = sys.stdin.readline()
    if not line:
        return  # there was nothing to do after all
    job: Any = json.loads(line)
    os.environ.update(job.get("environ", {}))
    later: SimpleQueue[Any] = SimpleQueue()
    threading.Thread(target=_listen, args=(_taken_stdin(), later), daemon=True).start()
    _keep_from_children(results)
    with open(results, "w", encoding="utf-8") as stream:
        try:
            for message in _messages(job, stream, later):
                sys.stdout.flush()
                sys.stderr.flush()
                send(stream, message)
        except DbmigrateError as error:
            sys.stdout.flush()
            sys.stderr.flush()
            send(stream, {"type": "error", "error": as_record(error)})
    gc.disable()  # the end of the process frees all at once; collecting first took 0.2 s
    gc.freeze()


def _messages(job: Any, stream: IO[str], later: SimpleQueue[Any]) -> Iterator[Message]:
    """Yield the answer to the job, and to what is asked after it."""
    if "look" in job:
        yield look(job["source"], job["root"], job["within"])
        return
    work = JobRunner(job, partial(_notify, stream))
    yield work.upgrade()
    if job["is_checked_later"]:
        yield work.compare(later.get())


def _notify(stream: IO[str], kind: Any, **facts: Any) -> None:
    send(stream, {"type": kind, **facts})  # type: ignore[typeddict-item]


def _taken_stdin() -> int:
    """Return standard input under another number: a script that reads it finds its end."""
    pipe = os.dup(0)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    return pipe


def _keep_from_children(results: int) -> None:
    """Let no process that a script starts hold the pipe open after our death."""
    os.set_inheritable(results, False)
    os.register_at_fork(after_in_child=lambda: os.close(results))


def _listen(pipe: int, later: SimpleQueue[Any]) -> None:
    """Hand over what else the parent says, a line of JSON each.

    This process ends when the parent closes its end of standard input, however it ends.
    """
    # not sys.stdin: the interpreter could not end while a thread waits in there
    said = b""
    while more := os.read(pipe, 65536):
        *lines, said = (said + more).split(b"\n")
        for line in lines:
            later.put(json.loads(line))
    os._exit(_ORPHANED)
