"""What env.py does to logging stays in its process; what it and the revisions print can be seen."""

from __future__ import annotations

import pytest

from pytest_dbmigrate.addresses.dsn import Dsn
from tests.plugin.projects import ITEM_TABLE, Project, output

TITLE = "dbmigrate: env.py and the migrations printed:"
TEST = "def test_it(migrated_db): pass"


@pytest.fixture
def shop(project: Project) -> Project:
    """A project whose env.py configures logging, as `alembic init` writes it."""
    project.copy("file_config")
    return project


def shown(result: pytest.RunResult) -> list[str]:
    """Return what is shown of what env.py and the migrations have printed."""
    lines = result.outlines
    assert lines.count(TITLE) == 1, output(result)
    start = lines.index(TITLE) + 1
    end = next(n for n in range(start, len(lines)) if lines[n].startswith("dbmigrate: "))
    return lines[start:end]


def test_the_naive_way_lets_file_config_switch_loggers_off(shop: Project) -> None:
    result = shop.run_naive("-rfE")

    result.assert_outcomes(failed=3)
    failed = [line.split("::")[1].split(" ")[0] for line in result.outlines if "FAILED" in line]
    assert sorted(failed) == [
        "test_a_logger_logs_without_a_database",
        "test_an_article_that_is_sold_out_is_logged",
        "test_the_root_logger_is_as_it_was",
    ]


@pytest.mark.parametrize("workers", [[], ["-n2", "--dist=each"]], ids=["alone", "xdist"])
def test_file_config_touches_nothing_in_the_tests_process_and_what_it_logs_is_shown_if_asked_for(
    shop: Project, workers: list[str]
) -> None:
    plugins = ["ours", *(["xdist"] if workers else [])]
    result = shop.run("-vv", *workers, plugins=plugins)

    result.assert_outcomes(passed=6 if workers else 3)
    assert sorted(shown(result)) == [
        "  INFO  [alembic.runtime.migration] Context impl PostgresqlImpl.",
        "  INFO  [alembic.runtime.migration] Running upgrade  -> 0001, articles",
        "  INFO  [alembic.runtime.migration] Will assume transactional DDL.",
        "  one article is there",
    ]


@pytest.mark.parametrize("workers", [[], ["-n2"]], ids=["alone", "xdist"])
def test_what_was_printed_is_not_shown_otherwise(shop: Project, workers: list[str]) -> None:
    plugins = ["ours", *(["xdist"] if workers else [])]
    result = shop.run("-v", *workers, plugins=plugins)

    result.assert_outcomes(passed=3)
    said = output(result)
    assert [it for it in (TITLE, "one article", "Running upgrade") if it in said] == []


def test_nothing_is_said_of_migrations_that_print_nothing(items_project: Project) -> None:
    items_project.tests(TEST)

    result = items_project.run("-vv")

    result.assert_outcomes(passed=1)
    assert TITLE not in result.outlines


def test_an_unchanged_run_has_nothing_to_show(project: Project) -> None:
    project.revision("0001", f'print("a revision was here")\n{ITEM_TABLE}')
    project.tests(TEST)
    try:
        first, second = (project.run("-vv", "--db-resume") for _ in range(2))
    finally:
        project.run("--db-stop")

    assert shown(first) == ["  a revision was here"]
    assert TITLE not in second.outlines


def test_of_very_much_the_end_is_shown_without_the_password(project: Project) -> None:
    password = "op.get_bind().engine.url.password"
    project.revision(
        "0001",
        # wherever the beginning is cut off, no piece of a password is left
        f'for number in range(4000):\n    print({password}, f"{{number:06}}")\n{ITEM_TABLE}',
    )
    project.tests(TEST)

    result = project.run("-vv")

    first, second, *_, last = shown(result)
    assert (first, last) == ("  ...", "  *** 003999")
    assert second.startswith("  *** 00")
    assert len("\n".join(shown(result))) < 25_000
    assert str(Dsn.parse(project.server_url()).password) not in output(result)
