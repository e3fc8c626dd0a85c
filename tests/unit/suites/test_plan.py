"""Which suites a command's arguments select."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_dbmigrate.errors import SettingError
from pytest_dbmigrate.suites import plan
from pytest_dbmigrate.suites.definition import Suites, parse
from pytest_dbmigrate.suites.plan import Files

FILES = Files(("test_*.py",), (".*", "build"))


@pytest.fixture
def suites(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Suites:
    """Suites `unit` and `integration` by folder, in the working folder."""
    monkeypatch.chdir(tmp_path)
    for name in ("tests/unit/test_u.py", "tests/integration/test_i.py", "src/app.py"):
        touch(name)
    return parse(["unit: tests/unit", "integration: tests/integration"], tmp_path)


def touch(name: str, text: str = "") -> None:
    Path(name).parent.mkdir(parents=True, exist_ok=True)
    Path(name).write_text(text)


def made(suites: Suites, *arguments: str, only: tuple[str, ...] = ()) -> dict[str, tuple[str, ...]]:
    return dict(plan.make(suites, arguments, FILES, only).arguments)


def test_a_folder_above_suites_selects_them_all(suites: Suites) -> None:
    assert made(suites, ".") == {"unit": (".",), "integration": (".",)}


def test_a_path_in_a_suite_selects_it_alone(suites: Suites) -> None:
    assert made(suites, "tests/unit/test_u.py::test_x[a/b]", "tests/unit") == {
        "unit": ("tests/unit/test_u.py::test_x[a/b]", "tests/unit")
    }


def test_each_suite_gets_the_arguments_that_concern_it(suites: Suites) -> None:
    assert made(suites, "tests/integration/test_i.py", "tests/unit/nope.py") == {
        "unit": ("tests/unit/nope.py",),
        "integration": ("tests/integration/test_i.py",),
    }


@pytest.mark.parametrize("name", ["tests/test_o.py", "tests/more/test_o.py"])
def test_tests_in_no_folder_of_a_suite_are_one_themselves(suites: Suites, name: str) -> None:
    touch(name)

    assert made(suites, "tests") == dict.fromkeys(("unit", "integration", "other"), ("tests",))
    assert made(suites, name) == {"other": (name,)}


def test_a_conftest_that_collects_files_of_its_own_may_find_tests_anywhere(suites: Suites) -> None:
    touch("tests/conftest.py", "def pytest_collect_file(): ...")

    assert list(made(suites, "tests")) == ["unit", "integration", "other"]


@pytest.mark.parametrize("name", ["build/test_o.py", ".hidden/test_o.py", "venv/lib/test_o.py"])
def test_folders_that_pytest_never_enters_have_no_tests(suites: Suites, name: str) -> None:
    touch(name)
    touch("venv/pyvenv.cfg")

    assert list(made(suites, ".")) == ["unit", "integration"]


def test_a_folder_without_any_suite_is_for_the_rest(suites: Suites) -> None:
    assert made(suites, "src") == {"other": ("src",)}


def test_what_is_no_path_is_for_every_suite_to_look_at(suites: Suites) -> None:
    assert list(made(suites, "package.tests")) == ["unit", "integration", "other"]


def test_suites_that_are_no_folders_all_look_at_what_is_loose(tmp_path: Path) -> None:
    touch(str(tmp_path / "tests/unit/test_u.py"))
    touch(str(tmp_path / "tests/test_o.py"))
    suites = parse(["unit: tests/unit", "slow: -m slow"], tmp_path)
    tests = str(tmp_path / "tests")

    assert list(made(suites, tests)) == ["unit", "slow", "other"]
    assert list(made(suites, f"{tests}/unit")) == ["unit"]
    assert list(made(suites, f"{tests}/test_o.py")) == ["slow", "other"]


def test_suites_can_be_selected_by_name(suites: Suites) -> None:
    assert made(suites, ".", only=("integration",)) == {"integration": (".",)}


def test_a_name_that_no_suite_has_is_refused_with_the_nearest(suites: Suites) -> None:
    with pytest.raises(SettingError) as caught:
        made(suites, ".", only=("unti",))
    assert str(caught.value) == "there is no suite unti\n  to do: did you mean unit?"

    with pytest.raises(SettingError) as caught:
        made(suites, ".", only=("x",))
    assert str(caught.value) == "there is no suite x\n  to do: there are unit, integration, other"


def test_a_suite_that_the_paths_exclude_is_refused(suites: Suites) -> None:
    with pytest.raises(SettingError) as caught:
        made(suites, "tests/unit", only=("integration",))

    assert str(caught.value) == (
        "suite integration has no test in tests/unit\n  to do: name other paths, or another suite"
    )


def test_a_suite_needs_a_filter_only_where_others_tests_are_in_reach(suites: Suites) -> None:
    below = plan.make(suites, ["tests/unit/test_u.py"], FILES)
    above = plan.make(suites, ["tests"], FILES, ["unit"])
    auto = plan.make(parse(["auto"], Path()), ["tests"], FILES, ["unit"])

    assert [below.needs_filter("unit"), above.needs_filter("unit"), auto.needs_filter("unit")] == [
        False,
        True,
        True,
    ]
