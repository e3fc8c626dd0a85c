"""One coverage: what suites measure together is the union of what they measure alone."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from coverage import CoverageData

from tests.plugin.projects import PATIENCE, output
from tests.plugin.suites import Suites, counts, verdict


@pytest.fixture(autouse=True)
def not_measured_themselves(monkeypatch: pytest.MonkeyPatch) -> None:
    """Inner runs do what they are told about coverage, whatever measures these tests."""
    for name in [name for name in os.environ if name.startswith("COVERAGE_")]:
        monkeypatch.delenv(name)


APP = """
import sys


def used_by(suite):
    if suite == "unit":
        found = 1
    elif suite == "integration":
        found = 2
    elif suite == "conftest":
        found = 3
    else:
        found = 4
    return found


def never():
    return None
"""
CONFTEST = """
import app

IN_CONFTEST = app.used_by("conftest")
"""
TESTS = """
import app

def test_first(): app.used_by({name!r})

def test_second(): pass
"""
Found = dict[str, tuple[list[int], list[tuple[int, int]], dict[int, list[str]]]]


@pytest.fixture
def measured(suites: Suites) -> Suites:
    """Suites `unit` and `integration` that use different branches of one module."""
    suites.ini("pythonpath = .")
    suites.write("app.py", APP)
    for name in ("unit", "integration"):
        suites.write(f"tests/{name}/conftest.py", CONFTEST)
        suites.files(**{name: TESTS.format(name=name)})
    return suites


def coverage(suites: Suites, *arguments: str) -> str:
    """Run coverage's own command; return what it prints."""
    done = subprocess.run(
        [sys.executable, "-m", "coverage", *arguments],
        cwd=suites.path, capture_output=True, text=True, timeout=PATIENCE, check=False,
    )  # fmt: skip
    print(done.stdout, done.stderr)
    assert done.returncode in (0, 1)
    return done.stdout


def found(suites: Suites, name: str, *, contexts: bool = False) -> Found:
    """Return lines, arcs and contexts of each file of the project in a file of data."""
    data = CoverageData(str(suites.path / name))
    data.read()
    return {
        file.removeprefix(f"{suites.path}/"): (
            sorted(data.lines(file) or []),
            sorted(data.arcs(file) or []),
            {line: sorted(it) for line, it in data.contexts_by_lineno(file).items()}
            if contexts
            else {},
        )
        for file in sorted(data.measured_files())
        if file.startswith(str(suites.path))
    }


SEPARATELY = ("tests/unit", "tests/integration")


@pytest.fixture(scope="module")
def unions() -> dict[tuple[str, ...], Found]:
    """What suites measure alone, by how: measured once for all the tests that compare with it."""
    return {}


def measured_separately(
    suites: Suites, unions: dict[tuple[str, ...], Found], *arguments: str, how: str
) -> Found:
    """Return the union of two runs of a suite each."""
    key = (how, *arguments)
    if key not in unions:
        unions[key] = _measure_separately(suites, *arguments, how=how)
    return unions[key]


def _measure_separately(suites: Suites, *arguments: str, how: str) -> Found:
    files: list[str] = []
    for number, path in enumerate(SEPARATELY):
        files.append(f"alone{number}.data")
        if how == "pytest-cov":
            suites.run(path, *arguments, plugins=("xdist", "pytest_cov"))
            (suites.path / ".coverage").rename(suites.path / files[-1])
        else:
            run = suites.project.command(path, server="", plugins=("xdist",))[1:]
            coverage(suites, "run", f"--data-file={files[-1]}", *arguments, *run)
    union = CoverageData(str(suites.path / "union.data"))
    for file in files:
        alone = CoverageData(str(suites.path / file))
        alone.read()
        union.update(alone)
    return found(suites, "union.data", contexts=any("context" in it for it in arguments))


@pytest.mark.parametrize(
    ("options", "how"),
    [
        ((), ()),
        (("--cov-branch",), ("-n", "2")),
        (("--cov-branch", "--cov-context=test"), ()),
        (("--cov-branch",), ("-n0",)),
        (("--cov-branch",), ("--db-suites=concurrent",)),
    ],
    ids=str,
)
def test_pytest_cov_measures_the_union(
    measured: Suites,
    unions: dict[tuple[str, ...], Found],
    options: tuple[str, ...],
    how: tuple[str, ...],
) -> None:
    options = ("--cov=.", *options)
    separately = measured_separately(measured, unions, *options, how="pytest-cov")

    result = measured.run(*options, *how, plugins=("xdist", "pytest_cov"))

    assert result.ret == pytest.ExitCode.OK
    ours = found(measured, ".coverage", contexts="--cov-context=test" in options)
    assert ours == separately
    assert "tests/unit/conftest.py" in ours
    (percent,) = (line.split()[-1] for line in result.outlines if line.startswith("TOTAL"))
    assert percent == ("92%" if "--cov-branch" in options else "91%")


@pytest.mark.parametrize("how", [(), ("-n", "2"), ("-n0",)], ids=str)
@pytest.mark.parametrize("branch", [(), ("--branch",)], ids=str)
def test_coverage_run_measures_the_union(
    measured: Suites,
    unions: dict[tuple[str, ...], Found],
    branch: tuple[str, ...],
    how: tuple[str, ...],
) -> None:
    options = (*branch, "--source=.", "--context=some")
    separately = measured_separately(measured, unions, *options, how="coverage run")

    command = measured.project.command(*how, server="", plugins=("xdist",))[1:]
    coverage(measured, "run", *options, *command)

    ours = found(measured, ".coverage", contexts=True)
    assert ours == separately
    assert "tests/unit/conftest.py" in ours


def test_a_coverage_that_cannot_do_this_is_named(measured: Suites) -> None:
    measured.write(
        "older.py", "from coverage.config import CoverageConfig\ndel CoverageConfig.serialize\n"
    )

    command = measured.project.command(server="", plugins=("xdist", "older"))[1:]
    done = subprocess.run(
        [sys.executable, "-m", "coverage", "run", *command],
        cwd=measured.path, capture_output=True, text=True, timeout=PATIENCE, check=False,
    )  # fmt: skip

    assert done.returncode == pytest.ExitCode.USAGE_ERROR
    assert (
        "ERROR: dbmigrate: this version of coverage cannot measure suites in processes of their "
        "own: install coverage 7.10.4 or newer, or pytest-cov, or say --db-suites=off"
    ) in done.stderr


def test_a_bound_of_coverage_is_for_the_whole(measured: Suites) -> None:
    plugins = ("xdist", "pytest_cov")

    enough = measured.run("--cov=app", "--cov-fail-under=80", plugins=plugins)
    too_little = measured.run("--cov=app", "--cov-fail-under=90", plugins=plugins)
    in_foreground = measured.run("--cov=app", "--cov-fail-under=80", "-n0", plugins=plugins)

    assert (enough.ret, too_little.ret, in_foreground.ret) == (0, 1, 0)
    assert "Required test coverage of 90% not reached" in output(too_little)


@pytest.mark.parametrize("how", ["pytest-cov", "coverage run"])
def test_what_was_measured_before_a_crash_in_another_suite_stays(
    measured: Suites, how: str
) -> None:
    def measure() -> str:
        if how == "pytest-cov":
            return verdict(measured.run("--cov=.", "--cov-branch", plugins=("xdist", "pytest_cov")))
        command = measured.project.command(server="", plugins=("xdist",))[1:]
        said = coverage(measured, "run", "--branch", "--source=.", *command)
        return counts(said.splitlines()[-1])

    measure()
    before = found(measured, ".coverage")
    measured.write(
        "tests/integration/test_crash.py", "import os\ndef test_crashes(): os._exit(1)\n"
    )

    assert measure() == "1 failed, 4 passed"
    after = found(measured, ".coverage")
    assert after["tests/unit/test_it.py"] == before["tests/unit/test_it.py"]
    assert after["tests/unit/conftest.py"] == before["tests/unit/conftest.py"]
    assert set(after["app.py"][0]) >= {5, 6}


def test_a_measured_run_that_does_not_begin_leaves_nothing(
    measured: Suites, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = measured.path / "temporary"
    folder.mkdir()
    monkeypatch.setenv("TMPDIR", str(folder))
    measured.write("conftest.py", "import no_such_module\n")
    command = measured.project.command(server="", plugins=("xdist",))[1:]
    done = subprocess.run(
        [sys.executable, "-m", "coverage", "run", *command],
        cwd=measured.path, capture_output=True, timeout=PATIENCE, check=False,
    )  # fmt: skip
    assert done.returncode == pytest.ExitCode.USAGE_ERROR
    assert list(folder.glob("dbm-coverage-*")) == []
