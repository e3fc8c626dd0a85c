"""The laws of who may import whom, over every import in the package, late ones included."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from collections.abc import Iterable, Iterator
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import pytest

PACKAGE = "pytest_dbmigrate"
ROOMS = ("servers", "migrations", "schema", "databases", "suites")
JOINERS = ("session", "template", "status", "child", "cli", "plugin", "__main__")
BASE = ("version", "clock", "file_locks", "errors", "locks", "addresses", "settings", "runs")

GUARDIANS = ("files", "server_process")  # what the guardian uses, with the standard library only


def folder() -> Path:
    """Return the folder of the package under test."""
    spec = find_spec(PACKAGE)
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).parent


@cache
def imports() -> dict[str, set[str]]:
    """Return what each module imports: our modules by their full names, others as written."""
    files = sorted(folder().rglob("*.py"))
    names = {file: ".".join(_parts(file)) for file in files}
    ours = set(names.values())
    return {
        name: {_module(found, ours) for found in _imported(file)} for file, name in names.items()
    }


def _parts(file: Path) -> list[str]:
    parts = [PACKAGE, *file.relative_to(folder()).with_suffix("").parts]
    return parts[:-1] if parts[-1] == "__init__" else parts


def _imported(file: Path) -> Iterator[str]:
    """Yield each imported name; for `from x import y` that is `x.y`."""
    yield from _names(ast.walk(ast.parse(file.read_text(encoding="utf-8"))), file)


def _names(nodes: Iterable[ast.AST], file: Path) -> Iterator[str]:
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file} imports relatively"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def _module(found: str, ours: set[str]) -> str:
    while found not in ours and found.startswith(PACKAGE + "."):
        found = found.rpartition(".")[0]
    return found


def room(module: str) -> str:
    """Return the first part of a module's name below the package."""
    return module.removeprefix(PACKAGE).lstrip(".").partition(".")[0]


def edges() -> list[tuple[str, str]]:
    """Return each pair of our modules of which the first imports the second."""
    return [
        (name, found)
        for name, all_found in imports().items()
        for found in sorted(all_found)
        if found.partition(".")[0] == PACKAGE
    ]


def test_every_module_belongs_to_a_room_that_the_laws_know() -> None:
    assert {room(name) for name in imports()} <= {"", *ROOMS, *JOINERS, *BASE}


def test_the_rooms_do_not_import_each_other() -> None:
    wrong = [
        (name, found)
        for name, found in edges()
        if room(name) in ROOMS and room(found) in ROOMS and room(name) != room(found)
    ]
    assert wrong == []


def test_nothing_but_the_joiners_imports_a_joiner() -> None:
    wrong = [
        (name, found)
        for name, found in edges()
        if room(found) in JOINERS and room(name) not in JOINERS
    ]
    assert wrong == []


def test_the_session_and_the_child_do_not_know_the_plugin() -> None:
    wrong = [
        (name, found)
        for name, found in edges()
        if room(found) == "plugin" and room(name) != "plugin"
    ]
    assert wrong == []


def test_only_the_plugin_imports_the_session() -> None:
    importers = {room(name) for name, found in edges() if room(found) == "session"}
    assert importers <= {"plugin", "cli"}


def test_the_base_imports_no_room() -> None:
    wrong = [
        (name, found) for name, found in edges() if room(name) in BASE and room(found) not in BASE
    ]
    assert wrong == []


def test_only_the_plugin_imports_pytest() -> None:
    importers = {
        room(name)
        for name, all_found in imports().items()
        for found in all_found
        if found.partition(".")[0] in ("pytest", "_pytest")
    }
    assert importers == {"plugin"}


def test_nothing_imports_the_root_of_the_package() -> None:
    assert [name for name, found in edges() if found == PACKAGE] == []


def test_the_ground_imports_nothing_above_it() -> None:
    """`addresses` and `runs` know no setting, and `addresses` no run."""
    wrong = [
        (name, found)
        for name, found in edges()
        if (room(name) == "addresses" and room(found) in ("settings", "runs"))
        or (room(name) == "runs" and room(found) == "settings")
    ]
    assert wrong == []


def test_only_the_child_imports_alembic_and_sqlalchemy_at_module_level() -> None:
    files = [file for file in sorted(folder().rglob("*.py")) if "child" not in _parts(file)]
    wrong = [
        (file.name, name)
        for file in files
        for name in _names(ast.parse(file.read_text(encoding="utf-8")).body, file)
        if name.partition(".")[0] in ("alembic", "sqlalchemy")
    ]
    assert wrong == []


def test_what_the_parent_knows_of_migrations_imports_neither_alembic_nor_sqlalchemy() -> None:
    wrong = [
        (name, found)
        for name, all_found in imports().items()
        for found in all_found
        if room(name) == "migrations" and found.partition(".")[0] in ("alembic", "sqlalchemy")
    ]
    assert wrong == []


def test_no_import_goes_round_in_a_circle() -> None:
    waiting: dict[str, set[str]] = {name: set() for name in imports()}
    for name, found in edges():
        waiting[name].add(found)
    while waiting:
        free = {name for name, needs in waiting.items() if not needs & waiting.keys()}
        assert free, f"a circle among {sorted(waiting)}"
        waiting = {name: needs for name, needs in waiting.items() if name not in free}


def modules_after(statement: str) -> set[str]:
    """Return the top-level modules that a statement has imported, in a fresh interpreter."""
    code = (
        f"import json, sys; before = set(sys.modules); {statement}; "
        "print(json.dumps(sorted(set(sys.modules) - before)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return {name.partition(".")[0] for name in json.loads(done.stdout)}


def test_importing_the_package_imports_nothing_beyond_the_standard_library() -> None:
    assert modules_after(f"import {PACKAGE}") - sys.stdlib_module_names == {PACKAGE}


def test_importing_the_plugin_imports_no_database_library() -> None:
    found = modules_after(f"import {PACKAGE}.plugin")
    assert found & {"sqlalchemy", "alembic", "psycopg", "pytest_docker"} == set()


def test_the_guardian_needs_the_standard_library_alone() -> None:
    needed, waiting = set[str](), {f"{PACKAGE}.runs.guardian"}
    while waiting:
        found = imports()[waiting.pop()] - needed
        needed |= found
        waiting |= {name for name in found if name.partition(".")[0] == PACKAGE}
    others = {name for name in needed if name.partition(".")[0] not in sys.stdlib_module_names}
    assert others == {f"{PACKAGE}.file_locks", *(f"{PACKAGE}.runs.{it}" for it in GUARDIANS)}


@pytest.mark.parametrize("name", ["DbmigrateError", "Dsn", "MigratedDatabase", "Server"])
def test_a_public_name_is_imported_when_it_is_used(name: str) -> None:
    import pytest_dbmigrate

    assert getattr(pytest_dbmigrate, name).__name__ == name


def test_a_name_that_is_not_public_is_no_attribute() -> None:
    import pytest_dbmigrate

    with pytest.raises(
        AttributeError, match=r"^module 'pytest_dbmigrate' has no attribute 'Lease'$"
    ):
        _ = pytest_dbmigrate.Lease
