"""Suites together with the plugins that many projects have."""

from __future__ import annotations

import pytest

from tests.plugin.projects import output
from tests.plugin.suites import PASSES, Suites, rows, verdict

ORDER = """
import pytest

@pytest.mark.parametrize("n", range(8))
def test_n(n):
    with open({name!r}, "a") as file:
        print(n, end="", file=file)
"""


def test_pytest_randomly_shuffles_each_suite_by_one_seed(suites: Suites) -> None:
    suites.files(unit=ORDER.format(name="u"), integration=ORDER.format(name="i"))
    orders = []
    for seed in ("7", "7", "8"):
        result = suites.run(f"--randomly-seed={seed}", plugins=("xdist", "pytest_randomly"))
        assert verdict(result) == "16 passed"
        assert f"Using --randomly-seed={seed}" in result.outlines
        orders.append([(suites.path / name).read_text()[-8:] for name in ("u", "i")])
    assert orders[0] == orders[1] != orders[2]
    assert orders[0][0] != "01234567"


def test_pytest_rerunfailures_reruns_in_the_suite_also_after_a_crash(suites: Suites) -> None:
    second = """
    import os
    from pathlib import Path

    def test_passes_at_the_second_try():
        first, _ = not Path({name!r}).exists(), Path({name!r}).touch()
        if first:
            {does}
    """
    suites.files(
        unit=second.format(name="u", does="assert 0"),
        integration=second.format(name="i", does="os._exit(1)") + "\n    def test_it(): pass\n",
    )

    result = suites.run("--reruns=1", plugins=("xdist", "pytest_rerunfailures"))

    assert (result.ret, verdict(result)) == (pytest.ExitCode.OK, "3 passed, 2 rerun")
    assert {name: (cells[0], cells[3]) for name, cells in rows(result).items()} == {
        "unit": ("1", "1"),
        "integration": ("2", "1"),
    }


@pytest.mark.parametrize("method", ["signal", "thread"])
def test_pytest_timeout_ends_a_test_and_not_the_other_suite(suites: Suites, method: str) -> None:
    suites.files(unit="import time\ndef test_hangs(): time.sleep(60)\n", integration=PASSES)

    result = suites.run(
        "--timeout=1", f"--timeout-method={method}", plugins=("xdist", "pytest_timeout")
    )

    assert (result.ret, verdict(result)) == (pytest.ExitCode.TESTS_FAILED, "1 failed, 1 passed")


def test_pytest_asyncio_runs_coroutines_in_workers(suites: Suites) -> None:
    suites.ini("asyncio_mode = auto\nasyncio_default_fixture_loop_scope = function")
    suites.files(unit="async def test_it(): pass\n", integration="async def test_it(): pass\n")

    assert verdict(suites.run(plugins=("xdist", "pytest_asyncio.plugin"))) == "2 passed"


def test_pytest_html_reports_all_suites(suites: Suites) -> None:
    pytest.importorskip("pytest_html")
    suites.files(unit=PASSES, integration=PASSES)

    result = suites.run(
        "--html=report.html",
        plugins=("xdist", "pytest_metadata.plugin", "pytest_html.plugin", "pytest_html.fixtures"),
    )

    assert verdict(result).startswith("2 passed")
    page = (suites.path / "report.html").read_text()
    assert all(f"tests/{name}/test_it.py::test_one" in page for name in ("unit", "integration"))


def test_fixtures_see_numbers_of_workers_that_no_other_suite_has(suites: Suites) -> None:
    notes = "def test_it(worker_id): open('ids', 'a').write(worker_id + ' ')\n"
    suites.files(unit=notes, integration=notes)

    assert verdict(suites.run()) == "2 passed"
    assert sorted((suites.path / "ids").read_text().split()) == ["gw0", "gw1"]


def test_a_test_that_runs_pytest_itself_is_not_disturbed(suites: Suites) -> None:
    suites.ini("addopts = -p pytester")
    inner = """
    def test_inner(pytester):
        pytester.makepyfile(test_inner="def test_it(): pass")
        result = pytester.runpytest_subprocess("-p", "dbmigrate", "-p", "xdist")
        result.assert_outcomes(passed=1)
        assert "suites" not in result.stdout.str()
    """
    suites.files(unit=inner, integration=inner)

    result = suites.run()

    assert verdict(result) == "2 passed", output(result)
