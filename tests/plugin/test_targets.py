"""What the migrations are run to, and where env.py says its revisions are."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.plugin.environments import TESTS, Environment, create, explained
from tests.plugin.projects import REVISION, Project, sync_env, told
from tests.plugin.resuming import tables

MODELS = 'for it in {0}:\n    sa.Table(it, metadata, sa.Column("id", sa.Integer))\n'


def migrated(project: Project, *arguments: str) -> list[str]:
    """Return the tables that the database test of a green run has found."""
    project.tests(TESTS)
    result = project.run("-rP", *arguments)
    result.assert_outcomes(passed=2)
    return [name for name in tables(result) if name != "alembic_version"]


def two_branches(write: Callable[..., Path], prefix: str = "") -> None:
    """Write two bases: `main` with m1, m2, and `side` with s1, s2, which needs m1.

    The names of their tables begin with `prefix`.
    """
    for branch, letter in (("main", "m"), ("side", "s")):
        label, needed = f"({branch!r},)", "('m1',)" if branch == "side" else "None"
        for number, down, old, new in (
            ("one", None, "branch_labels = None", f"branch_labels = {label}"),
            ("two", f"{letter}1", "depends_on = None", f"depends_on = {needed}"),
        ):
            name = f"{letter}{1 if down is None else 2}"
            body = f"    {create(f'{prefix}{branch}_{number}')}"
            text = REVISION.format(doc="a revision", revision=name, down=down, body=body)
            write(f"migrations/versions/{name}.py", text.replace(old, new))


@pytest.fixture
def branches(project: Project) -> Project:
    """A project with the two branches."""
    two_branches(project.write)
    return project


def environments(project: Project, count: int) -> list[Environment]:
    """Write environments with the two branches each, as `e0`, `e1`, ..., all of them named."""
    made = [Environment(project, f"e{number}") for number in range(count)]
    for it in made:
        two_branches(it.write, f"{it.name}_")
    return made


def named(project: Project, made: list[Environment], *targets: str) -> None:
    """Let the project's settings name environments, and a line of targets for each."""
    lines = ["dbmigrate_alembic =", *(f"    {it.name}/alembic.ini" for it in made)]
    project.ini("\n".join([*lines, "dbmigrate_target =", *(f"    {it}" for it in targets)]))


def found_by(project: Project, made: list[Environment]) -> list[list[str]]:
    """Return the tables that a green run has made for each environment."""
    found = migrated(project)
    return [
        [
            name.removeprefix(f"{it.name}_")
            for name in found
            if name.startswith(f"{it.name}_") and name != f"{it.name}_version"
        ]
        for it in made
    ]


def test_targets_are_what_alembic_takes(project: Project) -> None:
    wanted = {
        "heads": ["main_one", "main_two", "side_one", "side_two"],
        "main@head": ["main_one", "main_two"],
        "side@head": ["main_one", "side_one", "side_two"],
        "m1 s1": ["main_one", "side_one"],
        "main@head, s1": ["main_one", "main_two", "side_one"],
        "m2 s1": ["main_one", "main_two", "side_one"],
        "s2": ["main_one", "side_one", "side_two"],
        "main@head side@head": ["main_one", "main_two", "side_one", "side_two"],
    }
    made = environments(project, len(wanted))
    named(project, made, *wanted)

    assert dict(zip(wanted, found_by(project, made), strict=True)) == wanted


def test_an_option_and_a_line_of_the_ini_name_several(branches: Project) -> None:
    branches.ini("dbmigrate_target = m2 s1\n")
    assert migrated(branches) == ["main_one", "main_two", "side_one"]
    assert migrated(branches, "--db-target=main@head, s2") == [
        *("main_one", "main_two", "side_one", "side_two")
    ]


def test_a_label_that_is_not_there_is_an_error(branches: Project) -> None:
    assert explained(branches, "--db-target=mian@head") == [
        "the migrations cannot be run to mian@head: Can't locate revision identified by 'mian'",
        "  to do: see `alembic history`; dbmigrate_target names another revision",
    ]


def test_one_of_several_that_is_not_there_is_an_error(branches: Project) -> None:
    assert explained(branches, "--db-target=m1 nowhere") == [
        "the migrations cannot be run to m1 nowhere: Can't locate revision identified by 'nowhere'",
        "  to do: see `alembic history`; dbmigrate_target names another revision",
    ]


def test_more_lines_of_targets_than_environments_are_refused(branches: Project) -> None:
    branches.ini("dbmigrate_target =\n    m1\n    s1\n")

    result = branches.run()

    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert result.stderr.str().splitlines()[:2] == [
        "ERROR: dbmigrate: dbmigrate_target has 2 lines for 1 environment",
        "  to do: give one line for all of them, or a line for each line of dbmigrate_alembic",
    ]


def test_heads_are_compared_with_the_models(branches: Project) -> None:
    branches.models(MODELS.format(["main_one", "main_two", "side_one", "side_two"]))
    branches.tests(TESTS)

    said = told(branches.run("--db-target=heads"))[-1]

    assert said.endswith("; the schema matches the models")


def test_a_head_that_another_branch_depends_on_is_the_newest_all_the_same(
    branches: Project,
) -> None:
    """Alembic's version table does not name it beside the one that depends on it."""
    (branches.path / "migrations/versions/m2.py").unlink()
    branches.models(MODELS.format(["main_one", "side_one", "side_two"]))
    branches.tests(TESTS)

    said = told(branches.run("--db-target=heads"))[-1]

    assert said.endswith("; the schema matches the models")


def test_a_part_of_the_heads_is_not_compared(branches: Project) -> None:
    branches.models(MODELS.format(["main_one"]))
    branches.tests(TESTS)

    assert told(branches.run("--db-target=main@head"))[-1].endswith(
        "; not compared with the models: "
        "the target is not the newest revision, which the models are for"
    )


def moved(migrations: Path, *folders: str) -> None:
    """Move each revision into a folder below `migrations`."""
    revisions = sorted((migrations / "versions").glob("*.py"))
    for file, folder in zip(revisions, folders, strict=True):
        (migrations / folder).mkdir(parents=True, exist_ok=True)
        file.rename(migrations / folder / file.name)


def test_revisions_in_several_folders_that_the_ini_or_env_py_names_are_applied(
    project: Project,
) -> None:
    layouts = {
        "version_locations = %(here)s/migrations/a:%(here)s/migrations/b": ("a", "a", "b", "b"),
        "recursive_version_locations = true": (
            *("versions/a", "versions/a/b", "versions/c", "versions"),
        ),
    }
    setting = """
from alembic.script import ScriptDirectory

context.config.set_main_option(
    "version_locations", "{0}/migrations/a:{0}/migrations/b"
)
"""
    by_env = (
        "context.script.__dict__.update(ScriptDirectory.from_config(context.config).__dict__)",
        "context._proxy.script = ScriptDirectory.from_config(context.config)",
    )
    made = environments(project, len(layouts) + len(by_env))
    for it, (lines, folders) in zip(made, layouts.items(), strict=False):
        moved(it.path / "migrations", *folders)
        with (it.path / "alembic.ini").open("a") as ini:
            ini.write(f"{lines}\n")
    for it, how in zip(made[len(layouts) :], by_env, strict=True):
        moved(it.path / "migrations", "a", "a", "b", "b")
        (it.path / "migrations/versions").rmdir()
        it.env(sync_env(imports=setting.format(it.path) + how, configure=it.configure))
    named(project, made, *["heads"] * len(made))

    every = ["main_one", "main_two", "side_one", "side_two"]
    assert found_by(project, made) == [every] * len(made)
