"""Fork server: inner runs of pytest that begin with pytest imported.

An interpreter that imports pytest, and psycopg and SQLAlchemy when a run comes to them, spends
more on that than most inner runs do on their tests. The server has imported them once. Each
run is a fork of it: a process of its own with its own environment, folder, output and end, in
which no module of the package, of the project or of a plugin has been imported.
"""

from __future__ import annotations

import atexit
import contextlib
import gc
import importlib
import importlib.abc
import importlib.machinery
import importlib.util
import json
import os
import runpy
import select
import signal
import subprocess
import sys
import threading
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, NoReturn

# Imported ahead, but not to be seen in `sys.modules` before a run imports them itself.
_LATER = ("psycopg", "sqlalchemy.engine")
# An interpreter reads these when it starts: a run with others needs one of its own.
_EARLY = ("PYTHON", "LC_", "LANG", "TZ", "LD_", "MALLOC_")
_EARLY_BUT_FREE = ("PYTHONPATH", "PYTHONUNBUFFERED", "PYTHONDONTWRITEBYTECODE")
SPENT: list[float] = []  # CPU seconds of each run so far


@dataclass(frozen=True)
class Ended:
    """How a run ended: its status as `Popen` tells it, and the CPU seconds that it took."""

    status: int
    seconds: float


class ForkServer:
    """The server, seen from the tests."""

    def __init__(self) -> None:
        """Start it."""
        self._early = _early(os.environ)
        self._process = subprocess.Popen(
            [sys.executable, __file__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={
                name: text
                for name, text in os.environ.items()
                if name != "PYTHONPATH" and not name.startswith("COVERAGE_")
            },
            cwd="/",
            text=True,
        )

    def can_run(self, environment: Mapping[str, str]) -> bool:
        """Whether a new interpreter would begin in the state that the server is in."""
        return _early(environment) == self._early

    def run(
        self,
        arguments: Sequence[str],
        environment: Mapping[str, str],
        folder: Path,
        outputs: tuple[Path, Path],
        seconds: float,
    ) -> Ended:
        """Run `python -m pytest` with these arguments; raises `TimeoutExpired`.

        Standard output and standard error go to the files `outputs`.
        """
        self._send(
            {
                "arguments": list(arguments),
                "environment": dict(environment),
                "folder": str(folder),
                "outputs": [str(path) for path in outputs],
            }
        )
        pid = self._receive()["pid"]
        assert self._process.stdout is not None
        if not select.select([self._process.stdout], [], [], seconds)[0]:
            os.kill(pid, signal.SIGKILL)
            self._receive()
            raise subprocess.TimeoutExpired(list(arguments), seconds)
        ended = Ended(**self._receive())
        SPENT.append(ended.seconds)
        return ended

    def close(self) -> None:
        """End it."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait(30)
        self._process.stdout.close()

    def _send(self, request: object) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()

    def _receive(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line, "the fork server has ended"
        answer: dict[str, Any] = json.loads(line)
        return answer


def _early(environment: Mapping[str, str]) -> dict[str, str]:
    return {
        name: text
        for name, text in environment.items()
        if name.startswith(_EARLY) and name not in _EARLY_BUT_FREE
    }


class _Kept(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Finds the modules that were imported ahead and taken out of `sys.modules` again."""

    def __init__(self) -> None:
        before = set(sys.modules)
        for name in _LATER:
            with contextlib.suppress(ImportError):
                importlib.import_module(name)
        roots = {name.partition(".")[0] for name in _LATER} | {"psycopg_binary", "asyncio"}
        new = [name for name in sys.modules if name not in before]
        self._modules = {
            name: sys.modules.pop(name) for name in new if name.partition(".")[0] in roots
        }
        self._specs = {name: module.__spec__ for name, module in self._modules.items()}

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if fullname not in self._modules:
            return None
        return importlib.util.spec_from_loader(fullname, self)

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> ModuleType:
        return self._modules[spec.name]

    def exec_module(self, module: ModuleType) -> None:
        """Give the module what it was; a package comes with all that it had imported."""
        root = module.__name__.partition(".")[0]
        for name in [name for name in self._modules if name.partition(".")[0] == root]:
            sys.modules[name] = self._modules.pop(name)
            sys.modules[name].__spec__ = self._specs[name]


def _serve() -> None:
    requests = os.fdopen(os.dup(0), encoding="utf-8")
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    null = os.open(os.devnull, os.O_RDWR)
    for number in (0, 1):
        os.dup2(null, number)
    os.close(null)
    _import_pytest()
    sys.meta_path.insert(0, _Kept())
    path = sys.path[1:]  # without the folder of this script
    gc.collect()
    gc.freeze()
    for line in requests:
        pid = os.fork()
        if not pid:
            requests.close()
            answers.close()
            _become(json.loads(line), path)
            _leave(_run())
        print(json.dumps({"pid": pid}), file=answers, flush=True)
        _, status, usage = os.wait4(pid, 0)
        ended = Ended(os.waitstatus_to_exitcode(status), usage.ru_utime + usage.ru_stime)
        print(json.dumps(vars(ended)), file=answers, flush=True)


def _import_pytest() -> None:
    from _pytest.config import default_plugins

    for name in default_plugins:
        if name != "pytester":
            importlib.import_module(f"_pytest.{name}")
    importlib.import_module("pytest")


def _become(request: dict[str, Any], path: list[str]) -> None:
    """Be in the forked process what `python -m pytest` would be in a new one."""
    os.environ.clear()
    os.environ.update(request["environment"])
    os.chdir(request["folder"])
    for number, name in enumerate(request["outputs"], 1):
        file = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
        os.dup2(file, number)
        os.close(file)
    sys.dont_write_bytecode = bool(os.environ.get("PYTHONDONTWRITEBYTECODE"))
    added = [entry for entry in os.environ.get("PYTHONPATH", "").split(os.pathsep) if entry]
    sys.path[:] = [request["folder"], *added, *path]
    sys.argv[1:] = request["arguments"]
    if "COVERAGE_PROCESS_START" in os.environ or "COVERAGE_PROCESS_CONFIG" in os.environ:
        import coverage

        coverage.process_startup()


def _run() -> int:
    try:
        runpy.run_module("pytest", run_name="__main__", alter_sys=True)
    except SystemExit as end:
        if isinstance(end.code, str):
            print(end.code, file=sys.stderr)
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:  # noqa: BLE001  # as the interpreter does for its main module
        traceback.print_exc()
        return 1
    return 0


def _leave(status: int) -> NoReturn:
    """End the process as the interpreter does, but leave its modules to the system.

    To take a forked interpreter apart copies each page that it shares with the server: that
    would take three times as long as all that the run had to do.
    """
    threading._shutdown()  # type: ignore[attr-defined]  # waits for threads that are no daemons
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            stream.flush()
    os._exit(status)


if __name__ == "__main__":
    _serve()
