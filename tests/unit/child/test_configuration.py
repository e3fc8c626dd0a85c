"""Alembic configuration that the settings name wrongly: which error says so."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from pytest_dbmigrate.addresses.dsn import Dsn, Secret
from pytest_dbmigrate.child.configuration import configuration
from pytest_dbmigrate.errors import MigrationError
from pytest_dbmigrate.migrations.environments import find
from pytest_dbmigrate.migrations.messages import AlembicOptions
from pytest_dbmigrate.settings.alembic_location import AlembicLocation

DSN = Dsn("127.0.0.1", 5433, "ann", Secret("secret"), "shop")


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder on the path of imports, with a module `configs`."""
    (tmp_path / "configs.py").write_text("def nothing():\n    pass\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    yield tmp_path
    sys.modules.pop("configs", None)


def refusal(line: str, root: Path) -> list[str]:
    """Return the error for what a line of the setting names."""
    (environment,) = find((AlembicLocation.parse(line, (root,)),), (root,))
    with (
        pytest.raises(MigrationError) as refused,
        configuration(environment, DSN, ("head",), AlembicOptions()),
    ):
        pass
    return [text.rstrip() for text in str(refused.value).splitlines()]


def test_a_section_that_is_not_there_is_an_error(root: Path) -> None:
    path = root / "both.ini"
    path.write_text("[shop]\nscript_location = %(here)s/shop/migrations\n")
    assert refusal("both.ini:biling", root) == [
        f"{path} has no section [biling]",
        "  tried: it has shop",
        "  to do: correct the name in dbmigrate_alembic",
    ]


def test_a_folder_without_scripts_is_an_error(root: Path) -> None:
    (root / "billing").mkdir()
    assert refusal("billing", root) == [
        f"{root}/billing is not a folder of Alembic scripts: it has no env.py",
        "  to do: name the folder that has it, or an ini file, in dbmigrate_alembic",
    ]


def test_a_function_that_returns_something_else_is_an_error(root: Path) -> None:
    assert refusal("configs:nothing", root) == [
        "configs:nothing returns a NoneType, not an Alembic Config",
        "  to do: let it return an alembic.config.Config, or name something else",
    ]


def test_a_function_that_is_not_there_is_an_error(root: Path) -> None:
    assert refusal("configs:plane", root) == [
        "dbmigrate_alembic names configs:plane, and configs has no plane",
        f"  tried: importing configs, from {root / 'configs.py'}",
        "  to do: correct the name",
    ]


def test_a_module_that_is_not_there_is_an_error(root: Path) -> None:
    found = refusal("confgis:plain", root)

    assert found[:2] + found[-1:] == [
        "dbmigrate_alembic names confgis:plain, and there is no module confgis",
        "  tried: importing it with this path:",
        "  to do: correct the name, or add its folder to pytest's setting pythonpath",
    ]
    assert f"           {root}" in found
