"""What of the project a revision is made of, as a process of its own records it.

An audit hook cannot be removed, so that each test has its recorder in a child process.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from pytest_dbmigrate.migrations import fingerprint
from pytest_dbmigrate.migrations.fingerprint import Files, Manifest

CHILD = """
import json, os, runpy, sys
from pathlib import Path
from pytest_dbmigrate.child.recorder import FileRecorder

root = Path(sys.argv[1])
script = str(root / "0001.py")
sys.path.insert(0, str(root))
sources = FileRecorder(str(root))
since = sources.mark()
{body}
print(json.dumps(answer))
"""
RUN = "runpy.run_path(script); answer = sources.of(script, since)"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """The folder of a project."""
    folder = tmp_path.resolve() / "project"
    folder.mkdir()
    return folder


def write(root: Path, files: dict[str, str]) -> Path:
    """Write files of a project; return its script's."""
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root / "0001.py"


def said(root: Path, body: str = RUN) -> Any:
    """Return what a process answers that records what is read from now on."""
    done = subprocess.run(
        [sys.executable, "-B", "-c", CHILD.format(body=body), str(root)],
        cwd=root,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def names(root: Path, found: dict[str, Any]) -> list[str]:
    """Return the files found, relative to the project's folder, in their order."""
    return [os.path.relpath(path, root) for path in found]


def test_a_script_is_all_that_a_revision_without_imports_is_made_of(root: Path) -> None:
    script = write(root, {"0001.py": "revision = '0001'\n"})
    assert said(root) == {str(script): Files().digest(str(script))}


def test_the_projects_modules_that_a_script_imports_belong_to_it(root: Path) -> None:
    write(root, {"0001.py": "import helpers\n", "helpers.py": "x = 1\n"})
    assert said(root) == {
        str(root / name): Files().digest(str(root / name)) for name in ("0001.py", "helpers.py")
    }


def test_what_an_imported_module_imports_belongs_to_the_script_too(root: Path) -> None:
    write(
        root,
        {
            "0001.py": "from app.models import Item\n",
            "app/__init__.py": "",
            "app/models.py": "from app.base import Base\nclass Item(Base): pass\n",
            "app/base.py": "import shared\nclass Base: pass\n",
            "shared.py": "",
        },
    )
    found = names(root, said(root))
    assert found[0] == "0001.py"
    expected = ["app/__init__.py", "app/base.py", "app/models.py", "shared.py"]
    assert sorted(found[1:]) == expected


def test_circular_imports_are_followed_once(root: Path) -> None:
    write(root, {"0001.py": "import one\n", "one.py": "import two\n", "two.py": "import one\n"})
    assert names(root, said(root)) == ["0001.py", "one.py", "two.py"]


def test_a_module_that_only_others_import_does_not_belong_to_the_script(root: Path) -> None:
    write(root, {"0001.py": "import helpers\n", "helpers.py": "", "other.py": ""})
    assert names(root, said(root, f"import other; {RUN}")) == ["0001.py", "helpers.py"]


def test_a_module_that_pythons_own_library_links_to_is_not_the_projects(root: Path) -> None:
    library = root.parent / "library"
    library.mkdir()
    write(root, {"0001.py": "import helpers, linked\n", "helpers.py": "", "../linked.py": ""})
    (library / "linked.py").symlink_to("../linked.py")
    with_library = (
        "import sysconfig; paths = sysconfig.get_paths(); "
        f"sysconfig.get_paths = lambda: {{**paths, 'stdlib': {str(library)!r}}}; "
        f"sys.path.append({str(library)!r}); {RUN}"
    )

    assert names(root, said(root, with_library)) == ["0001.py", "helpers.py"]


def test_a_module_that_was_not_imported_in_the_end_does_not_belong_to_the_script(
    root: Path,
) -> None:
    write(root, {"0001.py": "if False:\n    import helpers\n", "helpers.py": ""})
    assert names(root, said(root)) == ["0001.py"]


def test_a_module_that_is_imported_when_the_revision_runs_belongs_to_it(root: Path) -> None:
    write(root, {"0001.py": "def upgrade():\n    import helpers\n", "helpers.py": ""})
    body = (
        "upgrade = runpy.run_path(script)['upgrade']; before = sources.of(script); upgrade(); "
        "answer = [before, sources.of(script, since)]"
    )
    before, after = said(root, body)
    assert (names(root, before), names(root, after)) == (["0001.py"], ["0001.py", "helpers.py"])


@pytest.mark.parametrize(
    "script",
    [
        "import importlib\nimportlib.import_module('help' + 'ers')\n",
        "__import__('help' + 'ers')\n",
        "import one\n",
    ],
)
def test_all_of_the_projects_modules_belong_to_a_script_that_chooses_what_it_imports(
    script: str, root: Path
) -> None:
    one = "import importlib\nimportlib.import_module('helpers')\n"
    write(root, {"0001.py": script, "one.py": one, "helpers.py": "", "other.py": ""})
    found = names(root, said(root, f"import one, other; {RUN}"))
    assert found[0] == "0001.py"
    assert sorted(found[1:]) == ["helpers.py", "one.py", "other.py"]


def test_a_sql_file_that_a_revision_opens_belongs_to_it(root: Path) -> None:
    (root / "item.sql").write_text("create table item (id int);\n")
    script = write(root, {"0001.py": "open('item.sql').close()\n"})
    assert said(root) == {str(it): Files().digest(str(it)) for it in (script, root / "item.sql")}


@pytest.mark.parametrize(
    "statement",
    [
        "open('item.sql').read()",
        "open(b'item.sql', 'rb').read()",
        "open(os.path.abspath('item.sql')).read()",
        "Path('item.sql').read_text()",
        "Path('sub/../item.sql').read_bytes()",
        "os.close(os.open('item.sql', os.O_RDONLY))",
        "Path('link.sql').read_text()",
    ],
)
def test_a_file_is_seen_however_it_is_opened(statement: str, root: Path) -> None:
    (root / "sub").mkdir()
    (root / "item.sql").touch()
    (root / "link.sql").symlink_to("item.sql")
    write(root, {"0001.py": f"import os\nfrom pathlib import Path\n{statement}\n"})
    assert names(root, said(root)) == ["0001.py", "item.sql"]


def test_a_file_that_was_opened_before_the_mark_is_not_the_revisions(root: Path) -> None:
    for name in ("first.sql", "second.sql"):
        (root / name).touch()
    write(root, {"0001.py": "open('second.sql').close()\n"})
    body = f"open('first.sql').close(); since = sources.mark(); {RUN}"
    assert names(root, said(root, body)) == ["0001.py", "second.sql"]


def test_without_a_mark_no_opened_file_is_the_revisions(root: Path) -> None:
    (root / "item.sql").touch()
    write(root, {"0001.py": "open('item.sql').close()\n"})
    body = "runpy.run_path(script); answer = sources.of(script)"
    assert names(root, said(root, body)) == ["0001.py"]


@pytest.mark.parametrize(
    "statement",
    [
        "open('written.txt', 'w').close()",
        "open('written.txt', 'a').close()",
        "open('there.txt', 'r+').close()",
        "open('written.txt', 'w').close(); open('written.txt').close()",
        "open('there.txt').close(); open('there.txt', 'a').close()",
        "open('gone.txt', 'x').close(); os.unlink('gone.txt')",
        "open(os.path.join('..', 'outside.sql')).close()",
        "open(os.path.join('..', 'project-of-others', 'item.sql')).close()",
        "open('leads-outside.sql').close()",
        "open(os.devnull).close()",
        "open('.git/HEAD').close()",
        "open('venv/lib/python3/site-packages/installed/item.sql').close()",
        "open(os.path.join(os.path.dirname(os.__file__), 'os.py')).close()",
        "os.listdir('.')",
        "import json, textwrap, colorsys",
        "import psycopg",
        "import pytest_dbmigrate.settings.values",
    ],
)
def test_what_is_written_elsewhere_or_not_the_projects_is_not_recorded(
    statement: str, root: Path
) -> None:
    for path in (
        root / "there.txt",
        root.parent / "outside.sql",
        root.parent / "project-of-others/item.sql",
        root / ".git/HEAD",
        root / "venv/lib/python3/site-packages/installed/item.sql",
    ):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    (root / "leads-outside.sql").symlink_to("../outside.sql")
    write(root, {"0001.py": f"import os\n{statement}\n"})
    assert names(root, said(root)) == ["0001.py"]


def test_a_file_that_cannot_be_opened_fails_as_it_always_does(root: Path) -> None:
    body = """
answer = []
for name in ("missing.sql", "nul\\0.sql", -1):
    try:
        open(name)
    except Exception as error:
        answer.append(type(error).__name__)
"""
    assert said(root, body) == ["FileNotFoundError", "ValueError", "ValueError"]


def test_a_modules_own_file_is_not_taken_for_data(root: Path) -> None:
    write(root, {"0001.py": "open('unused.py').close()\n", "unused.py": ""})
    assert names(root, said(root)) == ["0001.py"]


def test_a_script_in_another_place_belongs_to_the_revision_all_the_same(
    root: Path, tmp_path: Path
) -> None:
    elsewhere = tmp_path / "elsewhere.py"
    elsewhere.write_text("x = 1\n")
    body = f"answer = sources.of({str(elsewhere)!r})"
    assert said(root, body) == {str(elsewhere): Files().digest(str(elsewhere))}


def test_what_was_read_before_the_first_revision_is_common_to_all(root: Path) -> None:
    write(root, {"env.py": "", "all.sql": "select 1", "alembic.ini": ""})
    body = (
        "env, ini, sql = (str(root / name) for name in ('env.py', 'alembic.ini', 'all.sql')); "
        "open(ini).close(); open(sql).close(); answer = sorted(sources.common(env, [], [ini]))"
    )
    assert said(root, body) == [str(root / "all.sql"), str(root / "env.py")]


def test_the_manifest_has_all_that_had_a_part_in_the_schema(root: Path) -> None:
    write(root, {"0001.py": "import helpers\n", "helpers.py": "", "env.py": "", "models.py": ""})
    (root / "config.yaml").touch()
    (root / "alembic.ini").touch()
    body = (
        "runpy.run_path(script); import models; open('config.yaml').close(); "
        "others = [str(root / 'alembic.ini'), str(root / 'env.py')]; "
        "answer = vars(sources.manifest([script], others))"
    )
    files = Files()
    script = str(root / "0001.py")
    others = ["alembic.ini", "env.py", "helpers.py", "models.py", "config.yaml"]
    assert said(root, body) == {
        "files": {script: files.digest(script)}
        | {str(root / it): files.digest(str(root / it), with_tree=False) for it in others},
        "folders": {str(root): fingerprint.listing(str(root))},
    }


def test_the_manifest_has_the_folders_of_scripts_and_modules(root: Path) -> None:
    write(root, {"app/__init__.py": "", "versions/0001.py": "", "models.py": ""})
    body = (
        "import app, models; "
        "answer = sources.manifest([str(root / 'versions/0001.py')], []).folders"
    )
    assert names(root, said(root, body)) == [".", "app", "versions"]


def test_a_manifest_that_was_just_made_has_not_changed(root: Path) -> None:
    script = write(root, {"0001.py": "import helpers\n", "helpers.py": ""})
    body = "runpy.run_path(script); answer = vars(sources.manifest([script], []))"
    manifest = Manifest(**said(root, body))
    assert fingerprint.changed(manifest, Files()) == ""
    (root / "helpers.py").write_text("# a remark\n")
    assert fingerprint.changed(manifest, Files()) == str(root / "helpers.py")
    (root / "helpers.py").write_text("")
    script.write_text("import helpers  # a remark\n")
    assert fingerprint.changed(manifest, Files()) == ""
