"""What plain pytest comes to, suites come to in each way: in turns, with `-n2`, with `-n0`."""

from __future__ import annotations

from xml.etree import ElementTree as ET

import pytest

from tests.plugin.suites import PASSES, PLAIN, Suites, outcomes

each_way = pytest.mark.parametrize("how", [(), ("-n", "2"), ("-n0",)], ids=["in turns", "n2", "n0"])
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


def compared(
    suites: Suites, how: tuple[str, ...], *arguments: str, plugins: tuple[str, ...] = ("xdist",)
) -> pytest.RunResult:
    """Return a run with suites that came to what the run without them did."""
    suites.forget()
    plain = suites.run("-rA", *PLAIN, *arguments, plugins=plugins)
    suites.forget()
    result = suites.run("-rA", *how, *arguments, plugins=plugins)
    assert (result.ret, outcomes(result)) == (plain.ret, outcomes(plain))
    return result


@each_way
@pytest.mark.parametrize(
    "arguments",
    [
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
    ],
    ids=" ".join,
)
def test_each_test_comes_out_as_in_plain_pytest(
    suites: Suites, arguments: tuple[str, ...], how: tuple[str, ...]
) -> None:
    suites.mix()
    compared(suites, how, *arguments)


@each_way
@pytest.mark.parametrize(
    ("plugin", "arguments"),
    [
        ("pytest_rerunfailures", ("--reruns=1",)),
        ("pytest_timeout", ("--timeout=30",)),
        ("pytest_randomly", ("-p", "randomly", "-p", "no:cacheprovider")),
    ],
)
def test_each_test_comes_out_so_with_other_plugins(
    suites: Suites, plugin: str, arguments: tuple[str, ...], how: tuple[str, ...]
) -> None:
    suites.files(unit=FLAKY + PASSES, integration=FLAKY + PASSES)
    plugins = ("xdist",) if plugin == "pytest_randomly" else ("xdist", plugin)
    compared(suites, how, *arguments, plugins=plugins)


@each_way
@pytest.mark.parametrize("option", ["--lf", "--ff", "--sw"])
def test_what_failed_is_run_again(suites: Suites, option: str, how: tuple[str, ...]) -> None:
    suites.ini("dbmigrate_suites =\n    a: tests/a\n    b: tests/b\n    c: tests/c")
    suites.files(a=PASSES, b=FLAKY + PASSES, c=PASSES)
    seen = []
    for cache, way in (("plain", PLAIN), ("ours", how)):
        suites.forget()
        first = ("--sw",) if option == "--sw" else ()
        suites.run("-rA", "-o", f"cache_dir={cache}", *way, *first)
        again = suites.run("-rA", "-o", f"cache_dir={cache}", *way, option)
        seen.append((again.ret, outcomes(again)))
    assert seen[1] == seen[0]


@each_way
@pytest.mark.parametrize(
    ("unit", "integration", "status"),
    [
        ("", "", pytest.ExitCode.NO_TESTS_COLLECTED),
        ("", PASSES, pytest.ExitCode.OK),
        (PASSES, "import no_such_module\n", pytest.ExitCode.INTERRUPTED),
        (ENDS, PASSES, 7),
        (
            "import os\ndef test_dies(): os.kill(os.getpid(), 9)\n",
            PASSES,
            pytest.ExitCode.TESTS_FAILED,
        ),
    ],
    ids=["nothing", "one is empty", "an import fails", "pytest.exit", "a crash"],
)
def test_the_exit_status_is_that_of_one_run(
    suites: Suites, unit: str, integration: str, status: int, how: tuple[str, ...]
) -> None:
    suites.files(unit=unit, integration=integration)
    assert suites.run(*how).ret == status


@each_way
def test_junit_has_each_test_once(suites: Suites, how: tuple[str, ...]) -> None:
    suites.mix()
    suites.run("--junitxml=plain.xml", *PLAIN)
    suites.run("--junitxml=ours.xml", *how)

    def cases(name: str) -> list[tuple[str, str]]:
        found = ET.parse(suites.path / name).getroot().iter("testcase")
        return sorted((it.get("classname", ""), it.get("name", "")) for it in found)

    assert cases("ours.xml") == cases("plain.xml")


@each_way
def test_a_page_of_pytest_html_has_each_test(suites: Suites, how: tuple[str, ...]) -> None:
    suites.mix()
    suites.run("--html=page.html", *how, plugins=PAGE)
    pages = sorted(suites.path.glob("page*.html"))
    for module in ("unit", "integration"):
        found = [it for it in pages if f"tests/{module}/test_it.py::test_fails" in it.read_text()]
        assert [it.name for it in found] == [f"page-{module}.html" if "-n0" in how else "page.html"]
