"""A run of several suites comes to what plain pytest comes to."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import time
from dataclasses import dataclass
from xml.etree import ElementTree as ET

import pytest

from tests.plugin.projects import output
from tests.plugin.suites import PASSES, PLAIN, Suites, outcomes, rows, verdict


@pytest.fixture
def mixed(suites: Suites) -> Suites:
    """Suites `unit` and `integration` with tests of every outcome, and one test in neither."""
    suites.mix()
    return suites


def same(suites: Suites, *arguments: str, ordered: bool = True) -> pytest.RunResult:
    """Run with suites and without; assert that both come to the same."""
    plain = suites.plain("-rA", "-p", "no:cacheprovider", *arguments)
    result = suites.run("-rA", "-p", "no:cacheprovider", *arguments)
    assert (result.ret, verdict(result)) == (plain.ret, verdict(plain))
    assert outcomes(result) == outcomes(plain)
    return result


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("-n", "2"),
        ("-n", "2", "--dist=loadscope", "--ignore=tests/test_loose.py"),
        ("-n", "2", "--dist=worksteal", "--ignore=tests/test_loose.py"),
        ("--db-suites=concurrent",),
        ("-k", "number and not integration"),
        ("-m", "slow"),
        ("-k", "no such thing"),
        ("--deselect", "tests/unit/test_it.py::test_passes", "--ignore=tests/test_loose.py"),
        ("--ignore=tests/integration",),
        ("tests/integration/test_it.py::test_fails", "tests/unit/test_it.py"),
        ("tests/unit", "no/such/path"),
        ("tests/integration", "tests/unit/test_it.py::nope"),
        ("--maxfail=50", "tests/test_loose.py", "tests/unit"),
    ],
    ids=" ".join,
)  # fmt: skip
def test_counts_and_exit_status_are_those_of_plain_pytest(
    mixed: Suites, arguments: tuple[str, ...]
) -> None:
    if "--db-suites=concurrent" in arguments:
        plain = mixed.plain()
        result = mixed.run(*arguments)
        assert (result.ret, verdict(result)) == (plain.ret, verdict(plain))
    else:
        same(mixed, *arguments)


def test_a_module_that_cannot_be_collected_ends_the_run(mixed: Suites) -> None:
    mixed.files(integration="import no_such_module\n")

    result = same(mixed)

    assert result.ret == pytest.ExitCode.INTERRUPTED
    assert "Interrupted: 1 error during collection" in output(result)


def test_a_run_can_go_on_after_errors_of_the_collection(mixed: Suites) -> None:
    mixed.files(integration="import no_such_module\n")

    assert same(mixed, "--continue-on-collection-errors").ret == pytest.ExitCode.TESTS_FAILED


def test_a_conftest_of_a_suite_that_cannot_be_imported_is_an_error_of_the_collection(
    mixed: Suites,
) -> None:
    mixed.write("tests/unit/conftest.py", "import no_such_module\n")

    result = mixed.run()

    assert (result.ret, verdict(result)) == (pytest.ExitCode.INTERRUPTED, "1 error")
    assert "ModuleNotFoundError: No module named 'no_such_module'" in output(result)


@pytest.mark.parametrize("arguments", [("-x",), ("--maxfail=3",), ("-x", "-n", "2")], ids=" ".join)
def test_a_run_stops_at_the_failure_that_was_said(
    suites: Suites, arguments: tuple[str, ...]
) -> None:
    fails = "def test_a(): assert 0\ndef test_b(): assert 0\n"
    suites.files(unit=fails, integration=fails, e2e=fails)
    number = 1 if "-x" in arguments else 3

    result = suites.run(*arguments)

    assert result.ret == pytest.ExitCode.TESTS_FAILED
    assert f"stopping after {number} failures" in output(result)
    if "-n" not in arguments:
        assert verdict(result) == f"{number} failed"
    assert rows(result)["e2e"][:3] == ["0", "0", "0"]


def test_quiet_runs_show_points_and_the_table_alone(suites: Suites) -> None:
    suites.files(unit=PASSES, integration=PASSES)

    result = suites.run("-q", "--no-header")

    lines = [re.sub(r"\d+\.\d\d", "0.00", line) for line in result.outlines if line]
    assert lines == [
        "..                                                                       [100%]",
        "==================================== suites ====================================",
        "suite         passed   failed  skipped  seconds  databases",
        "unit               1        0        0     0.00          -",
        "integration        1        0        0     0.00          -",
        "2 passed in 0.00s",
    ]


def test_verbose_runs_name_each_test_and_list_the_slowest_of_all_suites(suites: Suites) -> None:
    sleeps = "import time\ndef test_sleeps(): time.sleep({})\n"
    suites.files(unit=sleeps.format(0.1), integration=sleeps.format(0.2))

    result = suites.run("-v", "--durations=2")

    assert [line for line in result.outlines if "PASSED" in line] == [
        "[unit] [ 50%] PASSED tests/unit/test_it.py::test_sleeps ",
        "[integration] [100%] PASSED tests/integration/test_it.py::test_sleeps ",
    ]
    assert [line.split()[1:] for line in result.outlines if "s call " in line] == [
        ["call", "tests/integration/test_it.py::test_sleeps"],
        ["call", "tests/unit/test_it.py::test_sleeps"],
    ]


def test_junit_has_every_test_with_its_suite(mixed: Suites) -> None:
    mixed.run("--junitxml=junit.xml")
    mixed.run("--junitxml=plain.xml", *PLAIN)

    def cases(name: str) -> list[tuple[str, str]]:
        found = ET.parse(mixed.path / name).getroot().iter("testcase")
        return sorted((it.get("classname", ""), it.get("name", "")) for it in found)

    assert cases("junit.xml") == cases("plain.xml")
    for case in ET.parse(mixed.path / "junit.xml").getroot().iter("testcase"):
        (module,) = re.findall(r"tests\.(\w+)", case.get("classname", ""))
        (suite,) = (it.get("value") for it in case.iter("property") if it.get("name") == "suite")
        assert suite == ("other" if module == "test_loose" else module)


@dataclass(frozen=True)
class Reported:
    """What a run reported of tests with something odd each."""

    result: pytest.RunResult
    junit: str
    imported: str


@pytest.fixture(scope="module")
def of_the_first() -> list[Reported]:
    """What the first test that needed it has found: one run for all."""
    return []


@pytest.fixture
def reported(suites: Suites, of_the_first: list[Reported]) -> Reported:
    """What a run reports of odd properties, a reason, a warning and a breakpoint."""
    if of_the_first:
        return of_the_first[0]
    records = """
    from decimal import Decimal

    def test_records(record_property):
        record_property("price", {"of": Decimal("1.50")})
    """
    skips = """
    import pytest

    class Translated(str): pass

    def test_skips(): pytest.skip(Translated("not today"))
    """
    suites.ini("pythonpath = .")
    suites.write(
        "lib.py",
        "open('imported', 'a').write('x')\nclass Careful(UserWarning): pass\n",
    )
    suites.files(
        unit="import warnings, lib\ndef test_it(): warnings.warn(lib.Careful('slowly'))\n",
        integration=records,
    )
    suites.write("tests/unit/test_records.py", records)
    suites.write("tests/unit/test_skips.py", skips)
    suites.write("tests/unit/test_stops.py", "def test_stops(): breakpoint()\n")
    result = suites.run("-rs", "--junitxml=junit.xml")
    junit, imported = ((suites.path / name).read_text() for name in ("junit.xml", "imported"))
    of_the_first.append(Reported(result, junit, imported))
    return of_the_first[0]


def test_all_that_is_odd_is_reported(reported: Reported) -> None:
    assert verdict(reported.result) == "1 failed, 3 passed, 1 skipped, 1 warning"


def test_properties_of_any_type_are_reported(reported: Reported) -> None:
    assert "Decimal" not in reported.junit
    assert reported.junit.count("1.50") == 2


def test_a_reason_that_is_a_text_of_the_projects_own_kind_is_reported(reported: Reported) -> None:
    assert "SKIPPED [1] tests/unit/test_skips.py:5: not today" in reported.result.outlines


def test_a_warning_is_reported_without_importing_its_class(reported: Reported) -> None:
    assert "Careful: slowly" in output(reported.result)
    assert reported.imported == "x"


def test_a_breakpoint_in_a_worker_explains_itself(reported: Reported) -> None:
    assert (
        "E   Failed: breakpoint() in a worker of suite unit, which has no terminal: "
        "say --pdb, or --db-suite=unit to run it in the foreground"
    ) in [line.replace(" " * 18, "") for line in reported.result.outlines]


FAILS_THEN_PASSES = """
import pathlib

def test_always_passes(): pass

def test_mended(): assert pathlib.Path("mended").exists()

def test_last(): pass
"""


@pytest.mark.parametrize(
    ("option", "where"),
    [
        ("--lf", "first"),
        ("--ff", "second"),
        ("--sw", "first"),
        pytest.param("--lf", "second", marks=pytest.mark.matrix),
        pytest.param("--ff", "first", marks=pytest.mark.matrix),
        pytest.param("--sw", "second", marks=pytest.mark.matrix),
    ],
)
def test_what_failed_is_run_again_as_in_plain_pytest(
    suites: Suites, option: str, where: str
) -> None:
    other = "second" if where == "first" else "first"
    suites.ini("dbmigrate_suites =\n    first: tests/first\n    second: tests/second")
    suites.files(**{where: FAILS_THEN_PASSES, other: PASSES})
    first = ("--sw",) if option == "--sw" else ()
    verdicts = []
    for cache, how in (("plain", PLAIN), ("ours", ())):
        (suites.path / "mended").unlink(missing_ok=True)
        begun = suites.run("-o", f"cache_dir={cache}", *how, *first)
        again = suites.run("-o", f"cache_dir={cache}", *how, option)
        (suites.path / "mended").touch()
        mended = suites.run("-o", f"cache_dir={cache}", *how, option)
        verdicts.append([(it.ret, verdict(it)) for it in (begun, again, mended)])
    assert verdicts[1] == verdicts[0]


@pytest.mark.parametrize(
    ("does", "status"),
    [
        ("pytest.exit('enough', returncode=7)", 7),
        ("pytest.exit('enough')", 2),
        ("raise KeyboardInterrupt", 2),
    ],
)
def test_a_test_can_end_the_run(suites: Suites, does: str, status: int) -> None:
    suites.files(unit=f"import pytest\ndef test_ends(): {does}\n", integration=PASSES)

    result = suites.run()

    assert result.ret == status
    assert "== no tests ran in" in output(result)
    assert "node down" not in output(result)
    if "enough" in does:
        assert "!! _pytest.outcomes.Exit: enough !!" in output(result)
    else:
        assert "KeyboardInterrupt in suite unit" in output(result)


def test_ctrl_c_ends_all_processes_and_is_reported(suites: Suites) -> None:
    waits = """
    import os, time, pytest
    from pathlib import Path

    @pytest.fixture(scope="session", autouse=True)
    def session():
        yield
        Path("torn-down").touch()

    def test_passes(): pass

    def test_waits():
        Path("pid").write_text(str(os.getpid()))
        time.sleep(1)  # until the report of the other test has been dealt with
        Path("waits").touch()
        time.sleep(60)
    """
    suites.files(unit=waits, integration=PASSES)
    command = suites.project.command("--junitxml=junit.xml", server="", plugins=("xdist",))
    with open(suites.path / "printed", "wb") as printed:
        process = subprocess.Popen(
            command, cwd=suites.path, stdout=printed, stderr=printed, start_new_session=True,
        )  # fmt: skip
    while not (suites.path / "waits").exists():
        assert process.poll() is None
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGINT)

    assert process.wait(60) == pytest.ExitCode.INTERRUPTED
    lines = (suites.path / "printed").read_text().splitlines()
    assert "KeyboardInterrupt" in "".join(lines)
    assert lines[-1].strip("= ").startswith("1 passed")
    assert (suites.path / "torn-down").exists()
    cases = ET.parse(suites.path / "junit.xml").getroot().iter("testcase")
    # one that was interrupted after its setup is there without a name, as in plain pytest
    assert [name for it in cases if (name := it.get("name"))] == ["test_passes"]
    with pytest.raises(ProcessLookupError):
        os.kill(int((suites.path / "pid").read_text()), 0)


def test_output_of_tests_is_shown_when_nothing_is_captured(suites: Suites) -> None:
    suites.files(
        unit="import os\ndef test_says(): print('from unit'); os.system('echo from a child')\n",
        integration="def test_says(): print('from integration')\n",
    )

    result = suites.run("-s")

    assert verdict(result) == "2 passed"
    text = output(result)
    assert [text.count(it) for it in ("from unit", "from a child", "from integration")] == [1, 1, 1]
