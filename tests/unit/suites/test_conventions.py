"""Suites by the names of folders alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_dbmigrate.suites import conventions


def found(root: Path, *testpaths: str) -> dict[str, list[str]]:
    """Return the suites that are found, their folders relative to the root."""
    suites = conventions.suites(str(root), testpaths)
    return {
        name: [str(Path(path).relative_to(root)) for path in paths]
        for name, paths in suites.items()
    }


def make(root: Path, *folders: str) -> None:
    for folder in folders:
        (root / folder).mkdir(parents=True)


def test_folders_side_by_side_are_suites_in_the_order_of_their_weight(tmp_path: Path) -> None:
    make(tmp_path, "tests/e2e", "tests/unit", "tests/integration", "tests/functional", "tests/x")

    assert list(found(tmp_path)) == ["unit", "integration", "functional", "e2e"]
    assert found(tmp_path)["unit"] == ["tests/unit"]


@pytest.mark.parametrize(
    "folders",
    [(), ("tests/unit",), ("tests/unit", "src/integration"), ("unit", "e2e"), ("tests/units/e2e",)],
    ids=str,
)
def test_any_other_project_has_none(tmp_path: Path, folders: tuple[str, ...]) -> None:
    make(tmp_path, *folders)

    assert found(tmp_path) == {}


def test_a_file_of_that_name_is_no_suite(tmp_path: Path) -> None:
    make(tmp_path, "tests/unit")
    (tmp_path / "tests/e2e").touch()

    assert found(tmp_path) == {}


def test_they_are_looked_for_where_pytest_looks_for_tests(tmp_path: Path) -> None:
    make(tmp_path, "tests/unit", "tests/e2e", "checks/unit", "checks/integration", "more/unit")

    assert found(tmp_path, "checks") == {
        "unit": ["checks/unit"],
        "integration": ["checks/integration"],
    }
    assert found(tmp_path, "tests/", "checks", "more") == {
        "unit": ["tests/unit", "checks/unit"],
        "integration": ["checks/integration"],
        "e2e": ["tests/e2e"],
    }


def test_testpaths_may_name_the_folders_themselves(tmp_path: Path) -> None:
    make(tmp_path, "unit", "e2e")

    assert found(tmp_path, "e2e", "unit") == {"unit": ["unit"], "e2e": ["e2e"]}


def test_testpaths_may_be_patterns(tmp_path: Path) -> None:
    make(tmp_path, "a/tests/unit", "a/tests/e2e", "b/tests/unit", "b/tests/e2e", "c/tests/unit")

    assert found(tmp_path, "*/tests") == {
        "unit": ["a/tests/unit", "b/tests/unit"],
        "e2e": ["a/tests/e2e", "b/tests/e2e"],
    }


@pytest.mark.parametrize("testpath", [".", "", "./"])
def test_testpaths_may_be_the_root_itself(tmp_path: Path, testpath: str) -> None:
    make(tmp_path, "unit", "e2e")

    assert found(tmp_path, testpath) == {"unit": ["unit"], "e2e": ["e2e"]}


def test_testpaths_may_be_absolute(tmp_path: Path) -> None:
    make(tmp_path, "checks/unit", "checks/e2e")

    assert list(found(tmp_path, str(tmp_path / "checks"))) == ["unit", "e2e"]
