"""Several processes want one template: one builds it, whatever becomes of the others."""

from __future__ import annotations

import multiprocessing
import os
import runpy
import signal
from collections.abc import Callable, Iterator
from multiprocessing.connection import wait
from pathlib import Path
from typing import Any

import psycopg
import pytest

from pytest_dbmigrate.addresses.dsn import Dsn
from pytest_dbmigrate.databases import names
from pytest_dbmigrate.databases.control import Control
from pytest_dbmigrate.databases.lease import Lease
from pytest_dbmigrate.errors import MigrationError
from pytest_dbmigrate.servers.server import Server
from tests.conformance.templates import ensure

BUILDER = str(Path(__file__).with_name("builder.py"))
SPAWN = multiprocessing.get_context("spawn")
PATIENCE = 60.0  # seconds


class Builders:
    """Processes that all want the template of a run, and what they answer.

    Each has a pipe of its own: one that is killed leaves no lock behind in it.
    """

    def __init__(self, server: Server, run_id: str) -> None:
        self._told = {
            "dsn": server.dsn.as_record(),
            "run_id": run_id,
            "durable": server.durable,
        }
        self._pipes: list[Any] = []
        self._barriers: list[Any] = []
        self.processes: list[Any] = []

    def start(self, count: int, how: str) -> None:
        """Start processes that begin at the same moment."""
        barrier = SPAWN.Barrier(count)
        self._barriers.append(barrier)  # collected as garbage, it would be gone for them too
        for _ in range(count):
            readable, writable = SPAWN.Pipe(duplex=False)
            told = {**self._told, "how": how, "barrier": barrier, "answers": writable}
            process = SPAWN.Process(target=runpy.run_path, args=(BUILDER, {"told": told}))
            process.start()
            writable.close()
            self._pipes.append(readable)
            self.processes.append(process)

    def hear(self, count: int) -> list[Any]:
        """Return the next answers."""
        heard: list[Any] = []
        while len(heard) < count:
            ready = wait(self._pipes, PATIENCE)
            assert ready, f"there were only {heard}"
            for pipe in ready:
                heard += self._received(pipe)
        return heard

    def _received(self, pipe: Any) -> list[Any]:
        try:
            return [pipe.recv()]
        except EOFError:
            self._pipes.remove(pipe)
            return []

    def close(self) -> None:
        """End what has not ended by itself."""
        for process in self.processes:
            process.kill()
            process.join()
            process.close()
        for pipe in self._pipes:
            pipe.close()


@pytest.fixture
def builders(server: Server, run_id: str) -> Iterator[Builders]:
    """Processes that want the template of this test's run."""
    builders = Builders(server, run_id)
    yield builders
    builders.close()


def split(heard: list[str]) -> tuple[list[int], list[str]]:
    """Return the processes that say that they build, and the other answers."""
    start = "building in "
    building = [int(answer.removeprefix(start)) for answer in heard if answer.startswith(start)]
    return building, [answer for answer in heard if not answer.startswith(start)]


def makers(control: Control, run_id: str, template: str) -> list[tuple[int]]:
    """Return which processes have made the template."""
    lease = Lease(control, run_id, "main", template)
    with psycopg.connect(lease.take().dsn) as connection:
        return connection.execute("select process from made_by").fetchall()


def test_of_four_processes_one_builds_and_all_get_the_template(
    builders: Builders, connected: Control, run_id: str
) -> None:
    builders.start(4, "well")
    (building,), answers = split(builders.hear(5))
    assert answers == [names.template(run_id)] * 4
    assert makers(connected, run_id, answers[0]) == [(building,)]


def test_a_build_that_fails_is_the_same_error_for_all_without_a_second_attempt(
    builders: Builders,
) -> None:
    builders.start(4, "badly")
    (building,), errors = split(builders.hear(5))
    assert [error.splitlines() for error in errors] == [
        ["it went wrong", f"  tried: process {building}", "  to do: mend"]
    ] * 4
    assert building in {process.pid for process in builders.processes}


def test_a_failed_build_leaves_no_database_but_the_control_database(
    builders: Builders, connected: Control, run_id: str, server: Server
) -> None:
    builders.start(1, "badly")
    builders.hear(2)
    query = "select datname from pg_database where position(%s in datname) > 0"
    with psycopg.connect(server.dsn.conninfo()) as connection:
        rows = connection.execute(query, (run_id,)).fetchall()
    assert rows == [(names.control(run_id),)]


def test_after_a_builder_is_killed_another_builds_from_nothing(
    builders: Builders, connected: Control, run_id: str
) -> None:
    builders.start(1, "forever")
    (process,) = builders.processes
    assert builders.hear(2) == [f"building in {process.pid}", "still building"]
    os.kill(process.pid, signal.SIGKILL)
    process.join()

    def build(scratch: Dsn) -> None:
        with psycopg.connect(scratch.conninfo()) as connection:
            connection.execute("create table made_by as select 0 as process")

    assert makers(connected, run_id, ensure(connected, run_id, build)) == [(0,)]


def test_one_of_those_who_wait_for_a_killed_builder_builds(
    builders: Builders,
    server: Server,
    connected: Control,
    run_id: str,
    eventually: Callable[[Callable[[], object]], None],
) -> None:
    builders.start(1, "forever")
    first = builders.processes[0]
    assert builders.hear(2) == [f"building in {first.pid}", "still building"]
    builders.start(2, "well")
    eventually(lambda: waiting(server, run_id) == 2)
    first.kill()
    first.join()
    (building,), answers = split(builders.hear(3))
    assert answers == [names.template(run_id)] * 2
    assert makers(connected, run_id, answers[0]) == [(building,)]


def waiting(server: Server, run_id: str) -> int:
    """Return how many processes wait for the build."""
    query = "select count(*) from pg_stat_activity where datname = %s and wait_event = 'advisory'"
    with psycopg.connect(server.dsn.conninfo()) as connection:
        row = connection.execute(query, (names.control(run_id),)).fetchone()
    assert row is not None
    return int(row[0])


def test_the_process_whose_build_fails_has_the_original_error(
    connected: Control, run_id: str
) -> None:
    cause = ZeroDivisionError("by a migration")
    error = MigrationError("it went wrong")

    def build(_: Dsn) -> None:
        raise error from cause

    with pytest.raises(MigrationError) as first:
        ensure(connected, run_id, build)
    assert (first.value, first.value.__cause__) == (error, cause)
    assert first.traceback[-1].name == "build"
    with pytest.raises(MigrationError) as again:  # from its record, as in another process
        ensure(connected, run_id, build)
    assert (str(again.value), again.value is error) == ("it went wrong", False)
