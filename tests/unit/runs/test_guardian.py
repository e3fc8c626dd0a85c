"""However a run ends, what it owned is stopped and removed, and nothing else is touched."""

from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pytest_dbmigrate.errors import ServerError
from pytest_dbmigrate.runs import folders, guardian, server_process
from pytest_dbmigrate.runs.files import write_private
from pytest_dbmigrate.runs.notes import StartingServer
from pytest_dbmigrate.runs.run import Run
from pytest_dbmigrate.runs.server_process import ServerProcess

if TYPE_CHECKING:
    from tests.unit.owners import Start

Eventually = Callable[[Callable[[], object]], None]


@pytest.fixture
def bystander(tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A process that is nobody's server."""
    with subprocess.Popen(["sleep", "600"], cwd=tmp_path) as process:
        yield process
        process.kill()


def test_a_run_that_finishes_leaves_nothing(start_owner: Start) -> None:
    owner = start_owner()
    owner.finish()
    assert (owner.left(), owner.process.returncode) == ([], 0)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT])
def test_a_run_whose_owner_is_killed_leaves_nothing(
    number: signal.Signals, start_owner: Start, eventually: Eventually
) -> None:
    owner = start_owner()
    owner.kill(number)
    eventually(lambda: owner.left() == [])


def test_the_commands_of_a_run_whose_owner_is_killed_are_run(
    start_owner: Start, eventually: Eventually
) -> None:
    owner = start_owner()
    owner.kill()
    eventually(owner.marker.exists)


def test_nothing_is_stopped_or_removed_while_the_owner_lives(start_owner: Start) -> None:
    owner = start_owner()
    assert [it.partition(" ")[0] for it in owner.left()] == [
        "server",
        "guardian",
        str(owner.data),
        str(owner.folder),
    ]
    assert not owner.marker.exists()


def test_a_run_whose_guardian_was_killed_cleans_up_itself(start_owner: Start) -> None:
    owner = start_owner()
    owner.kill_guardian()
    owner.finish()
    assert (owner.left(), owner.process.returncode) == ([], 0)
    assert owner.marker.exists()


def test_the_next_sweep_cleans_up_when_owner_and_guardian_were_killed(start_owner: Start) -> None:
    owner = start_owner()
    owner.kill_guardian()
    owner.kill()
    folders.sweep()
    assert owner.left() == []
    assert owner.marker.exists()


def test_a_run_without_a_server_is_swept_when_its_owner_was_killed(start_owner: Start) -> None:
    owner = start_owner(is_guarded=False)
    owner.kill()
    folders.sweep()
    assert not owner.folder.exists()


def test_a_sweep_leaves_a_run_alone_whose_owner_lives(start_owner: Start) -> None:
    owner = start_owner()
    before = owner.left()
    folders.sweep()
    assert owner.left() == before


def test_a_sweep_leaves_a_run_alone_whose_owner_lives_and_whose_guardian_was_killed(
    start_owner: Start,
) -> None:
    owner = start_owner()
    owner.kill_guardian()
    before = owner.left()
    folders.sweep()
    assert owner.left() == before


def test_a_sweep_leaves_a_run_of_its_own_process_alone(runs_folder: Path) -> None:
    mine = Run.start("shop")
    folders.sweep()
    assert mine.folder.exists()
    assert is_held(mine.folder / guardian.ALIVE)
    mine.finish()


def is_held(path: Path) -> bool:
    """Return whether a lock is held, as another process sees it."""
    code = (
        "import sys; from pathlib import Path; from pytest_dbmigrate import file_locks; "
        "sys.exit(file_locks.is_record_locked(Path(sys.argv[1])))"
    )
    return subprocess.run([sys.executable, "-c", code, path], check=False).returncode == 1


def test_a_sweep_leaves_a_kept_run_alone(start_owner: Start) -> None:
    owner = start_owner(keep=True)
    owner.kill()
    folders.sweep()
    assert owner.folder.exists()
    assert owner.find(str(owner.data)) != []


def test_a_kept_servers_guardian_ends_with_the_run(
    start_owner: Start, eventually: Eventually
) -> None:
    owner = start_owner(keep=True)
    owner.finish()
    eventually(lambda: owner.find(f"guardian.py\0{owner.folder}") == [])
    assert not owner.marker.exists()


def test_a_process_that_has_the_servers_old_number_by_now_is_not_killed(
    start_owner: Start, bystander: subprocess.Popen[bytes]
) -> None:
    owner = start_owner()
    owner.kill_guardian()
    (server,) = owner.find(str(owner.data))
    os.kill(server, signal.SIGKILL)
    owner.kill()
    (owner.data / "postmaster.pid").write_text(f"{bystander.pid}\n{owner.data}\n")
    folders.sweep()
    assert (owner.left(), bystander.poll()) == ([], None)


def test_a_server_that_does_not_stop_when_asked_is_killed(
    start_owner: Start, monkeypatch: pytest.MonkeyPatch, eventually: Eventually
) -> None:
    owner = start_owner(script="trap '' QUIT; echo $$ > postmaster.pid; while :; do read x; done")
    eventually((owner.data / "postmaster.pid").exists)
    owner.kill_guardian()
    owner.kill()
    monkeypatch.setattr(server_process, "_STOP_SECONDS", 0.1)
    folders.sweep()
    assert owner.left() == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_to_everything_on_the_terminal_does_not_end_the_guardian(
    number: signal.Signals, start_owner: Start, eventually: Eventually
) -> None:
    owner = start_owner()
    os.kill(owner.guardian(), number)
    owner.kill()
    eventually(owner.marker.exists)


def test_a_command_that_fails_keeps_nothing_but_the_runs_folder(
    start_owner: Start, eventually: Eventually
) -> None:
    owner = start_owner(commands=(["false"], ["/no/such/program"]))
    owner.kill()
    eventually(lambda: owner.left() == [str(owner.folder)])
    assert owner.marker.exists()


def test_a_command_that_failed_is_tried_again_when_the_next_run_begins(
    start_owner: Start, eventually: Eventually, tmp_path: Path
) -> None:
    cure = tmp_path / "cure"
    owner = start_owner(commands=(["test", "-e", str(cure)],))
    owner.kill()
    eventually(lambda: owner.left() == [str(owner.folder)])
    folders.sweep()
    assert owner.left() == [str(owner.folder)]
    cure.touch()
    folders.sweep()
    assert owner.left() == []


def test_after_a_day_a_command_that_fails_is_given_up(
    start_owner: Start, eventually: Eventually
) -> None:
    owner = start_owner(commands=(["false"],))
    owner.kill()
    eventually(lambda: owner.left() == [str(owner.folder)])
    yesterday = time.time() - 86_500
    os.utime(owner.folder / guardian.WORK, (yesterday, yesterday))
    folders.sweep()
    assert owner.left() == []


def test_the_end_of_the_server_process_is_noted(start_owner: Start, eventually: Eventually) -> None:
    owner = start_owner()
    (server,) = owner.find(str(owner.data))
    assert not (owner.folder / guardian.ENDED).exists()
    os.kill(server, signal.SIGKILL)
    eventually((owner.folder / guardian.ENDED).exists)


def test_the_end_of_a_server_that_dies_at_once_is_noted(
    start_owner: Start, eventually: Eventually
) -> None:
    owner = start_owner(script="exit 1")
    eventually((owner.folder / guardian.ENDED).exists)


def test_a_guardian_that_does_not_start_is_an_error_with_its_log(runs_folder: Path) -> None:
    mine = Run.start("shop")
    (mine.folder / guardian.ALIVE).unlink()
    with pytest.raises(ServerError) as raised, mine.start_guardian(guardian.Work()):
        pass
    first, tried, *_, last = str(raised.value).splitlines()
    assert first == "the process that looks after the server did not start"
    assert tried.endswith(f"-I -S {guardian.__file__} {mine.folder}")
    assert last == (
        "    FileNotFoundError: [Errno 2] No such file or directory: "
        f"'{mine.folder / guardian.ALIVE}'"
    )
    mine.finish()


def test_everything_in_a_runs_folder_is_private(start_owner: Start) -> None:
    owner = start_owner(keep=True)
    joined = Run.join(str(owner.folder))
    joined.write("server.json", {"port": 1})
    joined.journal.write(StartingServer("embedded"))
    joined.claim("child")
    with joined.only_one("control"):
        pass
    modes = {str(it.relative_to(owner.folder)): mode(it) for it in owner.folder.rglob("*")}
    assert mode(owner.folder.parent) == mode(owner.folder) == 0o700
    assert len(modes) >= 10
    assert {name: oct(found) for name, found in modes.items() if found != 0o600} == {}


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_the_log_of_a_server_is_private(start_owner: Start) -> None:
    assert mode(start_owner().data / "log") == 0o600


def test_a_file_that_replaces_another_is_private_and_whole(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("before, and readable by all")
    path.chmod(0o644)
    write_private(path, "after")
    assert (path.read_text(), mode(path), list(tmp_path.iterdir())) == ("after", 0o600, [path])


def test_work_survives_a_trip_through_json() -> None:
    work = guardian.Work(
        [["echo", "1"]],
        ["/data"],
        ServerProcess(["postgres"], "/data", "/log", {"TZ": "UTC"}, 101, 104),
    )
    assert guardian.Work.from_record(json.loads(json.dumps(work.as_record()))) == work
