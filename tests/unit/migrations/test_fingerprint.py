"""What of a file counts, and what has become of the files that shaped a schema."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

import pytest

from pytest_dbmigrate.migrations import fingerprint
from pytest_dbmigrate.migrations.fingerprint import Files, Manifest

SCRIPT = '''"""Add items."""

revision = "0001"


def upgrade():
    op.execute("create table item (id int)")
'''


def is_same(folder: Path, before: str | bytes, after: str | bytes, name: str = "0001.py") -> bool:
    """Whether a file means the same after an edit."""
    file = write(folder / name, before)
    digest = Files().digest(str(file))
    write(file, after)
    return Files().is_same(str(file), digest)


def write(file: Path, text: str | bytes) -> Path:
    file.write_bytes(text.encode() if isinstance(text, str) else text)
    return file


def manifest(*files: Path, folders: tuple[Path, ...] = ()) -> Manifest:
    now = Files()
    return Manifest(
        files={str(file): now.digest(str(file)) for file in files},
        folders={str(folder): fingerprint.listing(str(folder)) for folder in folders},
    )


@pytest.mark.parametrize(
    "after",
    [
        SCRIPT.replace("\n", "\r\n"),
        SCRIPT + "# a remark\n\n\n",
        SCRIPT.replace("    op", "    # why\n    op"),
        SCRIPT.replace('"0001"', "'0001'"),
        SCRIPT.replace('execute("create', 'execute(\n        "create').replace('int)")', 'int)",)'),
        SCRIPT.replace("Add items.", "Add what is sold.\n\nCreate Date: yesterday\n"),
        SCRIPT.partition("\n")[2],
        SCRIPT.replace('"create table item (id int)"', '"create table item " "(id int)"'),
        SCRIPT.replace("    op", "        op"),
        "# coding: utf-8\n" + SCRIPT,
    ],
    ids=[
        "line endings",
        "a comment at the end",
        "a comment inside",
        "quotes",
        "breaks of lines",
        "another docstring",
        "no docstring",
        "a string in two parts",
        "indentation",
        "a declared encoding",
    ],
)
def test_what_a_script_does_not_mean_does_not_count(after: str, tmp_path: Path) -> None:
    assert is_same(tmp_path, SCRIPT, after)


@pytest.mark.parametrize(
    "after",
    [
        SCRIPT.replace("id int", "id bigint"),
        SCRIPT.replace("id int", "id  int"),
        SCRIPT.replace("(id int)", "(id int) -- a remark"),
        SCRIPT.replace('"0001"', '"0002"'),
        SCRIPT.replace('"0001"', 'b"0001"'),
        SCRIPT.replace("op.execute", "op.run"),
        SCRIPT + "    pass\n",
        SCRIPT.replace("def upgrade", "async def upgrade"),
        SCRIPT.replace("():", '():\n    """Create the table."""'),
        "x = 1\n" + SCRIPT,
        "",
        "def broken(:\n",
    ],
    ids=[
        "SQL in a string",
        "a space in SQL",
        "a comment in SQL",
        "a value",
        "the type of a value",
        "a name",
        "a statement more",
        "another kind of function",
        "the docstring of a function",
        "a docstring that is none any more",
        "nothing",
        "no Python",
    ],
)
def test_what_a_script_means_counts(after: str, tmp_path: Path) -> None:
    assert not is_same(tmp_path, SCRIPT, after)


def test_a_script_has_a_digest_of_its_bytes_and_one_of_its_meaning(tmp_path: Path) -> None:
    first = Files().digest(str(write(tmp_path / "0001.py", SCRIPT)))
    second = Files().digest(str(write(tmp_path / "0001.py", SCRIPT + "# a remark\n")))
    assert first[0] == hashlib.sha256(SCRIPT.encode()).hexdigest()
    assert (first[0] == second[0], first[1] == second[1], len(first[1])) == (False, True, 64)


def test_without_the_digest_of_its_meaning_the_formatting_of_a_script_counts(
    tmp_path: Path,
) -> None:
    file = write(tmp_path / "models.py", SCRIPT)
    digest = Files().digest(str(file), with_tree=False)
    assert digest == [hashlib.sha256(SCRIPT.encode()).hexdigest(), ""]
    assert Files().is_same(str(write(file, SCRIPT.replace("\n", "\r\n"))), digest)
    assert not Files().is_same(str(write(file, SCRIPT + "# a remark\n")), digest)


@pytest.mark.parametrize(
    ("after", "same"),
    [
        ("create table item (id int);\r\n", True),
        ("create table item (id int); \n", False),
        ("create table item (id int);\n-- a remark\n", False),
        ("create table item (id int);", False),
        (b"create table item (id int);\n\xff", False),
    ],
)
def test_of_a_file_that_is_no_script_all_but_its_line_endings_counts(
    after: str | bytes, same: bool, tmp_path: Path
) -> None:
    assert is_same(tmp_path, "create table item (id int);\n", after, "item.sql") is same


def test_a_file_that_is_no_script_has_one_digest(tmp_path: Path) -> None:
    file = write(tmp_path / "item.sql", "select 1\r\n")
    assert Files().digest(str(file)) == [hashlib.sha256(b"select 1\n").hexdigest(), ""]


def test_a_file_that_is_not_there_has_empty_digests(tmp_path: Path) -> None:
    files = Files()
    missing = str(tmp_path / "0001.py")
    assert files.digest(missing) == ["", ""]
    assert (files.exists(missing), files.exists(str(write(tmp_path / "it", "")))) == (False, True)
    assert files.is_same(missing, ["", ""])


def test_a_file_that_goes_or_comes_is_not_the_same(tmp_path: Path) -> None:
    file = write(tmp_path / "0001.py", SCRIPT)
    there = Files().digest(str(file))
    file.unlink()
    gone = Files().digest(str(file))
    assert not Files().is_same(str(file), there)
    write(file, SCRIPT)
    assert not Files().is_same(str(file), gone)


def test_a_script_that_is_no_python_is_the_same_as_long_as_its_bytes_are(tmp_path: Path) -> None:
    broken = "def broken(:\n"
    assert is_same(tmp_path, broken, broken)
    assert not is_same(tmp_path, broken, broken + "# a remark\n")
    assert not is_same(tmp_path, "x = 1\n", "x = 1\0\n")


def test_a_folder_in_the_place_of_a_file_is_no_file(tmp_path: Path) -> None:
    (tmp_path / "0001.py").mkdir()
    assert Files().digest(str(tmp_path / "0001.py")) == ["", ""]


def test_a_file_is_read_once(tmp_path: Path) -> None:
    file = write(tmp_path / "0001.py", SCRIPT)
    files = Files()
    digest = files.digest(str(file))
    write(file, "")
    assert files.digest(str(file)) == digest
    assert files.is_same(str(file), digest)


def test_nothing_has_changed_where_all_is_as_it_was(tmp_path: Path) -> None:
    file = write(tmp_path / "0001.py", SCRIPT)
    before = manifest(file, folders=(tmp_path,))
    write(file, SCRIPT + "# a remark\n")
    assert fingerprint.changed(before, Files()) == ""


def test_the_first_file_that_has_changed_is_named(tmp_path: Path) -> None:
    first, second, third = (write(tmp_path / f"000{it}.py", SCRIPT) for it in (1, 2, 3))
    before = manifest(first, second, third)
    third.unlink()
    write(second, "")
    assert fingerprint.changed(before, Files()) == str(second)


def test_a_folder_with_another_module_in_it_has_changed(tmp_path: Path) -> None:
    file = write(tmp_path / "0001.py", SCRIPT)
    before = manifest(file, folders=(tmp_path,))
    write(tmp_path / "0002.py", SCRIPT)
    assert fingerprint.changed(before, Files()) == str(tmp_path)


def test_the_first_source_that_was_edited_is_named(tmp_path: Path) -> None:
    script, schema = write(tmp_path / "0001.py", SCRIPT), write(tmp_path / "item.sql", "select 1")
    before = {str(it): Files().digest(str(it)) for it in (script, schema)}
    assert fingerprint.edited(before, Files()) == ""
    write(schema, "select 2")
    assert fingerprint.edited(before, Files()) == str(schema)
    write(script, "")
    assert fingerprint.edited(before, Files()) == str(script)


@pytest.mark.parametrize(
    ("now", "sentence"),
    [
        ({"Python": "3.12", "alembic": "1.18.0"}, ""),
        ({"alembic": "1.18.0", "Python": "3.12", "color": "blue"}, ""),
        ({"Python": "3.13", "alembic": "1.18.0"}, "Python was 3.12, and is 3.13 now"),
        ({"Python": "3.13", "alembic": "1.19.0"}, "Python was 3.12, and is 3.13 now"),
        ({"Python": "3.12"}, "alembic was 1.18.0, and is gone now"),
    ],
)
def test_a_changed_setting_or_version_is_reported_in_a_sentence(
    now: dict[str, str], sentence: str
) -> None:
    before = {"Python": "3.12", "alembic": "1.18.0"}
    assert fingerprint.shape_changed(before, now) == sentence


@pytest.mark.parametrize("name", ["new.py", "package"])
def test_a_module_that_comes_or_goes_changes_the_listing(name: str, tmp_path: Path) -> None:
    write(tmp_path / "app.py", "")
    before = fingerprint.listing(str(tmp_path))
    added = tmp_path / name
    if name.endswith(".py"):
        write(added, "")
    else:
        added.mkdir()
        write(added / "module.py", "")
    assert fingerprint.listing(str(tmp_path)) != before
    added.unlink() if added.is_file() else shutil.rmtree(added)
    assert fingerprint.listing(str(tmp_path)) == before


@pytest.mark.parametrize(
    "name", ["__pycache__/", "app.sql", "app.pyc", ".git/", "htmlcov/", "README"]
)
def test_what_cannot_be_imported_does_not_change_the_listing(name: str, tmp_path: Path) -> None:
    write(tmp_path / "app.py", "")
    before = fingerprint.listing(str(tmp_path))
    if name.endswith("/"):
        (tmp_path / name).mkdir()
    else:
        write(tmp_path / name, "x")
    assert fingerprint.listing(str(tmp_path)) == before


def test_what_is_in_the_files_does_not_change_the_listing(tmp_path: Path) -> None:
    write(tmp_path / "app.py", "")
    before = fingerprint.listing(str(tmp_path))
    write(tmp_path / "app.py", "x = 1")
    assert fingerprint.listing(str(tmp_path)) == before


def test_a_folder_that_is_not_there_has_no_listing(tmp_path: Path) -> None:
    assert fingerprint.listing(str(tmp_path / "gone")) == ""
    assert fingerprint.listing(str(write(tmp_path / "file", ""))) == ""
    assert fingerprint.listing(str(tmp_path)) != ""


@pytest.mark.parametrize(
    ("source", "modules"),
    [
        ("", set()),
        ("import app", {"app"}),
        ("import app.models as it, os", {"app.models", "os"}),
        ("from app import models", {"app", "app.models"}),
        ("from app.models import Item as It", {"app.models", "app.models.Item"}),
        ("from app import *", {"app", "app.*"}),
        ("def upgrade():\n    import app", {"app"}),
        ("if False:\n    import app\nelse:\n    import web", {"app", "web"}),
        ("text = 'import app'", set()),
    ],
)
def test_the_modules_that_a_script_imports_are_known_by_their_names(
    source: str, modules: set[str]
) -> None:
    assert fingerprint.imports(source.encode()) == (modules, False)


@pytest.mark.parametrize(
    "source",
    [
        "from . import models",
        "from .models import Item",
        "from .. import app",
        "import importlib",
        "import importlib.util",
        "from importlib import import_module",
        "import pkgutil",
        "import runpy",
        "__import__('app')",
        "load = __import__",
        "def upgrade():\n    __import__(name)",
    ],
)
def test_a_script_that_chooses_what_it_imports_may_import_anything(source: str) -> None:
    _, is_dynamic = fingerprint.imports(source.encode())
    assert is_dynamic


def test_a_name_that_only_looks_like_the_machinery_of_imports_is_not_it() -> None:
    assert fingerprint.imports(b"import importlib_of_mine\nimport app.importlib") == (
        {"importlib_of_mine", "app.importlib"},
        False,
    )


def test_a_script_that_is_no_python_has_no_imports_to_be_known() -> None:
    with pytest.raises(SyntaxError):
        fingerprint.imports(b"def broken(:")
