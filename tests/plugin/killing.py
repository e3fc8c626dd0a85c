"""A project of 30 revisions that stop wherever a test wants to kill something."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import psycopg

from pytest_dbmigrate.addresses.dsn import Dsn
from tests.plugin import projects

Moment = Literal["start", "middle", "commit"]
Victim = Literal["child", "run", "child and run", "server", "run, child and guardian"]

REVISIONS = 30
PATIENCE = 60.0  # seconds a run may take to come to where it is to be killed, or to its end
GONE_WITHIN = 10.0  # seconds until nothing of a killed run may be left

_HOLD = '''
"""Stops the migrations where a test wants them to stop, until it lets them go."""

import json
import os
import time
from pathlib import Path

FOLDER = Path(os.environ.get("HOLD", "/nowhere"))
WANTED, HELD = FOLDER / "wanted.json", FOLDER / "held.json"
current, commits = "", 0


def begin(revision):
    global current, commits
    current, commits = revision, 0
    stop("start")


def stop(moment):
    if not WANTED.exists():
        return
    wanted = json.loads(WANTED.read_text())
    if [wanted["revision"], wanted["moment"]] != [current, moment]:
        return
    scratch = FOLDER / "held.json.new"
    scratch.write_text(json.dumps({"child": os.getpid(), "run": os.getppid()}))
    scratch.replace(HELD)
    while WANTED.exists():
        time.sleep(0.002)


def watch_commits(dialect):
    do_commit = dialect.do_commit

    def commit(connection):
        global commits
        do_commit(connection)
        commits += 1
        # a revision outside of a transaction commits before its block, and with its block
        if commits == (3 if is_outside(current) else 1):
            stop("commit")

    dialect.do_commit = commit


def is_outside(revision):
    return bool(revision) and int(revision) % 5 == 0
'''
_TRANSACTIONAL = """
hold.begin(revision)
op.execute(f"create table t{revision} (id int)")
hold.stop("middle")
op.execute(f"insert into log values ({int(revision)})")
"""
_OUTSIDE = """
hold.begin(revision)
with op.get_context().autocommit_block():
    op.execute(f"create index concurrently on log (revision, ({int(revision)}))")
    hold.stop("middle")
    op.execute(f"insert into log values ({int(revision)})")
"""
HOW = r"^dbmigrate: ((?:fresh|resumed|rebuilt|unchanged).*)$"
_FIRST = 'hold.begin(revision)\nop.execute("create table log (revision int)")\n'
_IMPORTS = "import sys\nsys.path.insert(0, '.')\nimport hold"
_TEST = """
def test_all_is_there_once(migrated_db):
    with migrated_db.connect() as connection:
        rows = connection.execute("select revision from log order by 1").fetchall()
        assert [row[0] for row in rows] == list(range(1, {count} + 1))
        made = connection.execute("select count(*) from pg_class where relname ~ '^t00'").fetchone()
        assert made[0] == {tables}
"""


def name(number: int) -> str:
    """Return the id of a revision."""
    return f"{number:04}"


def is_outside(number: int) -> bool:
    """Whether a revision does its work outside of a transaction."""
    return number % 5 == 0


def write(project: projects.Project, *, is_async: bool) -> None:
    """Write the project's revisions, env.py and test."""
    project.write("hold.py", _HOLD)
    for number in range(1, REVISIONS + 1):
        body = _OUTSIDE if is_outside(number) else _TRANSACTIONAL
        if number == 1:
            body = _FIRST + body.replace("hold.begin(revision)\n", "")
        file = project.revision(name(number), body)
        file.write_text(
            file.read_text().replace("import sqlalchemy", f"{_IMPORTS}\nimport sqlalchemy")
        )
    text = (projects.async_env if is_async else projects.sync_env)(imports=_IMPORTS)
    dialect = "engine.sync_engine.dialect" if is_async else "engine.dialect"
    begin = "    async with engine.connect()" if is_async else "with engine.connect()"
    indent = "    " if is_async else ""
    text = text.replace(begin, f"{indent}hold.watch_commits({dialect})\n{begin}")
    project.env(text)
    tables = sum(not is_outside(number) for number in range(1, REVISIONS + 1))
    project.tests(_TEST.format(count=REVISIONS, tables=tables))


def edit_first(project: projects.Project, number: int) -> None:
    """Edit the first revision: what was built with it is of no use any more."""
    file = project.path / "migrations/versions/0001.py"
    lines = file.read_text().splitlines()
    kept = [line for line in lines if not line.startswith("edited = ")]
    file.write_text("\n".join([*kept, f"edited = {number}", ""]))


@dataclass
class Outcome:
    """What the run after a kill said, and how it ended."""

    line: str
    is_green: bool
    said: str


@dataclass
class Scene:
    """A project whose runs are killed, one after the other."""

    project: projects.Project
    temporary: Path
    cache: Path
    signs: Path
    arguments: list[str] = field(default_factory=list)

    @property
    def environment(self) -> dict[str, str]:
        """The environment of its runs: folders of their own."""
        return {
            **os.environ,
            "TMPDIR": str(self.temporary),
            "XDG_CACHE_HOME": str(self.cache),
            "HOLD": str(self.signs),
        }

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """Start a run that resumes."""
        command = [
            *(sys.executable, "-m", "pytest", "-p", "dbmigrate", "-p", "no:randomly"),
            *("--db-server=embedded", "--db-resume"),
            *self.arguments,
            *arguments,
        ]
        return subprocess.Popen(
            command,
            cwd=self.project.path,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def resume(self, *arguments: str) -> Outcome:
        """Run to the end."""
        output, _ = (run := self.start(*arguments)).communicate(timeout=PATIENCE)
        told = re.findall(
            r"^dbmigrate: ((?:fresh|resumed|rebuilt|unchanged).*)$", output, re.MULTILINE
        )
        assert told, output
        return Outcome(told[0], run.returncode == 0, output)

    def kill(self, victim: Victim, number: int, moment: Moment) -> str:
        """Start a run and kill what is to be killed when it is there; return what it said."""
        wanted, held = self.signs / "wanted.json", self.signs / "held.json"
        held.unlink(missing_ok=True)
        wanted.write_text(json.dumps({"revision": name(number), "moment": moment}))
        run = self.start()
        try:
            _wait(held.exists, f"stop at {name(number)}", run)
            pids = json.loads(held.read_text())
            data = f"in {self.record()['folder']}/data"
            for pid in self._victims(victim, pids):
                os.kill(pid, signal.SIGKILL)
            # what ends by itself is to have ended before the migrations go on
            if victim == "run":
                _wait_until_gone(lambda: [pid for pid, _ in _processes() if pid == pids["child"]])
            if victim == "server":
                _wait_until_gone(lambda: [pid for pid, said in _processes() if data in said])
            wanted.unlink()
            output, _ = run.communicate(timeout=PATIENCE)
        finally:
            wanted.unlink(missing_ok=True)
            if run.poll() is None:
                run.kill()
                run.communicate()
        return output

    def _victims(self, victim: Victim, pids: dict[str, int]) -> list[int]:
        if victim == "child":
            return [pids["child"]]
        if victim == "run":
            return [pids["run"]]
        if victim == "server":
            return [self.postmaster()]
        if victim == "child and run":
            return [pids["child"], pids["run"]]
        return [*self.guardians(), pids["child"], pids["run"]]

    def record(self) -> dict[str, Any]:
        """Return what is written down of the kept server."""
        (file,) = self.cache.glob("pytest-dbmigrate/*/server.json")
        found: dict[str, Any] = json.loads(file.read_text())
        return found

    def postmaster(self) -> int:
        """Return the kept server's process."""
        text = Path(self.record()["folder"], "data/postmaster.pid").read_text()
        return int(text.splitlines()[0])

    def guardians(self) -> list[int]:
        """Return the guardians of its runs."""
        return [pid for pid, said in _processes() if f"guardian.py {self.temporary}" in said]

    def left(self) -> list[str]:
        """Return a line for each thing of a run that is over, and that ought to be gone."""
        folder = str(self.project.path)
        return [
            *(f"process {pid}: {said[:90]}" for pid, said in self._own_processes(folder)),
            # not rglob, which fails where a folder is just being removed
            *(
                f"folder {path}/{name}"
                for path, names, _ in os.walk(self.temporary)
                for name in names
            ),
            *self._on_server(),
        ]

    def _own_processes(self, folder: str) -> Iterator[tuple[int, str]]:
        for pid, said in _processes():
            if folder in said or str(self.temporary) in said:
                yield pid, said

    def _on_server(self) -> Iterator[str]:
        """Yield leases, locks and foreign connections on the kept server, if it answers."""
        dsn = Dsn.from_record(self.record()["dsn"])
        try:
            with psycopg.connect(dsn.conninfo(), connect_timeout=3) as connection:
                rows = connection.execute(
                    "select 'database ' || datname from pg_database where datname ~ '_(main|gw)' "
                    "union all select 'lock ' || objid::text from pg_locks "
                    "where locktype = 'advisory' "
                    "union all select 'session on ' || datname from pg_stat_activity "
                    "where datname ~ '^dbm_'"
                ).fetchall()
        except psycopg.OperationalError:
            return
        yield from (row[0] for row in rows)

    def assert_nothing_is_left(self) -> None:
        """Fail with a list of what is left after so many seconds."""
        deadline = time.monotonic() + GONE_WITHIN
        while found := self.left():
            assert time.monotonic() < deadline, "\n".join(found)
            time.sleep(0.02)

    def end(self) -> None:
        """End the kept server."""
        run = self.start("--db-stop")
        output, _ = run.communicate(timeout=PATIENCE)
        assert run.returncode == 0, output
        assert list(self.cache.iterdir()) == []


def _wait(question: Any, what: str, run: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not question():
        if run.poll() is not None:
            raise AssertionError(f"no {what}:\n{run.communicate()[0]}")
        assert time.monotonic() < deadline, f"no {what}"
        time.sleep(0.002)


def _wait_until_gone(find: Callable[[], list[int]]) -> None:
    deadline = time.monotonic() + GONE_WITHIN
    while found := find():
        assert time.monotonic() < deadline, f"processes {found} have outlived their parent"
        time.sleep(0.002)


def _processes() -> Iterator[tuple[int, str]]:
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            try:
                command = (entry / "cmdline").read_bytes().decode(errors="replace")
                cwd = str((entry / "cwd").readlink())
            except OSError:
                continue
            yield int(entry.name), f"{command.replace(chr(0), ' ')} in {cwd}"
