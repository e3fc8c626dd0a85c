"""The folder of what is kept between runs: whose it is, who may change it, who uses it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pytest_dbmigrate.addresses.dsn import Dsn, Secret
from pytest_dbmigrate.errors import ServerError
from pytest_dbmigrate.runs.run import Run
from pytest_dbmigrate.runs.server_process import ServerProcess
from pytest_dbmigrate.servers.embedded.programs import Identity
from pytest_dbmigrate.servers.kept import record as kept
from pytest_dbmigrate.servers.kept.record import Kept, Record

if TYPE_CHECKING:
    from tests.unit.owners import Start

ROOT = os.geteuid() == 0
LOCKS = Path("/proc/locks")
DSN = Dsn("127.0.0.1", 5433, "ann", Secret("s3cret"), "postgres")
RECORD = Record(
    kind="embedded",
    dsn=DSN,
    project="/shop",
    plugin="0.1.0",
    asked={"server": "auto"},
    boot="c0ffee",
    programs=Identity("/bin", 1, 2),
    folder="/data",
    process=ServerProcess(["postgres"], "/data/data", "/data/log", {"TZ": "UTC"}),
    down=("true",),
)
ALONE = """
import sys
from pathlib import Path
from pytest_dbmigrate.servers.kept.record import Kept
with Kept(Path(sys.argv[1])).only_one():
    print("in", flush=True)
    sys.stdin.readline()
    print("leaving", flush=True)
"""


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of this test's kept state; it does not exist yet."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache/pytest-dbmigrate"


@pytest.fixture
def mine(cache: Path) -> Kept:
    """A project's folder, empty."""
    mine = Kept.of("/shop")
    with mine.only_one():
        pass
    return mine


Alone = Callable[[], "subprocess.Popen[str]"]


@pytest.fixture
def start_alone(mine: Kept) -> Iterator[Alone]:
    """A way to start processes that want to be the only one, until they are told a line."""
    started: list[subprocess.Popen[str]] = []

    def start() -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-c", ALONE, str(mine.folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


def line(process: subprocess.Popen[str]) -> str:
    """Return the next line that a process prints."""
    assert process.stdout is not None
    return process.stdout.readline().rstrip("\n")


def is_waiting(process: subprocess.Popen[str], mine: Kept) -> bool:
    """Whether a process waits for the lock of a folder, as the kernel tells it."""
    inode = (mine.folder / "lock").stat().st_ino
    locks = LOCKS.read_text().splitlines()
    waiting = [words for words in map(str.split, locks) if words[1] == "->"]
    return any(words[5] == str(process.pid) and words[6].endswith(f":{inode}") for words in waiting)


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o7777


def refusal(folder: Path) -> list[str]:
    with pytest.raises(ServerError) as refused:
        kept.make_private(folder)
    return str(refused.value).splitlines()


def test_the_key_of_a_project_is_eight_digits_and_stays_the_same(tmp_path: Path) -> None:
    key = kept.key(tmp_path)
    assert (len(key), int(key, 16) >= 0) == (8, True)
    assert kept.key(str(tmp_path)) == key


def test_another_folder_has_another_key(tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    first.mkdir()
    second.mkdir()
    assert len({kept.key(tmp_path), kept.key(first), kept.key(second)}) == 3


def test_a_folder_has_the_same_key_however_it_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop = tmp_path / "shop"
    shop.mkdir()
    (tmp_path / "link").symlink_to(shop)
    monkeypatch.chdir(shop)
    ways = [str(shop), f"{shop}/", f"{tmp_path}/link", f"{tmp_path}/link/../shop", "."]
    assert {kept.key(way) for way in ways} == {kept.key(shop)}


def test_a_folder_whose_name_is_no_text_has_a_key(tmp_path: Path) -> None:
    assert len(kept.key(tmp_path / os.fsdecode(b"caf\xe9"))) == 8


@pytest.mark.skipif(not ROOT, reason="only root can become another user")
def test_another_user_has_another_key(tmp_path: Path) -> None:
    code = (
        "import os; from pytest_dbmigrate.servers.kept import record as kept; "
        "os.setuid(65534); print(kept.key('/shop'))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd="/"
    )
    assert done.stdout.strip() != kept.key("/shop")


def test_a_projects_folder_lies_in_the_cache_under_its_key(cache: Path) -> None:
    mine = Kept.of("/shop")
    assert (mine.folder, mine.key) == (cache / kept.key("/shop"), kept.key("/shop"))
    assert not cache.exists()


def test_the_cache_is_where_xdg_cache_home_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", "/somewhere/else")
    assert kept.cache() == Path("/somewhere/else/pytest-dbmigrate")


@pytest.mark.parametrize("value", [None, "", "relative/path", "~/cache"])
@pytest.mark.parametrize(
    ("platform", "folder"), [("linux", ".cache"), ("darwin", "Library/Caches")]
)
def test_without_an_absolute_xdg_cache_home_it_is_the_systems_own(
    value: str | None, platform: str, folder: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    if value is not None:
        monkeypatch.setenv("XDG_CACHE_HOME", value)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr(sys, "platform", platform)
    assert kept.cache() == tmp_path / folder / "pytest-dbmigrate"


def test_a_private_folder_is_made_with_all_that_it_lies_in(tmp_path: Path) -> None:
    folder = tmp_path / "a/b/c"
    kept.make_private(folder)
    kept.make_private(folder)
    assert mode(folder) == 0o700


@pytest.mark.parametrize("bits", [0o701, 0o710, 0o704, 0o740, 0o755, 0o777])
def test_a_folder_that_is_open_to_others_is_refused(bits: int, tmp_path: Path) -> None:
    folder = tmp_path / "kept"
    folder.mkdir()
    folder.chmod(bits)
    assert refusal(folder) == [
        f"{folder} is not a private folder of this user",
        "  to do: remove it, or point XDG_CACHE_HOME at another folder",
    ]
    assert mode(folder) == bits


@pytest.mark.skipif(not ROOT, reason="only root can give a folder away")
def test_a_folder_of_another_user_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "kept"
    folder.mkdir(mode=0o700)
    os.chown(folder, 65534, -1)
    assert refusal(folder) == [
        f"{folder} is not a private folder of this user",
        "  to do: remove it, or point XDG_CACHE_HOME at another folder",
    ]


def test_a_link_to_a_private_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "private").mkdir(mode=0o700)
    folder = tmp_path / "kept"
    folder.symlink_to("private")
    assert refusal(folder) == [
        f"{folder} is not a private folder of this user",
        "  to do: remove it, or point XDG_CACHE_HOME at another folder",
    ]


def test_a_file_in_the_place_of_the_folder_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "kept"
    folder.touch(mode=0o600)
    what = "the folder for what is kept between runs cannot be made"
    assert refusal(folder) == [
        f"{what}: [Errno 17] File exists: '{folder}'",
        "  to do: point XDG_CACHE_HOME at a folder of yours, or run without --db-resume",
    ]


def test_a_folder_in_a_place_where_nobody_can_make_one_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    folder = tmp_path / "file/kept"
    what = "the folder for what is kept between runs cannot be made"
    assert refusal(folder) == [
        f"{what}: [Errno 20] Not a directory: '{folder}'",
        "  to do: point XDG_CACHE_HOME at a folder of yours, or run without --db-resume",
    ]


def test_to_be_the_only_one_takes_a_private_folder(cache: Path) -> None:
    mine = Kept.of("/shop")
    mine.folder.mkdir(parents=True)
    mine.folder.chmod(0o755)
    with pytest.raises(ServerError) as refused, mine.only_one():
        pytest.fail("it was let in")
    assert refused.value.what == f"{mine.folder} is not a private folder of this user"


def test_the_files_of_the_folder_are_private(mine: Kept) -> None:
    mine.write(RECORD)
    modes = {path.name: mode(path) for path in mine.folder.iterdir()}
    assert modes == {"lock": 0o600, "server.json": 0o600}


@pytest.mark.skipif(not LOCKS.exists(), reason="the kernel does not tell who waits")
def test_of_two_processes_the_second_waits_until_the_first_has_left(
    start_alone: Alone, mine: Kept, eventually: Callable[[Callable[[], object]], None]
) -> None:
    first = start_alone()
    assert line(first) == "in"
    second = start_alone()
    eventually(lambda: is_waiting(second, mine))
    said, _ = first.communicate("\n", timeout=30)
    assert said == "leaving\n"
    assert line(second) == "in"


def test_a_process_that_is_killed_keeps_nobody_out(start_alone: Alone) -> None:
    first = start_alone()
    assert line(first) == "in"
    first.kill()
    first.wait()
    assert line(start_alone()) == "in"


@pytest.mark.skipif(not LOCKS.exists(), reason="the kernel does not tell who waits")
def test_who_waited_while_the_folder_was_removed_is_alone_in_a_new_one(
    start_alone: Alone, mine: Kept, eventually: Callable[[Callable[[], object]], None]
) -> None:
    with mine.only_one():
        waiting = start_alone()
        eventually(lambda: is_waiting(waiting, mine))
        mine.forget()
        assert not mine.folder.exists()
    assert line(waiting) == "in"
    assert mine.folder.exists()
    late = start_alone()
    eventually(lambda: is_waiting(late, mine))


def test_a_process_lets_the_next_one_in_whatever_it_raised(start_alone: Alone, mine: Kept) -> None:
    with pytest.raises(RuntimeError), mine.only_one():
        raise RuntimeError
    assert line(start_alone()) == "in"


def test_what_is_written_down_of_a_server_is_read_again(mine: Kept) -> None:
    assert mine.read() is None
    mine.write(RECORD)
    assert mine.read() == RECORD


def test_a_server_that_answers_is_ready_at_its_address(mine: Kept) -> None:
    elsewhere = replace(DSN, port=5434)
    mine.write(RECORD.ready(elsewhere))
    assert mine.read() == replace(RECORD, dsn=elsewhere, is_ready=True)


def test_a_record_with_fields_of_another_version_is_read_without_them(mine: Kept) -> None:
    written = {**RECORD.as_record(), "colour": "blue", "asked": {"server": "auto", "mood": "good"}}
    (mine.folder / "server.json").write_text(json.dumps(written))
    asked = {"server": "auto", "mood": "good"}
    assert mine.read() == replace(RECORD, asked=asked)


def test_a_record_with_fewer_fields_is_filled_up(mine: Kept) -> None:
    known = ("kind", "dsn", "project", "plugin")
    written = {name: value for name, value in RECORD.as_record().items() if name in known}
    (mine.folder / "server.json").write_text(json.dumps(written))
    assert mine.read() == Record("embedded", DSN, "/shop", "0.1.0")


def test_a_folder_that_is_not_there_knows_of_no_server(cache: Path) -> None:
    assert Kept.of("/shop").read() is None
    cache.parent.mkdir()
    cache.touch()
    assert Kept.of("/shop").read() is None


def test_a_record_does_not_show_the_password() -> None:
    assert "s3cret" not in repr(RECORD)


def test_what_is_known_of_a_server_that_is_gone_is_removed_and_the_users_stay(mine: Kept) -> None:
    mine.write(RECORD)
    (mine.folder / "server/data").mkdir(parents=True)
    (mine.folder / "server/data/file").touch()
    mine.join(Path("/run/0a1b2c3d"))
    mine.empty()
    assert sorted(path.name for path in mine.folder.iterdir()) == ["lock", "users"]
    assert mine.read() is None


def test_the_last_project_to_be_forgotten_takes_the_cache_with_it(cache: Path) -> None:
    first, second = Kept.of("/first"), Kept.of("/second")
    for it in (first, second):
        kept.make_private(it.folder)
        it.write(RECORD)
    first.forget()
    assert list(cache.iterdir()) == [second.folder]
    second.forget()
    second.forget()
    assert not cache.exists()


def test_all_kept_servers_of_the_user_are_found(cache: Path) -> None:
    assert list(kept.every()) == []
    for root in ("/first", "/second", "/empty"):
        kept.make_private(Kept.of(root).folder)
    for root in ("/first", "/second"):
        Kept.of(root).write(replace(RECORD, project=root))
    found = {it.key: record.project for it, record in kept.every()}
    assert found == {kept.key("/first"): "/first", kept.key("/second"): "/second"}


def test_without_users_nobody_uses_a_server(mine: Kept) -> None:
    assert mine.users() == []


def test_a_living_run_uses_the_server_and_a_dead_one_does_not(
    mine: Kept, start_owner: Start
) -> None:
    living, dead = start_owner(is_guarded=False), start_owner(is_guarded=False)
    for owner in (living, dead):
        mine.join(owner.folder)
    assert sorted(mine.users()) == sorted([living.folder.name, dead.folder.name])
    dead.kill()
    assert dead.folder.exists()
    assert mine.users() == [living.folder.name]
    assert [path.name for path in (mine.folder / "users").iterdir()] == [living.folder.name]


def test_a_run_that_has_ended_does_not_use_the_server(mine: Kept, start_owner: Start) -> None:
    owner = start_owner(is_guarded=False)
    mine.join(owner.folder)
    owner.finish()
    assert not owner.folder.exists()
    assert mine.users() == []
    assert list((mine.folder / "users").iterdir()) == []


def test_a_run_uses_the_server_until_its_guardian_has_cleaned_up_after_it(
    mine: Kept, start_owner: Start, eventually: Callable[[Callable[[], object]], None]
) -> None:
    owner = start_owner()
    mine.join(owner.folder)
    owner.kill()
    eventually(lambda: mine.users() == [])
    eventually(lambda: owner.left() == [])


def test_a_run_does_not_count_itself(mine: Kept, start_owner: Start) -> None:
    owner = start_owner(is_guarded=False)
    own = Run.start("shop")
    for folder in (owner.folder, own.folder):
        mine.join(folder)
    assert mine.users(besides=own.id) == [owner.folder.name]
    assert mine.users(besides=owner.folder.name) == [own.id]
    assert sorted(mine.users()) == sorted([own.id, owner.folder.name])
    own.finish()
    assert mine.users() == [owner.folder.name]


def test_a_run_that_looks_at_itself_lives_on(mine: Kept, runs_folder: Path) -> None:
    own = Run.start("shop")
    mine.join(own.folder)
    assert mine.users() == [own.id]
    look = (
        "import sys; from pathlib import Path; "
        "from pytest_dbmigrate.servers.kept.record import Kept; "
        "print(*Kept(Path(sys.argv[1])).users())"
    )
    done = subprocess.run(
        [sys.executable, "-c", look, str(mine.folder)], capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == [own.id]
    own.finish()


def test_a_user_that_is_being_written_down_is_not_read(mine: Kept) -> None:
    mine.join(Path("/run/0a1b2c3d"))
    (mine.folder / "users/4e5f6071.123").touch()
    assert mine.users() == []
    assert [path.name for path in (mine.folder / "users").iterdir()] == ["4e5f6071.123"]


def test_one_start_of_the_machine_has_one_name() -> None:
    assert kept.boot() == kept.boot() != ""
