"""What all the tests share: a place for temporary files, and a look at the machine's processes."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

collect_ignore = ["projects"]  # their tests are run in copies of them


@pytest.fixture(scope="session", autouse=True)
def temporary_files(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The folder of temporary files: these runs never meet those of whoever works here."""
    tmp_path_factory.getbasetemp()  # stays where pytest always puts it
    folder = Path(tempfile.mkdtemp(prefix="dbm-tests-"))
    folder.chmod(0o755)  # a server that root starts runs as somebody else
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tempfile, "tempdir", str(folder))
        patch.setenv("TMPDIR", str(folder))
        patch.setenv("XDG_CACHE_HOME", str(folder / "cache"))
        yield folder
    shutil.rmtree(folder)


@pytest.fixture(scope="session")
def eventually() -> Callable[[Callable[[], object]], None]:
    """A wait until a condition holds; half a minute without it fails the test."""

    def wait(condition: Callable[[], object]) -> None:
        deadline = time.monotonic() + 30
        while not condition():
            assert time.monotonic() < deadline, "it did not happen within 30 seconds"
            time.sleep(0.005)

    return wait


@pytest.fixture(scope="session")
def processes() -> Callable[[str], list[int]]:
    """A search for living processes by a text in their command line or working folder."""
    return _from_proc if Path("/proc/self").exists() else _from_ps


def _from_proc(text: str) -> list[int]:
    return [
        int(entry.name)
        for entry in Path("/proc").iterdir()
        if entry.name.isdigit() and int(entry.name) != os.getpid() and text in _description(entry)
    ]


def _description(entry: Path) -> str:
    try:
        arguments = (entry / "cmdline").read_bytes().decode(errors="replace")
        return f"{arguments} {(entry / 'cwd').readlink()}"
    except OSError:  # it has ended, or it is nobody's business
        return ""


def _from_ps(text: str) -> list[int]:
    listed = subprocess.run(
        ["ps", "-axww", "-o", "pid=,command="], capture_output=True, text=True, check=True
    ).stdout
    found = [line.split(None, 1) for line in listed.splitlines() if text in line]
    return [int(pid) for pid, _ in found if int(pid) != os.getpid()]
