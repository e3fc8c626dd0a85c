"""Workers that die: the other suites' results are complete, and nothing stays behind."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Iterator

import pytest

from tests.plugin.projects import Project, output
from tests.plugin.remains import Runs, watched
from tests.plugin.suites import PASSES, Suites, rows, verdict

DIES = """
import os, signal

def test_before(): pass
def test_dies(): {does}
def test_after(): pass
"""
MANY = """
import os
import pytest

@pytest.mark.parametrize("n", range({}))
def test_dies(n): os._exit(1)
"""
KILLED = "os.kill(os.getpid(), signal.SIGKILL)"


@pytest.mark.parametrize(
    ("does", "how", "where"),
    [
        ("os._exit(0)", (), "unit"),
        ("os.kill(os.getpid(), signal.SIGSEGV)", (), "integration"),
        (KILLED, ("-n", "2"), "unit"),
        (KILLED, ("--db-suites=concurrent",), "integration"),
        pytest.param("os._exit(0)", (), "integration", marks=pytest.mark.matrix),
        pytest.param("os.kill(os.getpid(), signal.SIGSEGV)", (), "unit", marks=pytest.mark.matrix),
        pytest.param(KILLED, ("-n", "2"), "integration", marks=pytest.mark.matrix),
        pytest.param(KILLED, ("--db-suites=concurrent",), "unit", marks=pytest.mark.matrix),
    ],
)
def test_a_crash_is_one_failure_and_all_other_tests_run(
    suites: Suites, where: str, does: str, how: tuple[str, ...]
) -> None:
    other = "integration" if where == "unit" else "unit"
    suites.files(**{where: DIES.format(does=does), other: PASSES})

    result = suites.run(*how)

    assert (result.ret, verdict(result)) == (pytest.ExitCode.TESTS_FAILED, "1 failed, 3 passed")
    assert {name: cells[:2] for name, cells in rows(result).items()} == {
        where: ["2", "1"],
        other: ["1", "0"],
    }
    assert output(result).count(f"crashed while running 'tests/{where}/test_it.py::test_dies'") == 1


def test_a_crash_in_the_last_test_needs_no_other_worker_and_is_in_junit_with_its_suite(
    suites: Suites,
) -> None:
    suites.files(unit=f"import os\n{PASSES}def test_dies(): os._exit(1)\n", integration=PASSES)

    result = suites.run("--junitxml=junit.xml")

    assert verdict(result) == "1 failed, 2 passed"
    found = ET.parse(suites.path / "junit.xml").getroot().iter("testcase")
    assert sorted(
        (case.get("name"), [(it.get("name"), it.get("value")) for it in case.iter("property")])
        for case in found
    ) == [
        ("test_dies", [("suite", "unit")]),
        ("test_one", [("suite", "integration")]),
        ("test_one", [("suite", "unit")]),
    ]


def test_a_crash_stops_the_run_with_x(suites: Suites) -> None:
    suites.files(unit="import os\ndef test_dies(): os._exit(1)\n", integration=PASSES)

    result = suites.run("-x")

    assert (result.ret, verdict(result)) == (pytest.ExitCode.TESTS_FAILED, "1 failed")
    assert "stopping after 1 failures" in output(result)


def test_suites_whose_workers_die_again_and_again_are_given_up(suites: Suites) -> None:
    suites.files(unit=MANY.format(20), e2e="import os\nos._exit(3)\n", integration=PASSES)

    result = suites.run()

    assert (result.ret, verdict(result)) == (
        pytest.ExitCode.TESTS_FAILED,
        "5 failed, 1 passed, 2 errors",
    )
    assert "suite unit was given up: its worker died 5 times" in result.outlines
    assert (
        "suite e2e was given up: its worker died 2 times before its tests were collected"
        in result.outlines
    )


def test_the_number_of_restarts_is_the_users(suites: Suites) -> None:
    suites.files(unit=MANY.format(5), integration=PASSES)

    result = suites.run("--max-worker-restart=0")

    assert verdict(result) == "1 failed, 1 passed, 1 error"
    assert "suite unit was given up: its worker died once" in result.outlines


def test_a_worker_that_dies_while_it_waits_for_its_turn_is_replaced(suites: Suites) -> None:
    suites.write(
        "tests/integration/conftest.py",
        """
        import os
        from pathlib import Path

        Path("pid").write_text(str(os.getpid()))
        """,
    )
    suites.files(
        unit="""
        import os, signal, time
        from pathlib import Path

        def test_kills_the_other():
            pid = Path("pid").read_text()
            os.kill(int(pid), signal.SIGKILL)
            while Path("pid").read_text() == pid:
                time.sleep(0.05)
        """,
        integration=PASSES,
    )

    result = suites.run()

    assert (result.ret, verdict(result)) == (pytest.ExitCode.OK, "2 passed")


@pytest.fixture
def runs(items_project: Project) -> Iterator[Runs]:
    """Runs of which nothing may be left when the test ends."""
    with watched(items_project) as runs:
        yield runs


@pytest.mark.parametrize("where", ["unit", pytest.param("integration", marks=pytest.mark.matrix)])
def test_no_database_and_no_process_stays_behind(runs: Runs, where: str) -> None:
    uses = "def test_uses(migrated_db): migrated_db.connect().execute('select 1 from item')\n"
    dies = f"import os, signal\n{uses}def test_dies(migrated_db): {KILLED}\n{uses}".replace(
        "test_uses", "test_again", 1
    )
    for name in ("unit", "integration"):
        runs.project.tests(dies if name == where else uses, f"tests/{name}/test_it.py")

    ended = runs.run(plugins=("xdist",))

    assert (ended.status, ended.verdict) == (pytest.ExitCode.TESTS_FAILED, "1 failed, 3 passed")
    assert sum("(embedded), ready in" in line for line in ended.told) == 1
    assert sum("1 revision applied in" in line for line in ended.told) == 1
