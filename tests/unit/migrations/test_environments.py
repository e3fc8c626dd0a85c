"""Where the project's Alembic configuration is found."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_dbmigrate.errors import MigrationError
from pytest_dbmigrate.migrations.environments import Environment, find
from pytest_dbmigrate.settings.alembic_location import AlembicLocation

TOML = "[tool.alembic]\nscript_location = 'migrations'\n"
OTHER_TOML = "[tool.black]\nline-length = 100\n"


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    """Two empty folders."""
    first, second = tmp_path / "first", tmp_path / "second"
    first.mkdir()
    second.mkdir()
    return first, second


def write(folder: Path, name: str, text: str = "[alembic]\n") -> str:
    (folder / name).write_text(text)
    return str(folder / name)


def locations(line: str, folders: tuple[Path, ...]) -> tuple[AlembicLocation, ...]:
    return (AlembicLocation.parse(line, folders),) if line else ()


def only(configured: str, folders: tuple[Path, ...]) -> Environment:
    (found,) = find(locations(configured, folders), folders)
    return found


def refusal(configured: str, folders: tuple[Path, ...]) -> list[str]:
    with pytest.raises(MigrationError) as refused:
        find(locations(configured, folders), folders)
    return str(refused.value).splitlines()


def test_an_ini_file_is_found(folders: tuple[Path, Path]) -> None:
    ini = write(folders[0], "alembic.ini")
    assert only("", folders) == Environment(ini, "", str(folders[0]))


def test_a_pyproject_with_a_section_is_found(folders: tuple[Path, Path]) -> None:
    toml = write(folders[0], "pyproject.toml", TOML)
    assert only("", folders) == Environment("", toml, str(folders[0]))


def test_both_files_are_found_together(folders: tuple[Path, Path]) -> None:
    ini = write(folders[0], "alembic.ini")
    toml = write(folders[0], "pyproject.toml", TOML)
    assert only("", folders) == Environment(ini, toml, str(folders[0]))


@pytest.mark.parametrize("text", [OTHER_TOML, "not toml", ""])
def test_a_pyproject_without_a_section_is_passed_over(
    text: str, folders: tuple[Path, Path]
) -> None:
    write(folders[0], "pyproject.toml", text)
    ini = write(folders[1], "alembic.ini")
    assert only("", folders) == Environment(ini, "", str(folders[1]))


def test_the_first_folder_goes_before_the_second(folders: tuple[Path, Path]) -> None:
    ini = write(folders[0], "alembic.ini")
    write(folders[1], "alembic.ini")
    assert only("", folders) == Environment(ini, "", str(folders[0]))


def test_a_configured_file_goes_before_all_folders(
    folders: tuple[Path, Path], tmp_path: Path
) -> None:
    write(folders[0], "alembic.ini")
    ini = write(tmp_path, "other.ini")
    assert only(ini, folders) == Environment(ini, "", str(tmp_path))


def test_a_configured_ini_file_is_read_with_the_pyproject_beside_it(
    folders: tuple[Path, Path], tmp_path: Path
) -> None:
    ini = write(tmp_path, "other.ini")
    toml = write(tmp_path, "pyproject.toml", TOML)
    assert only(ini, folders) == Environment(ini, toml, str(tmp_path))


def test_a_configured_toml_file_is_read_alone(folders: tuple[Path, Path], tmp_path: Path) -> None:
    write(tmp_path, "alembic.ini")
    toml = write(tmp_path, "pyproject.toml", TOML)
    assert only(toml, folders) == Environment("", toml, str(tmp_path))


def test_a_configured_toml_file_without_a_section_is_refused(
    folders: tuple[Path, Path], tmp_path: Path
) -> None:
    toml = write(tmp_path, "pyproject.toml", OTHER_TOML)
    assert refusal(toml, folders) == [
        f"{toml} has no [tool.alembic] section",
        "  to do: name another file with --db-alembic or dbmigrate_alembic",
    ]


def test_the_error_of_a_missing_configuration_lists_where_it_was_looked_for(
    folders: tuple[Path, Path],
) -> None:
    first, second = folders
    assert refusal("", (first, second, first)) == [
        "no Alembic configuration was found",
        f"  tried: {first}/alembic.ini: no such file",
        f"         {first}/pyproject.toml: no [tool.alembic] section",
        f"         {second}/alembic.ini: no such file",
        f"         {second}/pyproject.toml: no [tool.alembic] section",
        "  to do: name it with --db-alembic or dbmigrate_alembic",
    ]


def test_a_source_says_which_file_it_is() -> None:
    assert [str(Environment("a.ini", "p.toml", "/")), str(Environment("", "p.toml", "/"))] == [
        "a.ini",
        "p.toml",
    ]


def test_a_source_survives_a_trip_through_a_record() -> None:
    source = Environment("a.ini", "p.toml", "/")
    assert Environment(**source.as_record()) == source
