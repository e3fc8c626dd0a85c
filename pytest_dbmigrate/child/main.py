"""Main of the migration child: requests on standard input, answers on a pipe.

The scripts run in a process of their own, because env.py imports the application:
in the tests' process that would bind the application's engine to the wrong database,
let `fileConfig` switch loggers off, and leak whatever a migration patches.
"""

from __future__ import annotations

import gc
import os
import sys
import threading
from collections.abc import Iterator
from functools import partial
from queue import SimpleQueue
from typing import IO

from pytest_dbmigrate.child.job import JobRunner, scripts
from pytest_dbmigrate.errors import DbmigrateError, as_record
from pytest_dbmigrate.migrations.messages import (
    Answer,
    CompareRequest,
    Failed,
    Job,
    Request,
    ScriptsRequest,
    read_request,
    send,
)

_ORPHANED = 3  # exit status


def main(results: int) -> None:
    """Wait for a request, and answer it on the file descriptor `results`.

    Ends with exit status 0 whenever the parent has got an answer.
    """
    line = sys.stdin.readline()
    if not line:
        return  # the parent did not need a child after all
    request = read_request(line)
    if isinstance(request, Job):
        os.environ.update(request.environ)
    later: SimpleQueue[Request] = SimpleQueue()
    threading.Thread(target=_listen, args=(_move_stdin(), later), daemon=True).start()
    _keep_from_children(results)
    with open(results, "w", encoding="utf-8") as stream:
        try:
            for message in _answers(request, stream, later):
                sys.stdout.flush()
                sys.stderr.flush()
                send(stream, message)
        except DbmigrateError as error:
            sys.stdout.flush()
            sys.stderr.flush()
            send(stream, Failed(as_record(error)))
    gc.disable()  # the end of the process frees all at once; collecting first took 0.2 s
    gc.freeze()


def _answers(request: Request, stream: IO[str], later: SimpleQueue[Request]) -> Iterator[Answer]:
    """Yield the answer to the first request, and to the one that may come after it."""
    if isinstance(request, ScriptsRequest):
        yield scripts(request)
        return
    assert isinstance(request, Job)
    runner = JobRunner(request, partial(send, stream))
    yield runner.upgrade()
    if request.is_checked_later:
        then = later.get()
        assert isinstance(then, CompareRequest)
        yield runner.compare(then.others)


def _move_stdin() -> int:
    """Move standard input to another descriptor: a script that reads it finds it empty."""
    pipe = os.dup(0)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    return pipe


def _keep_from_children(results: int) -> None:
    """Keep subprocesses of scripts from inheriting the pipe: its end shows that we are dead."""
    os.set_inheritable(results, False)
    os.register_at_fork(after_in_child=lambda: os.close(results))


def _listen(pipe: int, later: SimpleQueue[Request]) -> None:
    """Queue further requests, and end this process when the parent closes standard input.

    The kernel closes it too, when the parent is killed.
    """
    # not sys.stdin: a thread that waits in its lock would block the end of the interpreter
    said = b""
    while more := os.read(pipe, 65536):
        *lines, said = (said + more).split(b"\n")
        for line in lines:
            later.put(read_request(line))
    os._exit(_ORPHANED)
