"""What the settings show of themselves."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest

from pytest_dbmigrate.plugin import options
from pytest_dbmigrate.settings.kinds import Choice
from pytest_dbmigrate.settings.specs import Specs
from pytest_dbmigrate.settings.values import Settings
from tests.unit.resolving import URL, resolved


def test_what_is_not_a_default_is_shown_with_its_source_and_without_its_password(
    tmp_path: Path,
) -> None:
    settings = resolved(
        tmp_path,
        {"server": URL},
        {"DBMIGRATE_TIMEOUT": "5"},
        {"dbmigrate_env": ["DATABASE_URL", "APP_DB={url:postgresql+asyncpg}"]},
    )
    assert settings.changed() == [
        "server=postgresql://ann:***@127.0.0.1:5433/shop (option)",
        "timeout=5.0 (environment)",
        "env=DATABASE_URL,APP_DB (ini)",
    ]


def test_the_repr_of_the_settings_hides_the_password(tmp_path: Path) -> None:
    assert "s3cret" not in repr(resolved(tmp_path, {"server": URL}))


def test_other_values_make_other_settings(tmp_path: Path) -> None:
    settings = resolved(tmp_path)
    assert (settings.but(fresh=True).fresh, settings.fresh) == (True, False)


ROOT = Path(__file__).parents[3]


@pytest.fixture
def mood(monkeypatch: pytest.MonkeyPatch) -> Choice:
    """One more setting, declared as the others are."""
    mood = Choice("the mood of the run: gay or sad", "gay", "sad", default="gay")
    mood.__set_name__(Specs, "mood")
    monkeypatch.setattr(Specs, "mood", mood, raising=False)
    return mood


@pytest.mark.usefixtures("mood")
@pytest.mark.parametrize(
    ("said", "source"),
    [
        ({"option": {"mood": "sad"}}, "option"),
        ({"environ": {"DBMIGRATE_MOOD": "sad"}}, "environment"),
        ({"ini": {"dbmigrate_mood": "sad"}}, "ini"),
    ],
)
def test_one_line_adds_a_setting_with_its_spellings_and_its_place_in_the_header(
    said: dict[str, dict[str, str]], source: str, tmp_path: Path
) -> None:
    settings = resolved(tmp_path, **said)
    assert Settings.__dict__.get("mood") is None  # it is declared in one place only
    assert settings.values["mood"] == "sad"
    assert settings.changed() == [f"mood=sad ({source})"]


@pytest.mark.usefixtures("mood")
def test_the_same_line_adds_an_option_and_an_ini_key() -> None:
    """pytest's own parser is asked; a run of pytest would not know of the line."""
    parser = pytest.Parser(_ispytest=True)
    options.pytest_addoption(parser, pytest.PytestPluginManager())
    namespace = parser.parse_known_args(["--db-mood=sad", "--dbmigrate-keep=failed"])
    assert (namespace.dbmigrate_mood, namespace.dbmigrate_keep) == ("sad", "failed")
    assert "dbmigrate_mood" in parser._inidict


@pytest.mark.usefixtures("mood")
def test_the_same_line_adds_a_section_of_the_docs() -> None:
    page: str = runpy.run_path(str(ROOT / "docs/reference/options.py"))["page"]()
    assert (
        "## mood\n\nThe mood of the run: gay or sad.\n\n"
        "| option | environment | configuration file | default |\n"
        "|---|---|---|---|\n"
        "| `--db-mood=gay\\|sad`, `--dbmigrate-mood=gay\\|sad` | `DBMIGRATE_MOOD` "
        "| `dbmigrate_mood` | `gay` |\n"
    ) in page
