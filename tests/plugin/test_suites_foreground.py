"""Where workers cannot serve, suites run one after another on the terminal itself."""

from __future__ import annotations

import os
import pty
import select
import signal
import subprocess
import time
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from tests.plugin.projects import PATIENCE, Project, output
from tests.plugin.suites import PASSES, Suites, rows

FAILS = "def test_fails(): assert 0\n"
SAYS = "dbmigrate: suites unit, integration run one after another in the foreground: "


@pytest.mark.parametrize(
    ("arguments", "plugins", "why"),
    [
        (["--trace", "--db-suite=unit,integration", "-k", "none"], ("xdist",), "--trace was given"),
        (["--collect-only"], ("xdist",), "--collect-only was given"),
        (["--setup-show"], ("xdist",), "--setup-show was given"),
        (["--setup-only"], ("xdist",), "--setup-only was given"),
        (["--setup-plan"], ("xdist",), "--setup-plan was given"),
        (["-n0"], ("xdist",), "-n0 was given"),
        (["-p", "no:xdist"], (), "pytest-xdist is switched off"),
    ],
    ids=lambda it: it[0] if isinstance(it, list) else "",
)
def test_the_first_line_says_why(
    suites: Suites, arguments: list[str], plugins: tuple[str, ...], why: str
) -> None:
    suites.files(unit=PASSES, integration=PASSES)

    result = suites.run(*arguments, plugins=plugins)

    assert result.outlines[0] == SAYS + why
    assert [
        it.strip("= ") for it in result.outlines if it.startswith("===") and "suite " in it
    ] == [
        "suite unit",
        "suite integration",
    ]
    assert result.ret == (5 if "none" in arguments else 0)


def test_without_xdist_installed_it_is_said_how_to_get_it(suites: Suites) -> None:
    suites.files(unit=PASSES, integration=PASSES)
    suites.write("missing.py", "import sys\nsys.modules['xdist'] = None\n")

    result = suites.run(plugins=("missing",))

    assert result.outlines[0] == (
        f"{SAYS}pytest-xdist is not installed (it comes with pytest-dbmigrate[xdist])"
    )
    assert result.ret == 0


def test_an_xdist_that_is_not_known_is_not_used(suites: Suites) -> None:
    suites.files(unit=PASSES, integration=PASSES)
    suites.write("newer.py", "import xdist\nxdist.__version__ = '4.0.0'\n")

    result = suites.run(plugins=("xdist", "newer"))

    assert result.outlines[0] == (
        f"{SAYS}pytest-xdist 4.0.0 is not known to this version of pytest-dbmigrate"
    )
    assert result.ret == 0


def test_an_xdist_that_has_changed_inside_is_not_used(suites: Suites) -> None:
    suites.files(unit=PASSES, integration=PASSES)
    suites.write("changed.py", "from xdist.dsession import DSession\ndel DSession._clone_node\n")

    result = suites.run(plugins=("xdist", "changed"))

    assert "is not known to this version of pytest-dbmigrate" in result.outlines[0]
    assert result.ret == 0


@pytest.mark.parametrize(
    ("unit", "integration", "status"),
    [
        (PASSES, PASSES, pytest.ExitCode.OK),
        (FAILS, PASSES, pytest.ExitCode.TESTS_FAILED),
        (PASSES, FAILS, pytest.ExitCode.TESTS_FAILED),
        ("", PASSES, pytest.ExitCode.OK),
        ("", "", pytest.ExitCode.NO_TESTS_COLLECTED),
        (PASSES, "import no_such_module", pytest.ExitCode.INTERRUPTED),
        ("import pytest\ndef test_ends(): pytest.exit('x', returncode=7)", PASSES, 7),
        ("import os\ndef test_dies(): os.kill(os.getpid(), 9)", PASSES, 1),
        ("import os\ndef test_dies(): os._exit(0)", PASSES, 1),
    ],
)
def test_the_exit_status_is_one(suites: Suites, unit: str, integration: str, status: int) -> None:
    suites.files(unit=unit, integration=integration)

    result = suites.run("-n0")

    assert result.ret == status
    if "os.kill" in unit:
        assert "suite unit: its process was ended by SIGKILL" in result.outlines
    if "os._exit" in unit:
        assert (
            "suite unit: its process ended in the middle of its tests (exit status 0)"
        ) in result.outlines


def test_a_run_stops_at_the_failure_that_was_said(suites: Suites) -> None:
    fails = "def test_a(): assert 0\ndef test_b(): assert 0\n"
    suites.files(unit=fails, integration=fails, e2e=fails)

    result = suites.run("-n0", "--maxfail=3")

    assert {name: cells[1] for name, cells in rows(result).items()} == {
        "unit": "2",
        "integration": "1",
        "e2e": "0",
    }


def test_what_failed_is_run_again(suites: Suites) -> None:
    suites.files(unit=PASSES, integration=FAILS + PASSES)
    suites.run("-n0")

    again = suites.run("-n0", "--lf")

    assert {name: cells[:2] for name, cells in rows(again).items()} == {
        "unit": ["0", "0"],
        "integration": ["0", "1"],
    }


def test_a_run_goes_on_where_it_stopped(suites: Suites) -> None:
    suites.files(unit="def test_a(): pass\n" + PASSES, integration=PASSES + FAILS, e2e=PASSES)
    suites.run("-n0", "--sw")

    again = suites.run("-n0", "--sw")

    assert {name: cells[:2] for name, cells in rows(again).items()} == {
        "unit": ["0", "0"],
        "integration": ["0", "1"],
        "e2e": ["0", "0"],
    }


@pytest.mark.parametrize(
    ("number", "status", "ran"),
    [(signal.SIGTERM, -signal.SIGTERM, "begun"), (signal.SIGINT, 2, "begun, ended")],
)
def test_a_signal_for_the_run_alone_ends_it(
    suites: Suites, number: int, status: int, ran: str
) -> None:
    slow = """
    import os, pathlib, time

    def test_is_slow():
        pathlib.Path("new").write_text(str(os.getpid()))
        pathlib.Path("new").rename("process")
        log = pathlib.Path("log")
        log.write_text("begun")
        while not pathlib.Path("go").exists():
            time.sleep(0.01)
        log.write_text("begun, ended")
    """
    suites.files(unit=slow, integration="def test_is_not_run():\n    open('log', 'w').close()\n")
    folder = suites.path / "temporary"
    folder.mkdir()
    process = subprocess.Popen(
        suites.project.command("-n0", server="", plugins=("xdist",)),
        cwd=suites.path, env={**os.environ, "TMPDIR": str(folder)}, start_new_session=True,
    )  # fmt: skip
    log = suites.path / "log"
    while not log.exists():
        assert process.poll() is None
        time.sleep(0.01)

    child = int((suites.path / "process").read_text())

    process.send_signal(number)
    if "ended" in ran:  # Ctrl-C is the child's own matter: it may go on to its end
        (suites.path / "go").touch()

    assert process.wait(PATIENCE) == status
    with pytest.raises(ProcessLookupError):  # what is gone writes nothing any more
        os.kill(child, 0)
    assert log.read_text() == ran
    assert list(folder.glob("dbm-suites-*")) == []


def test_without_junitparser_a_junit_file_is_refused_at_once(suites: Suites) -> None:
    suites.files(unit=PASSES, integration=PASSES)
    suites.write("no_junitparser.py", "import sys\nsys.modules['junitparser'] = None\n")
    options = ("-n0", "-p", "no_junitparser")

    refused = suites.run(*options, "--junitxml=junit.xml")

    assert refused.ret == pytest.ExitCode.USAGE_ERROR
    assert refused.errlines[0] == (
        "ERROR: dbmigrate: --junitxml of suites in the foreground needs junitparser: "
        "pip install 'pytest-dbmigrate[xdist]'"
    )
    assert suites.run(*options).ret == pytest.ExitCode.OK


def test_junit_has_the_tests_of_all_suites(suites: Suites) -> None:
    suites.files(unit=PASSES, integration=FAILS)

    suites.run("-n0", "--junitxml=reports/junit.xml")

    root = ET.parse(suites.path / "reports/junit.xml").getroot()
    assert root.tag == "testsuites"
    assert [it.get("failures") for it in root] == ["0", "1"]
    assert [it.get("value") for it in root.iter("property")] == ["unit", "integration"]


def test_no_process_imports_anything_of_another_suite(suites: Suites) -> None:
    alone = "import sys\n\ndef test_is_alone(): assert 'other' not in sys.modules\n"
    for name in ("unit", "integration"):
        suites.write(f"tests/{name}/other.py", "")
        suites.write(
            f"tests/{name}/conftest.py", "import pathlib\npathlib.Path('c').open('a').write('x')"
        )
    suites.files(unit=alone, integration="import other\n" + PASSES)

    assert suites.run("-n0").ret == 0
    assert (suites.path / "c").read_text() == "xx"


class Terminal:
    """A run on a terminal of its own, at which somebody types."""

    def __init__(self, command: list[str], folder: Path) -> None:
        self._end, other = pty.openpty()
        self.process = subprocess.Popen(
            command, cwd=folder, stdin=other, stdout=other, stderr=other, start_new_session=True
        )
        os.close(other)
        self.shown = ""

    def until(self, text: str) -> None:
        """Wait until this text is shown after what was waited for before."""
        begin = len(self.shown)
        while text not in self.shown[begin:]:
            readable, _, _ = select.select([self._end], [], [], PATIENCE)
            assert readable, f"no {text!r} in:\n{self.shown}"
            self.shown += os.read(self._end, 65536).decode()

    def type(self, text: str) -> None:
        """Type a line."""
        os.write(self._end, f"{text}\n".encode())


def test_a_debugger_has_the_terminal(suites: Suites) -> None:
    suites.files(
        unit="def test_stops():\n    number = 41\n    assert number == 42\n", integration=PASSES
    )

    terminal = Terminal(suites.project.command("--pdb", server="", plugins=("xdist",)), suites.path)
    terminal.until("(Pdb) ")
    terminal.type("p number + 1000")
    terminal.until("1041")
    terminal.type("continue")
    terminal.until("1 passed")
    terminal.until("integration        1        0")

    assert terminal.process.wait(PATIENCE) == pytest.ExitCode.TESTS_FAILED


def test_suites_join_one_run_whose_server_is_started_once(
    items_project: Project, suites: Suites
) -> None:
    uses = "def test_uses(migrated_db): migrated_db.connect().execute('select 1 from item')\n"
    suites.files(unit=PASSES, integration=uses, e2e=uses)

    result = items_project.run("-n0", server="embedded", plugins=("xdist",))

    assert result.ret == 0
    assert output(result).count("(embedded), ready in") == 1
    assert output(result).count("1 revision applied in") == 1
    assert [cells[-1] for cells in rows(result).values()] == ["-", "1", "1"]
