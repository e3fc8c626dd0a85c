"""Outcomes of suites in each way, in turns, with `-n2` and with `-n0`: those of plain pytest.

`make test` tries each case in one way, here or in a test of another module, and each way with
several cases; `make test-all` has all the pairs.
"""

from __future__ import annotations

from collections.abc import Container, Mapping
from xml.etree import ElementTree as ET

import pytest

from tests.plugin.suites import PASSES, PLAIN, Suites, outcomes

WAYS = {"in turns": (), "n2": ("-n", "2"), "n0": ("-n0",)}
each_way = pytest.mark.parametrize("how", WAYS.values(), ids=WAYS)


def by_turns(
    cases: Mapping[str, object], *, elsewhere: Container[str] = ()
) -> pytest.MarkDecorator:
    """Parametrize with each case in one of the ways, and in the other two as a matrix.

    Cases that a test `elsewhere` has in `make test` are a matrix in all ways.
    """
    return pytest.mark.parametrize(
        ("case", "how"),
        [
            pytest.param(
                *(case, how),
                id=f"{name}-{way}",
                marks=(
                    ()
                    if number % len(WAYS) == place and name not in elsewhere
                    else pytest.mark.matrix
                ),
            )
            for number, (name, case) in enumerate(cases.items())
            for place, (way, how) in enumerate(WAYS.items())
        ],
    )


FLAKY = """
import pathlib

def test_flaky():
    seen = pathlib.Path(__file__).with_suffix(".seen")
    if not seen.exists():
        seen.touch()
        assert 0
"""
PAGE = ("xdist", "pytest_metadata.plugin", "pytest_html.plugin", "pytest_html.fixtures")
DIES = "import os\ndef test_dies(): os.kill(os.getpid(), 9)\n"
ENDS = "import pytest\ndef test_ends(): pytest.exit('enough', returncode=7)\n"


def compared(suites: Suites, how: tuple[str, ...], *arguments: str) -> pytest.RunResult:
    """Return a run with suites that came to what the run without them did."""
    suites.forget()
    plain = suites.plain("-rA", *arguments)
    suites.forget()
    result = suites.run("-rA", *how, *arguments)
    assert (result.ret, outcomes(result)) == (plain.ret, outcomes(plain))
    return result


@by_turns(
    {
        " ".join(arguments): arguments
        for arguments in (
            (),
            ("-k", "number and not integration"),
            ("-k", "no such thing"),
            ("-m", "slow"),
            ("--deselect", "tests/unit/test_it.py::test_passes", "--ignore=tests/test_loose.py"),
            ("--ignore=tests/integration",),
            ("tests/integration/test_it.py::test_fails", "tests/unit/test_it.py"),
            ("--maxfail=50", "--durations=3"),
            ("--strict-markers",),
            ("--runxfail",),
        )
    },
    elsewhere=(  # test_suites_results has them in turns, and the first with `-n 2`
        "",
        "-k number and not integration",
        "-m slow",
        "--deselect tests/unit/test_it.py::test_passes --ignore=tests/test_loose.py",
        "tests/integration/test_it.py::test_fails tests/unit/test_it.py",
    ),
)
def test_each_test_comes_out_as_in_plain_pytest(
    suites: Suites, case: tuple[str, ...], how: tuple[str, ...]
) -> None:
    suites.mix()
    compared(suites, how, *case)


@by_turns(
    {
        "pytest_rerunfailures": ("-p", "pytest_rerunfailures", "--reruns=1"),
        "pytest_timeout": ("-p", "pytest_timeout", "--timeout=30"),
        "pytest_randomly": ("-p", "randomly", "-p", "no:cacheprovider"),
    },
    elsewhere=("pytest_rerunfailures",),  # test_suites_plugins
)
def test_each_test_comes_out_so_with_other_plugins(
    suites: Suites, case: tuple[str, ...], how: tuple[str, ...]
) -> None:
    suites.files(unit=FLAKY + PASSES, integration=FLAKY + PASSES)
    compared(suites, how, *case)


@by_turns(
    {option: option for option in ("--lf", "--ff", "--sw")},
    elsewhere=("--lf", "--sw"),  # test_suites_results in turns, test_suites_foreground with `-n0`
)
def test_what_failed_is_run_again(suites: Suites, case: str, how: tuple[str, ...]) -> None:
    suites.ini("dbmigrate_suites =\n    a: tests/a\n    b: tests/b\n    c: tests/c")
    suites.files(a=PASSES, b=FLAKY + PASSES, c=PASSES)
    seen = []
    for cache, way in (("plain", PLAIN), ("ours", how)):
        suites.forget()
        first = ("--sw",) if case == "--sw" else ()
        suites.run("-rA", "-o", f"cache_dir={cache}", *way, *first)
        again = suites.run("-rA", "-o", f"cache_dir={cache}", *way, case)
        seen.append((again.ret, outcomes(again)))
    assert seen[1] == seen[0]


@by_turns(
    {
        "nothing": ("", "", pytest.ExitCode.NO_TESTS_COLLECTED),
        "one is empty": ("", PASSES, pytest.ExitCode.OK),
        "an import fails": (PASSES, "import no_such_module\n", pytest.ExitCode.INTERRUPTED),
        "pytest.exit": (ENDS, PASSES, 7),
        "a crash": (DIES, PASSES, pytest.ExitCode.TESTS_FAILED),
    },
    elsewhere=(  # in the order of test_suites_foreground, _results, _crashes
        "an import fails",
        "pytest.exit",
        "a crash",
    ),
)
def test_the_exit_status_is_that_of_one_run(
    suites: Suites, case: tuple[str, str, int], how: tuple[str, ...]
) -> None:
    unit, integration, status = case
    suites.files(unit=unit, integration=integration)
    assert suites.run(*how).ret == status


@each_way
def test_junit_and_a_page_of_pytest_html_have_each_test_once(
    suites: Suites, how: tuple[str, ...]
) -> None:
    suites.mix()
    suites.run("--junitxml=plain.xml", *PLAIN)
    suites.run("--junitxml=ours.xml", "--html=page.html", *how, plugins=PAGE)

    def cases(name: str) -> list[tuple[str, str]]:
        found = ET.parse(suites.path / name).getroot().iter("testcase")
        return sorted((it.get("classname", ""), it.get("name", "")) for it in found)

    assert cases("ours.xml") == cases("plain.xml")

    pages = sorted(suites.path.glob("page*.html"))
    for module in ("unit", "integration"):
        found = [it for it in pages if f"tests/{module}/test_it.py::test_fails" in it.read_text()]
        assert [it.name for it in found] == [f"page-{module}.html" if "-n0" in how else "page.html"]
