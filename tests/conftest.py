"""What all the tests share: temporary files, the machine's processes, the CPU seconds of each."""

from __future__ import annotations

import os
import resource
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Generator, Iterator
from pathlib import Path

import pytest

from tests.plugin import forkserver

collect_ignore = ["projects"]  # their tests are run in copies of them
_BEFORE = pytest.StashKey[float]()
_DEAREST = 15  # tests named at the end
_seconds: dict[str, float] = {}


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Note what the process had spent before a test."""
    item.stash[_BEFORE] = _spent()
    return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Give the last report of a test the CPU seconds of it and of its children that have ended."""
    report = yield
    if call.when == "teardown":
        report.user_properties.append(("cpu_seconds", _spent() - item.stash[_BEFORE]))
    return report


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Add up what the workers say."""
    for name, seconds in report.user_properties:
        if name == "cpu_seconds" and report.when == "teardown":
            assert isinstance(seconds, float)
            _seconds[report.nodeid] = seconds


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Name the dearest tests: CONTRIBUTING says what one may cost."""
    if not _seconds:
        return
    minutes = sum(_seconds.values()) / 60
    terminalreporter.write_sep(
        "=", f"CPU: {minutes:.1f} minutes, without servers; the dearest tests"
    )
    for nodeid in sorted(_seconds, key=_seconds.__getitem__, reverse=True)[:_DEAREST]:
        terminalreporter.write_line(f"{_seconds[nodeid]:6.1f} s  {nodeid}")


def _spent() -> float:
    """Return the CPU seconds of this process, its children and the fork server's runs so far."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(it.ru_utime + it.ru_stime for it in used) + sum(forkserver.SPENT)


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
