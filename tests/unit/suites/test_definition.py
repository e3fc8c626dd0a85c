"""The lines of `dbmigrate_suites`."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_dbmigrate.errors import SettingError
from pytest_dbmigrate.suites.definition import Suite, Suites, conventional, parse

HOW = "a line is NAME: FOLDER ..., NAME: -m EXPRESSION, or auto"
OTHER = Suite("other", "rest")


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A root with some folders of tests; it is the working folder."""
    for folder in ("tests/unit/deep", "tests/integration", "a/tests/unit", "b/tests/unit"):
        (tmp_path / folder).mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def path(root: Path, name: str) -> str:
    return str(root.resolve() / name)


def test_a_line_names_a_suite_and_its_folders(root: Path) -> None:
    suites = parse(["unit: tests/unit  a/tests", "integration:tests/integration"], root)

    assert suites.all == (
        Suite("unit", "folders", (path(root, "tests/unit"), path(root, "a/tests"))),
        Suite("integration", "folders", (path(root, "tests/integration"),)),
        OTHER,
    )


def test_a_folder_may_be_a_pattern(root: Path) -> None:
    (unit, _) = parse(["unit: */tests/unit"], root).all

    assert unit.paths == (path(root, "a/tests/unit"), path(root, "b/tests/unit"))


def test_a_suite_may_be_an_expression_of_markers(root: Path) -> None:
    suites = parse(["slow: -m slow and not db", 'net: -m "network"'], root)

    assert [(it.name, it.expression) for it in suites.all] == [
        ("slow", "slow and not db"),
        ("net", "network"),
        ("other", ""),
    ]


def test_auto_has_a_suite_of_tests_with_a_database_and_one_of_all_others(root: Path) -> None:
    assert parse(["auto"], root).all == (Suite("unit", "rest"), Suite("integration", "database"))


def test_auto_may_follow_folders(root: Path) -> None:
    assert parse(["e2e: tests/integration", "auto"], root).names == ("e2e", "unit", "integration")


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (
            ["other: tests"],
            (
                "dbmigrate_suites defines suite other, which has the tests of no suite\n"
                "  to do: give it another name"
            ),
        ),
        (
            ["unit:"],
            (
                "suite unit is empty: no folder and no expression stands behind its name\n"
                f"  to do: {HOW}"
            ),
        ),
        (
            ["unit: -m"],
            (
                "suite unit is empty: no folder and no expression stands behind its name\n"
                f"  to do: {HOW}"
            ),
        ),
        (
            ["unit: tests/unit -m slow"],
            (f"suite unit has an option among its folders: -m\n  to do: {HOW}"),
        ),
        (
            ["unit: tests/unti"],
            (
                "suite unit names tests/unti, which does not exist\n"
                "  tried: {root}/tests/unti\n"
                "  to do: did you mean tests/unit?"
            ),
        ),
        (
            ["unit: xyz"],
            (
                "suite unit names xyz, which does not exist\n"
                "  tried: {root}/xyz\n"
                "  to do: make the folder, or correct dbmigrate_suites"
            ),
        ),
        (
            ["unit: tests/unit", "unit: a"],
            "dbmigrate_suites defines suite unit twice\n  to do: name all its folders in one line",
        ),
        (
            ["unit: tests/unit", "auto"],
            (
                "dbmigrate_suites defines suite unit twice (auto defines unit and integration)\n"
                "  to do: name all its folders in one line"
            ),
        ),
        (
            ["unit: tests", "integration: tests/integration"],
            (
                "suites unit and integration overlap: tests/integration is inside tests\n"
                "  to do: name folders of which none is inside another suite's"
            ),
        ),
        (
            ["one: tests/unit", "two: tests/unit/"],
            (
                "suites two and one overlap: tests/unit is in both\n"
                "  to do: name folders of which none is inside another suite's"
            ),
        ),
    ],
)
def test_what_defines_no_suite_is_named(root: Path, lines: list[str], message: str) -> None:
    with pytest.raises(SettingError) as caught:
        parse(lines, root)

    assert str(caught.value) == message.replace("{root}", str(root))


def test_a_path_belongs_to_the_suite_whose_folder_it_is_in(root: Path) -> None:
    suites = parse(["unit: tests/unit", "it: tests/integration"], root)

    assert suites.of_path("tests/unit/deep/test_x.py") == suites.named("unit")
    assert suites.of_path(root / "tests/unit") == suites.named("unit")
    assert suites.of_path("tests/test_x.py") is None
    assert suites.of_path("tests/unit_not/test_x.py") is None


def test_a_path_leads_to_the_suites_below_it(root: Path) -> None:
    suites = parse(["unit: tests/unit/deep"], root)

    led = [
        suites.leads_to(it, suites.named("unit")) for it in (".", "tests", "tests/unit/deep", "a")
    ]
    assert led == [True, True, False, False]


def test_symbolic_links_make_no_difference(root: Path) -> None:
    (root / "link").symlink_to(root / "tests")
    suites = conventional({"unit": ["link/unit"], "integration": ["link/integration"]})

    assert isinstance(suites, Suites)
    assert suites.of_path("tests/unit/test_x.py") == suites.named("unit")
    assert suites.of_path("link/integration/test_x.py") == suites.named("integration")


def test_what_is_linked_into_a_suites_folder_belongs_to_it(root: Path) -> None:
    (root / "elsewhere").mkdir()
    (root / "elsewhere/test_x.py").touch()
    (root / "tests/e2e").symlink_to(root / "elsewhere")
    (root / "tests/unit/test_x.py").symlink_to(root / "elsewhere/test_x.py")
    suites = parse(["unit: tests/unit", "e2e: tests/e2e"], root)

    unit, e2e = suites.named("unit"), suites.named("e2e")
    assert [suites.leads_to(it, e2e) for it in (".", "tests", "elsewhere", "a")] == [
        *(True, True, False, False)
    ]
    assert suites.of_path("tests/e2e/test_x.py") == e2e
    assert suites.of_path("elsewhere/test_x.py") == e2e
    assert suites.of_path("tests/unit/test_x.py") == unit


def test_a_link_to_a_suites_folder_is_that_suite(root: Path) -> None:
    (root / "tests/unit/all").symlink_to(root / "tests/integration")
    suites = parse(["unit: tests/unit", "it: tests/integration"], root)

    assert suites.of_path("tests/unit/all/test_x.py") == suites.named("it")
