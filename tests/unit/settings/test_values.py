"""What the settings show of themselves."""

from __future__ import annotations

from pathlib import Path

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
