"""The documentation agrees with the code, with the files it links to, and with itself."""

from __future__ import annotations

import ast
import re
import runpy
import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import iniconfig
import pytest

from pytest_dbmigrate.plugin.options import ACTIONS
from pytest_dbmigrate.settings.kinds import Flag
from pytest_dbmigrate.settings.resolution import resolve
from pytest_dbmigrate.settings.specs import every_spec
from tests import pages, workflows

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted([*(ROOT / "docs").rglob("*.md"), *ROOT.glob("*.md")])
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
SETTING = re.compile(r"--(?:no-)?db-[a-z][a-z-]*|\bdbmigrate_[a-z]\w*|\bDBMIGRATE_[A-Z]\w*")
MADE = {
    "alembic.ini",
    "models.py",
    "env.py",
    "build/killed.txt",
    "build/real.txt",
    "tests/test_users.py",
}
NO_SETTINGS = {"DBMIGRATE_PG15_BIN", "DBMIGRATE_REAL_CACHE"}  # of the tests
OLDEST_SQLALCHEMY = ("sqlalchemy", "; python_version < '3.13'")
REQUIREMENT = re.compile(r"([A-Za-z0-9-]+)(?:\[[a-z,]+\])?>=([\d.]+)(; .*)?")


def anchors(page: Path) -> set[str]:
    """Return what a link to a heading of the page may end in."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def broken_links(page: Path) -> Iterator[str]:
    """Yield the relative links of the page that lead nowhere."""
    for link in LINK.findall(page.read_text()):
        if "://" in link:
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path) if path else page
        if not target.exists() or (anchor and anchor not in anchors(target)):
            yield link


def test_the_page_of_options_is_the_one_made_from_the_settings() -> None:
    made = runpy.run_path(str(ROOT / "docs/reference/options.py"))["page"]()

    assert (ROOT / "docs/reference/options.md").read_text() == made, "run `make docs-options`"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_relative_link_leads_somewhere(page: Path) -> None:
    assert list(broken_links(page)) == []


def test_every_page_of_the_guide_is_in_its_index() -> None:
    index = (ROOT / "docs/index.md").read_text()
    trees = re.findall(r"^(?:how-to|tutorial|reference|explanation)/\S+$", index, re.MULTILINE)

    pages = {page.relative_to(ROOT / "docs").as_posix() for page in (ROOT / "docs").rglob("*.md")}
    assert set(LINK.findall(index)) == pages - {"index.md"}
    assert {f"{page}.md" for page in trees} == pages - {"index.md"}


@pytest.mark.parametrize("page", ["CONTRIBUTING.md", "docs/explanation/architecture.md"])
def test_every_file_that_is_named_exists(page: str) -> None:
    files = [path.relative_to(ROOT).as_posix() for path in repository()]
    text = (ROOT / page).read_text()
    names = re.findall(r"`([\w./-]*(?:/|\.(?:py|md|toml|txt|yaml|yml)))`", text)

    ends = {name: f"/{name.strip('/')}" for name in names if name not in MADE}
    assert len(ends) > 5
    assert [
        name
        for name, end in ends.items()
        if not any(f"/{file}".endswith(end) or f"{end}/" in f"/{file}" for file in files)
    ] == []


def repository() -> Iterator[Path]:
    """Yield the files of the repository, but for what is installed or made."""
    for folder in ("pytest_dbmigrate", "tests", "docs", "examples", ".github", ".ci"):
        yield from (path for path in (ROOT / folder).rglob("*") if path.is_file())
    yield from (path for path in ROOT.glob("*") if path.is_file())
    yield ROOT / ".pre-commit-config.yaml"


def spellings() -> set[str]:
    """Return every way to write a setting, and the options that are none."""
    found = {name for spec in every_spec() for name in (spec.ini, spec.environment)}
    found -= {spec.ini for spec in every_spec() if not spec.has_ini}
    found |= {spec.option for spec in every_spec() if spec.has_option}
    found |= {f"--db-{name}" for name in ACTIONS}
    return found | {f"--no-{spec.option[2:]}" for spec in every_spec() if isinstance(spec, Flag)}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_setting_that_is_named_exists(page: Path) -> None:
    assert set(SETTING.findall(page.read_text())) - spellings() - NO_SETTINGS == set()


NOT_RUN = 4  # examples of other plugins, and a variant; a new one needs as good a reason
MENTIONED = (  # files that the pages' settings name, and that have to exist
    "alembic.ini",
    "backend/alembic.ini",
    "billing/alembic.ini",
    "compose.yaml",
    "config.yaml.template",
    "config/local.yaml.template",
    "migrations/env.py",
    "optuna/storages/_rdb/alembic.ini",
    "shop/alembic.ini",
    "sql/roles.sql",
    "tests/drift.txt",
)


def named(found: Iterable[pages.Block]) -> list[Any]:
    """Return the blocks as parameters that are named by page and line."""
    return [pytest.param(block, id=str(block)) for block in found]


@pytest.mark.parametrize("block", named(pages.blocks("python")))
def test_python_in_the_pages_is_python(block: pages.Block) -> None:
    ast.parse(block.text)


@pytest.mark.parametrize("block", named(pages.blocks("python")))
def test_python_in_the_pages_is_run_or_says_why_not(block: pages.Block) -> None:
    assert bool(block.file) or len(block.not_run.split()) > 3


def test_few_examples_are_not_run() -> None:
    assert len([block for block in pages.blocks("python") if block.not_run]) == NOT_RUN


def settings_of(block: pages.Block) -> dict[str, Any]:
    """Return the plugin's settings in a block of ini or toml, as pytest would read them."""
    if block.language == "toml":
        tool = tomllib.loads(block.text).get("tool", {})
        table = tool.get("pytest", {})
        keys = table.get("ini_options", table)
    else:
        head = "" if re.search(r"^\[", block.text, re.MULTILINE) else "[pytest]\n"
        sections = iniconfig.IniConfig("pytest.ini", data=head + block.text).sections
        keys = sections.get("pytest", sections.get("tool:pytest", {}))
    return {
        key: str(value).lower() if isinstance(value, bool) else value
        for key, value in keys.items()
        if key.startswith("dbmigrate_")
    }


@pytest.mark.parametrize(
    "block", named(block for block in pages.blocks("ini", "toml") if settings_of(block))
)
def test_settings_in_the_pages_can_be_used(tmp_path: Path, block: pages.Block) -> None:
    mention_files(tmp_path)
    ini = settings_of(block)
    needed = {}
    if "dbmigrate_target" in ini:
        needed["dbmigrate_alembic"] = "shop/alembic.ini\nbilling/alembic.ini"

    settings = resolve(tmp_path, {}, {}, {**needed, **ini}, tmp_path)

    assert {f"dbmigrate_{name}" for name, said in settings.sources.items() if said == "ini"} == {
        *needed,
        *ini,
    }


def mention_files(folder: Path) -> None:
    """Make the files that the pages' settings name."""
    for name in MENTIONED:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("{url}")


def commands(page: Path) -> Iterator[str]:
    """Yield the commands of pytest in a page's blocks, fenced or indented."""
    for line in page.read_text().splitlines():
        if match := re.match(r"(?:    |\$ |- run: )+(?:\$ )?(pytest(?: [^#]*)?)(?:  .*)?$", line):
            yield match[1]


@pytest.mark.parametrize(
    ("page", "command"),
    [
        pytest.param(page, command, id=f"{page.name}: {command.strip()}")
        for page in [*PAGES, *sorted((ROOT / "docs/ci").glob("*.yml"))]
        for command in dict.fromkeys(commands(page))
        if "db-" in command or "dbmigrate-" in command
    ],
)
def test_options_in_the_pages_can_be_used(tmp_path: Path, page: Path, command: str) -> None:
    mention_files(tmp_path)
    known = {spec.option: spec for spec in every_spec() if spec.has_option}
    options: dict[str, Any] = {}
    for word in command.split("   ", maxsplit=1)[0].split():
        if not re.match(r"--(no-)?(db|dbmigrate)-", word):
            continue
        option, equals, value = word.replace("--dbmigrate-", "--db-").partition("=")
        if option.removeprefix("--db-") in ACTIONS:
            continue
        spec = known[option.replace("--no-", "--", 1)]
        assert bool(equals) == (not isinstance(spec, Flag)), word
        said = value.replace("${{ matrix.suite }}", "unit").replace("$SUITE", "unit")
        said = said if equals else str(not option.startswith("--no-")).lower()
        options[spec.name] = [said] if spec.is_repeatable else said
    if "accept_drift" in options:
        options.setdefault("baseline", "drift.txt")

    settings = resolve(tmp_path, options, {}, {}, start=tmp_path)

    assert {name for name, said in settings.sources.items() if said == "option"} == {*options}


@pytest.mark.parametrize("block", named(pages.blocks("toml")))
def test_toml_in_the_pages_is_toml(block: pages.Block) -> None:
    assert tomllib.loads(block.text)


def raised() -> list[str]:
    """Return what the package's own errors begin with; `...` is what varies."""
    errors = ast.parse((ROOT / "pytest_dbmigrate/errors.py").read_text())
    kinds = {node.name for node in errors.body if isinstance(node, ast.ClassDef)}
    return sorted(
        {
            text
            for path in (ROOT / "pytest_dbmigrate").rglob("*.py")
            for node in ast.walk(ast.parse(path.read_text()))
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
            if node.func.id in kinds and node.args
            for text in literals(node.args[0])
            if text.strip(". ")
        }
    )


def literals(node: ast.expr) -> list[str]:
    """Return the texts that an expression may have; what it fills in is `...`."""
    if isinstance(node, ast.IfExp):
        return literals(node.body) + literals(node.orelse)
    if isinstance(node, ast.JoinedStr):
        return ["".join(text for value in node.values for text in literals(value)[:1])]
    return [str(node.value)] if isinstance(node, ast.Constant) else ["..."]


@pytest.mark.parametrize("text", raised())
def test_every_message_of_an_error_is_explained(text: str) -> None:
    explained = [message.replace("...", " ").split() for message in messages()]
    words = text.replace("...", " ").split()

    assert [one for one in explained if one and is_within(one, words)] != [], text


def is_within(few: list[str], many: list[str]) -> bool:
    """Return whether the words occur in this order among the others."""
    rest = iter(many)
    return all(word in rest for word in few)


def messages() -> list[str]:
    """Return the messages that docs/reference/errors.md explains; `...` is what varies."""
    text = (ROOT / "docs/reference/errors.md").read_text()
    cells = re.findall(r"^\| (`.*?`) \|", text, re.MULTILINE)
    return [message for cell in cells for message in re.findall(r"`([^`]*)`", cell)]


@pytest.mark.parametrize("message", messages())
def test_a_message_that_is_explained_is_one_of_the_plugins(message: str) -> None:
    sources = "".join(path.read_text() for path in (ROOT / "pytest_dbmigrate").rglob("*.py"))
    code = re.sub(r'"\s*\n\s*f?"', "", sources)  # a message may be made of several literals

    assert [part for part in message.split("...") if part.strip() not in code] == []


def requirements(*extras: str) -> list[str]:
    """Return the requirements of some of the package's extras; its own are those of ""."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    known = {"": project["dependencies"], **project["optional-dependencies"]}
    return [line for extra in extras for line in known[extra]]


def lower_bounds() -> dict[tuple[str, str], str]:
    """Return the lower bound of each requirement of the package and its extras, by marker."""
    found: dict[tuple[str, str], str] = {}
    for line in requirements("", "embedded", "xdist"):
        match = REQUIREMENT.fullmatch(line)
        assert match is not None, line
        found[match[1], match[3] or ""] = match[2]
    return found


def pins() -> dict[tuple[str, str], str]:
    """Return the versions of .ci/lowest.txt, by name and marker."""
    lines = (ROOT / ".ci/lowest.txt").read_text().splitlines()
    pinned: dict[tuple[str, str], str] = {}
    for line in lines:
        if not line.startswith("#"):
            requirement, _, marker = line.partition(";")
            name, _, version = requirement.partition("==")
            pinned[name, f";{marker}" if marker else ""] = version
    return pinned


def test_the_lowest_versions_that_are_tried_are_the_lowest_allowed() -> None:
    bounds = lower_bounds()
    bounds.pop(
        ("psycopg", "")
    )  # the extra's bound, with a wheel for each Python, is the higher one
    pinned = pins()
    oldest = bounds.pop(OLDEST_SQLALCHEMY)
    needed = pinned.pop(OLDEST_SQLALCHEMY)  # by the tests' own projects

    assert f"sqlalchemy[asyncio]>={needed}" in requirements("test")
    assert {key: version.removesuffix(".0") for key, version in pinned.items()} == bounds
    real = (ROOT / "tests/real/optuna/requirements-sqlalchemy-1.4.txt").read_text()
    assert f"sqlalchemy=={oldest}" in real.splitlines()


def lint_workflows(schema: str, *files: Path) -> str:
    """Return what the schema of a CI's workflow files says against some of them."""
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", f"vendor.{schema}"]
    done = subprocess.run([*command, *files], capture_output=True, text=True, check=False)
    return "" if done.returncode == 0 else done.stdout + done.stderr


def test_the_workflow_files_are_what_the_schemas_want() -> None:
    assert lint_workflows("github-workflows", *workflows.GITHUB, *workflows.OURS) == ""
    assert lint_workflows("gitlab-ci", workflows.GITLAB) == ""


def test_every_workflow_file_is_shown_on_a_page() -> None:
    shown = re.findall(r"literalinclude\} \.\./ci/(\S+)", (ROOT / "docs/how-to/ci.md").read_text())

    assert set(shown) == {path.name for path in (ROOT / "docs/ci").iterdir()}


def test_our_own_workflows_call_targets_that_exist() -> None:
    makefile = (ROOT / "Makefile").read_text()
    called = {
        word
        for file in workflows.OURS
        for command in re.findall(
            r"run: make ([a-z -]+?)(?= [A-Z_]+=|$)", file.read_text(), re.MULTILINE
        )
        for word in command.split()
    }

    assert called >= {"lint", "types", "docs", "test"}
    assert [word for word in called if not re.search(rf"^{word}:", makefile, re.MULTILINE)] == []
