"""How the plugin gets into a run, and what must not start a server."""

from __future__ import annotations

import pytest

from pytest_dbmigrate.settings.kinds import Flag
from pytest_dbmigrate.settings.specs import every_spec
from tests.plugin.projects import Project, output

USES_A_DATABASE = """
def test_items(migrated_db):
    migrated_db.connect().execute("select id, name from item")
"""
# Records whether a run has a folder for its server: at import, and again before it ends.
LOOK_FOR_TRACES = """
import os
import pathlib
import tempfile

ADDRESS = os.environ["DATABASE_URL"]


def pytest_unconfigure():
    traces = sorted(path.name for path in pathlib.Path(tempfile.gettempdir()).iterdir())
    pathlib.Path("traces").write_text(f"{ADDRESS} {traces}")


pytest_unconfigure()
"""


def test_an_installed_plugin_is_loaded_by_itself(
    items_project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD")
    items_project.tests(USES_A_DATABASE)

    result = items_project.pytester.runpytest_subprocess(
        f"--db-server={items_project.server_url()}"
    )

    result.assert_outcomes(passed=1)


def test_naming_an_installed_plugin_loads_it_once(
    items_project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD")
    items_project.tests(USES_A_DATABASE)

    result = items_project.run()

    result.assert_outcomes(passed=1)
    assert output(result).count("dbmigrate: fresh:") == 1


def test_a_conftest_can_load_it(items_project: Project) -> None:
    items_project.write("conftest.py", 'pytest_plugins = ["pytest_dbmigrate.plugin"]')
    items_project.ini(f"dbmigrate_server = {items_project.server_url()}")
    items_project.tests(USES_A_DATABASE)

    result = items_project.pytester.runpytest_subprocess()

    result.assert_outcomes(passed=1)


def test_without_it_its_options_and_fixtures_are_unknown(
    items_project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD")
    items_project.tests(USES_A_DATABASE)
    run = items_project.pytester.runpytest_subprocess

    fixture = run("-p", "no:dbmigrate")
    option = run("-p", "no:dbmigrate", "--db-server=embedded")

    fixture.assert_outcomes(errors=1)
    fixture.stdout.fnmatch_lines(["*fixture 'migrated_db' not found"])
    assert option.ret == pytest.ExitCode.USAGE_ERROR
    option.stderr.fnmatch_lines(["*unrecognized arguments: --db-server=embedded"])


def test_help_lists_every_option_and_ini_key(project: Project) -> None:
    said = output(project.run("--help"))

    words = {word.partition("=")[0].strip(":,") for word in said.split()}
    options = [spec for spec in every_spec() if spec.has_option]
    flags = [spec for spec in every_spec() if isinstance(spec, Flag)]
    assert {spec.ini for spec in every_spec() if spec.has_ini} <= words
    assert {spec.option for spec in options} <= words
    assert {spec.long_option for spec in options} <= words
    assert {f"--no-{spec.option[2:]}" for spec in flags} <= words
    assert {f"--no-{spec.long_option[2:]}" for spec in flags} <= words


@pytest.mark.parametrize(
    "question",
    [
        "--help",
        "--markers",
        "--fixtures",
        "--fixtures-per-test",
        "--collect-only",
        "--setup-plan",
        "--cache-show",
        "-VV",
    ],
)
def test_a_question_about_the_tests_starts_nothing(
    items_project: Project, monkeypatch: pytest.MonkeyPatch, question: str
) -> None:
    folder = items_project.path / "temporary"
    folder.mkdir()
    monkeypatch.setenv("TMPDIR", str(folder))
    items_project.ini("dbmigrate_env = DATABASE_URL")
    items_project.write("conftest.py", LOOK_FOR_TRACES)
    items_project.tests(USES_A_DATABASE)

    result = items_project.run(question, server="embedded")

    assert result.ret == pytest.ExitCode.OK
    assert (items_project.path / "traces").read_text() == (
        "postgresql://postgres@127.0.0.1:1/dbmigrate_no_database []"
    )


def test_it_is_loaded_by_name_where_nothing_is_and_leaves_the_traces_looked_for(
    items_project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the tests above do not find is there when a server is."""
    folder = items_project.path / "temporary"
    folder.mkdir()
    monkeypatch.setenv("TMPDIR", str(folder))
    items_project.ini("dbmigrate_env = DATABASE_URL")
    items_project.write("conftest.py", LOOK_FOR_TRACES)
    items_project.tests(USES_A_DATABASE)

    result = items_project.run()

    result.assert_outcomes(passed=1)
    assert "pytest-dbmigrate-" in (items_project.path / "traces").read_text()
    result.stdout.re_match_lines([r"plugins: dbmigrate-\d[\w.]*$"])
