"""Inner runs under watch: whatever one of them may leave behind is looked for at its end.

The runs of a test have a folder for temporary files of their own, in which the kernel
itself (inotify) notes the id of every run that begins, however short its life. What lies
elsewhere - in memory, on an engine, on a server - is theirs if it bears one of these ids,
so tests that run at the same time do not see each other. Reads `/proc`: for Linux.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import psycopg

from pytest_dbmigrate.settings.specs import DEFAULT_IMAGE
from tests.plugin.projects import PATIENCE, Project

IMAGE = os.environ.get("DBMIGRATE_IMAGE", DEFAULT_IMAGE)
MEMORY = Path("/dev/shm")
GONE_WITHIN = 10.0  # seconds

_LOOK_EVERY = 0.02  # seconds
_IN_CREATE = 0x100
_EVENT = struct.Struct("iIII")


@dataclass(frozen=True)
class Process:
    """A process as `/proc` tells of it."""

    pid: int
    session: int
    command: str
    cwd: str


@dataclass(frozen=True)
class Ended:
    """How an inner run ended: its exit status (negative: a signal), and what it printed."""

    status: int
    output: str

    @property
    def lines(self) -> list[str]:
        """The lines of its output."""
        return self.output.splitlines()

    @property
    def told(self) -> list[str]:
        """What the plugin said while the run went on, without its name before each line."""
        begin = "dbmigrate: "
        return [line[len(begin) :] for line in self.lines if line.startswith(begin)]

    @property
    def verdict(self) -> str:
        """The last line without rulers and seconds: `1 failed, 2 passed`."""
        return self.lines[-1].strip("= ").rpartition(" in ")[0]

    def block(self, title: str) -> list[str]:
        """Return the lines below the `==== title ====`, up to the next title."""
        lines = self.lines
        start = next(n for n, line in enumerate(lines) if line.strip("= ") == title)
        end = next(n for n in range(start + 1, len(lines)) if lines[n].startswith("===="))
        return lines[start + 1 : end]


class Started:
    """An inner run that goes on, in a session of its own as on a terminal of its own."""

    def __init__(
        self, runs: Runs, process: subprocess.Popen[bytes], folder: Path, output: Path
    ) -> None:
        self.pid = process.pid
        self._runs = runs
        self._process = process
        self._folder = folder
        self._output = output

    def until(self, mark: str) -> str:
        """Wait for a file in the run's folder; return what is in it."""
        file = self._folder / mark
        wait_for(lambda: file.exists() or self._has_ended(), f"file {mark}")
        assert file.exists(), f"ended before there was a file {mark}:\n{self._printed()}"
        return file.read_text(encoding="utf-8")

    def interrupt(self) -> None:
        """Do what a terminal does at Ctrl-C: signal every process in the foreground."""
        os.killpg(self.pid, signal.SIGINT)

    def send(self, number: signal.Signals) -> None:
        """Signal the one process."""
        self._process.send_signal(number)

    def end(self) -> Ended:
        """Wait for the end; what the run has printed is shown if the test fails."""
        wait_for(self._has_ended, "end of the run")
        print(self._printed())
        return Ended(self._process.returncode, self._printed())

    def _has_ended(self) -> bool:
        _ = self._runs.ids  # look now: a short life must not be missed
        return self._process.poll() is not None

    def _printed(self) -> str:
        return self._output.read_text(encoding="utf-8", errors="replace")


def _heed_ctrl_c() -> None:
    """Undo what a shell does to a command in the background."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


class Runs:
    """The inner runs of one test, and what there is of them."""

    def __init__(self, project: Project, temporary: Path) -> None:
        self.project = project
        self.temporary = temporary
        self.home = temporary / f"pytest-dbmigrate-{os.getuid()}"
        self._names = _CreatedNames()
        self._started: list[subprocess.Popen[bytes]] = []
        self._server_url = ""
        self._uses_docker = False
        self._segments_before = _orphaned_segments()

    @property
    def ids(self) -> frozenset[str]:
        """The ids of all runs that have begun."""
        if self.home.exists():
            self._names.watch(self.home)  # the last run to end removes it, the next makes it anew
        return self._names.seen()

    def start(
        self,
        *arguments: str,
        server: str = "embedded",
        plugins: Iterable[str] = (),
        environ: dict[str, str] | None = None,
        folder: Path | None = None,
    ) -> Started:
        """Start a run on a server: `embedded`, `docker`, or `url` for one that is up already.

        Any other word is `--db-server` itself; if it is empty, none is named.
        """
        if server == "docker":
            self._uses_docker = True
            arguments = (f"--db-image={IMAGE}", *arguments)
        if server == "url":
            server = self._server_url = self.project.server_url()
        command = self.project.command(*arguments, server=server, plugins=plugins)
        return self.start_command(command, environ=environ, folder=folder)

    def run(
        self,
        *arguments: str,
        server: str = "embedded",
        plugins: Iterable[str] = (),
        environ: dict[str, str] | None = None,
    ) -> Ended:
        """Start a run as `start` does, and wait for its end."""
        return self.start(*arguments, server=server, plugins=plugins, environ=environ).end()

    def tool(self, *arguments: str) -> Ended:
        """Run `python -m pytest_dbmigrate` with these arguments."""
        return self.start_command([sys.executable, "-m", "pytest_dbmigrate", *arguments]).end()

    def start_command(
        self,
        command: list[str],
        *,
        environ: dict[str, str] | None = None,
        folder: Path | None = None,
    ) -> Started:
        """Start a command in the project's folder, or in another one."""
        with contextlib.suppress(FileExistsError):
            self.home.mkdir(mode=0o700)
        self._names.watch(self.home)
        folder = folder or self.project.path
        output = self.project.path / f"output-{len(self._started)}.txt"
        with open(output, "wb") as stream:
            process = subprocess.Popen(
                command,
                cwd=folder,
                env={**os.environ, "TMPDIR": str(self.temporary), **(environ or {})},
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=stream,
                start_new_session=True,
                preexec_fn=_heed_ctrl_c,  # noqa: PLW1509  # nothing else runs in this process
            )
        self._started.append(process)
        return Started(self, process, folder, output)

    def also_look_at(self, server_url: str) -> None:
        """Look for databases on this server, too."""
        self._server_url = server_url

    def processes(self) -> list[Process]:
        """Return the living processes that belong to the runs, or work in their folders."""
        sessions = {process.pid for process in self._started}
        marks = (str(self.temporary), str(self.project.path), *self.ids)
        return [
            process
            for process in processes()
            if process.session in sessions
            or any(mark in process.command or mark in process.cwd for mark in marks)
        ]

    def server_process(self) -> Process:
        """Return the main process of the one embedded server."""
        return self._only("/postgres -D ")

    def guardian(self) -> Process:
        """Return the one guardian."""
        return self._only("guardian.py ")

    def found(self) -> list[str]:
        """Return a line for each thing that there still is of a run."""
        return [
            *(f"process {it.pid}: {it.command} (in {it.cwd})" for it in self.processes()),
            *(f"temporary {path}" for path in self.temporary_files()),
            *(f"in memory: {path}" for path in self.memory_folders()),
            *(f"SysV segment {number}" for number in _orphaned_segments() - self._segments_before),
            *(f"database {name}" for name in self.databases()),
            *self._on_engine(),
        ]

    def temporary_files(self) -> list[Path]:
        """Return what is in the folder for temporary files."""
        empty = [] if self.home.exists() and any(self.home.iterdir()) else [self.home]
        return [path for path in self.temporary.iterdir() if path not in empty]

    def memory_folders(self) -> list[Path]:
        """Return the folders that servers of the runs have in memory."""
        return [path for path in MEMORY.iterdir() if any(it in path.name for it in self.ids)]

    def databases(self) -> list[str]:
        """Return the databases of the runs on the server that is up already."""
        if not self._server_url:
            return []
        with psycopg.connect(self._server_url) as connection:
            rows = connection.execute("select datname from pg_database").fetchall()
        return [name for (name,) in rows if any(it in name for it in self.ids)]

    def end_everything(self) -> None:
        """Kill and remove what is left of a test that has failed."""
        for process in self.processes():
            with contextlib.suppress(ProcessLookupError):
                os.kill(process.pid, signal.SIGKILL)
        for started in self._started:
            started.wait(PATIENCE)
        for path in (self.temporary, *self.memory_folders()):
            shutil.rmtree(path, ignore_errors=True)
        for line in self._on_engine():
            kind, name = line.split()[:2]
            force = [] if kind == "network" else ["--force"]
            subprocess.run(["docker", kind, "rm", *force, name], capture_output=True, check=False)
        self._names.close()

    def _only(self, mark: str) -> Process:
        found = [process for process in self.processes() if mark in process.command]
        assert len(found) == 1, found
        return found[0]

    def _on_engine(self) -> Iterator[str]:
        if not self._uses_docker:
            return
        for run_id in self.ids:
            mark = f"label=com.docker.compose.project=dbmigrate-{run_id}"
            for kind, more in {"container": ["--all"], "volume": [], "network": []}.items():
                command = ["docker", kind, "ls", "--quiet", "--filter", mark, *more]
                done = subprocess.run(command, capture_output=True, text=True, check=True)
                yield from (f"{kind} {name} of run {run_id}" for name in done.stdout.split())


@contextlib.contextmanager
def watched(project: Project, prefix: str = "dbmigrate-test-") -> Iterator[Runs]:
    """Yield the means to start runs of a project; in the end nothing of them may be left.

    `prefix` begins the name of their folder for temporary files.
    """
    runs = Runs(project, Path(tempfile.mkdtemp(prefix=prefix)))
    try:
        yield runs
        assert_nothing_remains(runs)
    finally:
        runs.end_everything()


def assert_nothing_remains(runs: Runs, within: float = GONE_WITHIN) -> None:
    """Fail with a list of what is left of the runs after so many seconds."""
    deadline = time.monotonic() + within
    while found := runs.found():
        assert time.monotonic() < deadline, "\n".join([f"left after {within} s:", *found])
        time.sleep(_LOOK_EVERY)


def wait_for(question: Callable[[], bool], what: str, within: float = PATIENCE) -> None:
    """Ask until the answer is yes; fail if it is not within so many seconds."""
    deadline = time.monotonic() + within
    while not question():
        assert time.monotonic() < deadline, f"there was no {what} within {within} s"
        time.sleep(_LOOK_EVERY)


def processes() -> Iterator[Process]:
    """Yield every living process of this machine but this one; those just ending are left out."""
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit() or int(folder.name) == os.getpid():
            continue
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            state, _, _, session = (folder / "stat").read_text().rpartition(")")[2].split()[:4]
            command = (folder / "cmdline").read_bytes().decode(errors="replace")
            if state != "Z":
                shown = command.replace("\0", " ").strip()
                yield Process(int(folder.name), int(session), shown, _cwd(folder))


def _cwd(folder: Path) -> str:
    try:
        return str((folder / "cwd").readlink())
    except PermissionError:  # somebody else's process
        return ""


def _orphaned_segments() -> set[int]:
    """Return the SysV shared memory segments whose maker is dead and that nobody uses."""
    _, *rows = Path("/proc/sysvipc/shm").read_text().splitlines()
    columns = [row.split() for row in rows]
    return {
        int(number)
        for _, number, _, _, maker, _, users, *_ in columns
        if users == "0" and not Path("/proc", maker).exists()
    }


class _CreatedNames:
    """The names that have been created in some folders since they are watched."""

    def __init__(self) -> None:
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._file = self._libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
        assert self._file >= 0, os.strerror(ctypes.get_errno())
        self._seen: set[str] = set()

    def watch(self, folder: Path) -> None:
        """Watch a folder, if it is there; safe to do twice."""
        self._libc.inotify_add_watch(self._file, os.fsencode(folder), _IN_CREATE)
        with contextlib.suppress(FileNotFoundError):
            self._seen |= {path.name for path in folder.iterdir()}

    def seen(self) -> frozenset[str]:
        """Return the names."""
        with contextlib.suppress(BlockingIOError):
            while events := os.read(self._file, 1 << 16):
                self._seen |= set(_names_in(events))
        return frozenset(self._seen)

    def close(self) -> None:
        """Watch no more."""
        os.close(self._file)


def _names_in(events: bytes) -> Iterator[str]:
    at = 0
    while at < len(events):
        *_, length = _EVENT.unpack_from(events, at)
        at += _EVENT.size
        name = events[at : at + length].rstrip(b"\0")
        at += length
        if name:
            yield os.fsdecode(name)
