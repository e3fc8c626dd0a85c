"""Several suites in one run: which tests run where, and what the terminal says."""

from __future__ import annotations

import re
from collections import defaultdict

import pytest

from tests.plugin.projects import output
from tests.plugin.suites import PASSES, Suites, between, rows, verdict

LINES = "dbmigrate_suites =\n    unit: tests/unit\n    integration: tests/integration"
TWO = """
import pytest

def test_one():
    pass

def test_two():
    pass

@pytest.mark.skip
def test_three():
    pass
"""
NOTES = """
import os
from pathlib import Path

with open({log!r}, "a") as log:
    print(Path(__file__).relative_to({root!r}), os.getpid(), file=log)
"""
IN_PROCESS = """
import os, sys

def test_is_in_no_worker():
    assert "PYTEST_XDIST_WORKER" not in os.environ
    assert "xdist.dsession" not in sys.modules
"""


def test_folders_of_the_usual_names_are_suites_of_one_run_with_a_table(suites: Suites) -> None:
    suites.files(unit=TWO, integration=TWO.replace("pass", "assert 0", 1))

    result = suites.run()

    assert result.ret == pytest.ExitCode.TESTS_FAILED
    assert verdict(result) == "1 failed, 3 passed, 2 skipped"
    assert "suites: unit, integration" in result.outlines
    assert between(result, "collecting", "FAILURES") == [
        "collecting 2 suites ...",
        "collected 6 items: unit 3, integration 3",
        "",
        "suite unit (3 tests)",
        "tests/unit/test_it.py ..s                                                [ 50%]",
        "",
        "suite integration (3 tests)",
        "tests/integration/test_it.py F.s                                         [100%]",
        "",
    ]
    lines = result.outlines
    begin = next(n for n, line in enumerate(lines) if line.strip("= ") == "suites")
    assert [re.sub(r"\d+\.\d\d", "0.00", line) for line in lines[begin : begin + 4]] == [
        "==================================== suites ====================================",
        "suite         passed   failed  skipped  seconds  databases",
        "unit               2        0        1     0.00          -",
        "integration        1        1        1     0.00          -",
    ]
    assert max(map(len, lines[begin:])) <= 80


def test_no_process_imports_anything_of_another_suite(suites: Suites) -> None:
    note = NOTES.format(log=str(suites.path / "log"), root=str(suites.path))
    for name in ("unit", "integration"):
        suites.write(f"tests/{name}/conftest.py", note)
        suites.write(f"tests/{name}/deep/conftest.py", note)
        suites.write(f"tests/{name}/deep/test_same.py", note + PASSES)
    suites.write("tests/conftest.py", note)
    suites.write("tests/test_loose.py", note + PASSES)

    result = suites.run()

    assert verdict(result) == "3 passed"
    imported = defaultdict(set)
    for line in (suites.path / "log").read_text().splitlines():
        name, process = line.split()
        imported[process].add(name)
    above = {"tests/conftest.py"}
    assert sorted(imported.values(), key=sorted) == [
        above,
        {
            *above,
            *(f"tests/integration/{it}" for it in ("conftest.py", "deep/conftest.py")),
            "tests/integration/deep/test_same.py",
        },
        {*above, "tests/test_loose.py"},
        {
            *above,
            *(f"tests/unit/{it}" for it in ("conftest.py", "deep/conftest.py")),
            "tests/unit/deep/test_same.py",
        },
    ]


@pytest.mark.parametrize("arguments", [["tests/unit"], ["--db-suite=unit"]], ids=str)
def test_just_one_suite_is_a_plain_run(suites: Suites, arguments: list[str]) -> None:
    suites.files(unit=IN_PROCESS, integration="raise SystemExit\n")

    result = suites.run(*arguments)

    assert (result.ret, verdict(result)) == (pytest.ExitCode.OK, "1 passed")
    assert "suites:" not in output(result)


def test_just_one_suite_can_have_plain_workers(suites: Suites) -> None:
    suites.files(unit=TWO, integration="raise SystemExit\n")

    result = suites.run("--db-suite=unit", "-n", "2")

    assert verdict(result) == "2 passed, 1 skipped"


def test_suites_can_be_switched_off(suites: Suites) -> None:
    suites.files(unit=IN_PROCESS)
    suites.write("tests/integration/test_other.py", IN_PROCESS)

    assert verdict(suites.run("--db-suites=off")) == "2 passed"


def test_any_other_project_is_left_alone(suites: Suites) -> None:
    suites.files(unit=IN_PROCESS, others=IN_PROCESS.replace("test_is", "test_was"))
    suites.ini("addopts = --import-mode=importlib")

    assert verdict(suites.run()) == "2 passed"


def test_configured_suites_run_in_their_order(suites: Suites) -> None:
    suites.write("checks/slow/test_it.py", PASSES)
    suites.write("checks/quick/test_it.py", PASSES)
    suites.write("more/test_more.py", PASSES)
    suites.ini(
        """
        dbmigrate_suites =
            slow: checks/slow
            quick: checks/q* more
        """
    )

    result = suites.run()

    assert [line for line in result.outlines if line.startswith("suite ")][:2] == [
        "suite slow (1 test)",
        "suite quick (2 tests)",
    ]


@pytest.mark.parametrize("mode", ["on", "concurrent"])
def test_tests_run_at_once_as_many_as_was_said(suites: Suites, mode: str) -> None:
    spans = """
    import pytest, time

    @pytest.mark.parametrize("number", range(6))
    def test_takes_time(number):
        with open({log!r}, "a") as log:
            print(time.time(), 1, file=log)
        time.sleep(0.1)
        with open({log!r}, "a") as log:
            print(time.time(), -1, file=log)
    """.format(log=str(suites.path / "log"))
    suites.files(unit=spans, integration=spans, e2e=spans)

    result = suites.run("-n", "2", f"--db-suites={mode}")

    assert verdict(result) == "18 passed"
    steps = sorted(line.split() for line in (suites.path / "log").read_text().splitlines())
    running = [sum(int(step) for _, step in steps[: n + 1]) for n in range(len(steps))]
    assert max(running) == 2


def test_side_by_side_each_suite_has_a_test_running(suites: Suites) -> None:
    meets = """
    import time
    from pathlib import Path

    def test_meets_the_other():
        Path({mine!r}).touch()
        while not Path({other!r}).exists():
            time.sleep(0.01)
    """
    suites.files(
        unit=meets.format(mine="unit", other="integration"),
        integration=meets.format(mine="integration", other="unit"),
    )

    assert verdict(suites.run("--db-suites=concurrent")) == "2 passed"


def test_suites_by_marker_share_what_folders_leave_over(suites: Suites) -> None:
    suites.ini(
        """
        dbmigrate_suites =
            unit: tests/unit
            slow: -m slow and not net
            net: -m net
        markers =
            slow
            net
        """
    )
    suites.files(unit="import pytest\npytestmark = pytest.mark.slow\n" + PASSES)
    suites.write(
        "tests/test_loose.py",
        """
        import pytest

        @pytest.mark.slow
        def test_slow(): pass

        @pytest.mark.slow
        @pytest.mark.net
        def test_net(): pass

        def test_neither(): pass
        """,
    )

    result = suites.run()

    assert {name: cells[0] for name, cells in rows(result).items()} == {
        "unit": "1",
        "slow": "1",
        "net": "1",
        "other": "1",
    }
    assert verdict(suites.run("--db-suite=net,slow", "-k", "net or neither")) == (
        "1 passed, 1 deselected"
    )


def test_auto_tells_tests_with_a_database_from_all_others(suites: Suites) -> None:
    suites.ini("dbmigrate_suites = auto")
    suites.write(
        "test_it.py",
        """
        import pytest

        @pytest.fixture
        def rows(migrated_db): ...

        def test_with(rows): ...
        def test_without(): ...
        def test_sly(request): request.getfixturevalue("migrated_db")
        """,
    )

    result = suites.run("--collect-only", "-q")

    assert [it for it in result.outlines if it.startswith(("test_it", "====="))] == [
        "================================== suite unit ==================================",
        "test_it.py::test_without",
        "test_it.py::test_sly",
        "============================== suite integration ===============================",
        "test_it.py::test_with",
    ]
    sly = suites.run("--db-suite=unit", "--tb=line")
    assert verdict(sly) == "1 failed, 1 passed, 1 deselected"
    assert (
        "migrated_db was asked for while the test was running, so it was not known to belong to "
        "suite integration: name the fixture in test_sly's arguments, or in pytest.mark.usefixtures"
    ) in output(sly)


@pytest.mark.parametrize(
    ("lines", "arguments", "message"),
    [
        (
            "dbmigrate_suites = unit: tests/unti",
            [],
            [
                "ERROR: dbmigrate: suite unit names tests/unti, which does not exist",
                "  tried: {root}/tests/unti",
                "  to do: did you mean tests/unit?",
            ],
        ),
        (
            "dbmigrate_suites = slow: -m slow and",
            ["--db-suite=slow"],
            [
                "ERROR: dbmigrate: suite slow has an expression that pytest cannot read: slow and",
                "  error: *",
            ],
        ),
        (
            "",
            ["--db-suite=units"],
            ["ERROR: dbmigrate: there is no suite units", "  to do: did you mean unit?"],
        ),
        (
            "",
            ["--tx=2*popen"],
            [
                (
                    "ERROR: dbmigrate: --tx names workers, and suites have workers of their own: "
                    "leave it out, or say --db-suites=off"
                )
            ],
        ),
    ],
    ids=["typo", "expression", "name", "tx"],
)
def test_a_mistake_is_one_clear_error(
    suites: Suites, lines: str, arguments: list[str], message: list[str]
) -> None:
    suites.files(unit=PASSES, integration=PASSES)
    suites.ini(lines)

    result = suites.run(*arguments)

    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([it.replace("{root}", str(suites.path)) for it in message])
    assert len(list(filter(None, result.errlines))) == len(message)


def test_a_plugin_that_comes_too_late_for_suites_says_so(suites: Suites) -> None:
    suites.files(unit=PASSES, integration=PASSES)
    suites.write("conftest.py", 'pytest_plugins = ["pytest_dbmigrate.plugin"]')
    suites.ini("dbmigrate_suites = unit: tests/unit")

    result = suites.project.pytester.runpytest_subprocess()

    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert "".join(result.errlines) == (
        "ERROR: dbmigrate: suites are separated before any conftest file is imported, but a "
        "conftest file loaded the plugin: load it with -p dbmigrate"
    )


@pytest.mark.parametrize(
    ("lines", "arguments"),
    [
        pytest.param(lines, arguments, marks=() if lines in chosen else pytest.mark.matrix)
        for arguments, chosen in {
            (): ("", LINES),
            ("tests",): ("",),
            ("-n0",): ("", LINES),
            ("--db-suite=integration,unit",): (LINES,),
        }.items()
        for lines in ("", LINES)
    ],
    ids=lambda it: " ".join(it) if isinstance(it, tuple) else "by lines" if it else "by name",
)
def test_tests_behind_links_are_run(
    suites: Suites, tmp_path_factory: pytest.TempPathFactory, arguments: tuple[str, ...], lines: str
) -> None:
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    for name in ("test_linked.py", "test_beside.py"):
        (elsewhere / name).write_text("def test_fails(): assert 0\n")
    suites.ini(lines)
    suites.files(unit=PASSES)
    (suites.path / "tests/integration").symlink_to(elsewhere)
    (suites.path / "tests/unit/test_beside.py").symlink_to(elsewhere / "test_beside.py")

    result = suites.run(*arguments)

    assert result.ret == pytest.ExitCode.TESTS_FAILED
    assert {name: cells[:2] for name, cells in rows(result).items()} == {
        "unit": ["1", "1"],
        "integration": ["0", "2"],
    }
