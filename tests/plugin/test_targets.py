"""What the migrations are run to, and where env.py says its revisions are."""

from __future__ import annotations

import pytest

from tests.plugin.environments import TESTS, create, explained
from tests.plugin.projects import Project, sync_env, told
from tests.plugin.resuming import tables

MODELS = 'for it in {0}:\n    sa.Table(it, metadata, sa.Column("id", sa.Integer))\n'


def migrated(project: Project, *arguments: str) -> list[str]:
    """Return the tables that the database test of a green run has found."""
    project.tests(TESTS)
    result = project.run("-rP", *arguments)
    result.assert_outcomes(passed=2)
    return [name for name in tables(result) if name != "alembic_version"]


@pytest.fixture
def branches(project: Project) -> Project:
    """A project with two bases: `main` with m1, m2, and `side` with s1, s2, which needs m1."""
    for branch, letter in (("main", "m"), ("side", "s")):
        file = project.revision(f"{letter}1", create(f"{branch}_one"), after=None)
        file.write_text(
            file.read_text().replace("branch_labels = None", f"branch_labels = ({branch!r},)")
        )
        project.revision(f"{letter}2", create(f"{branch}_two"))
    file = project.path / "migrations/versions/s2.py"
    file.write_text(file.read_text().replace("depends_on = None", "depends_on = ('m1',)"))
    return project


@pytest.mark.parametrize(
    ("target", "found"),
    [
        ("heads", ["main_one", "main_two", "side_one", "side_two"]),
        ("main@head", ["main_one", "main_two"]),
        ("side@head", ["main_one", "side_one", "side_two"]),
        ("m1 s1", ["main_one", "side_one"]),
        ("main@head, s1", ["main_one", "main_two", "side_one"]),
        ("s2", ["main_one", "side_one", "side_two"]),
        ("main@head side@head", ["main_one", "main_two", "side_one", "side_two"]),
    ],
)
def test_targets_are_what_alembic_takes(branches: Project, target: str, found: list[str]) -> None:
    assert migrated(branches, f"--db-target={target}") == found


def test_a_line_of_the_ini_names_several(branches: Project) -> None:
    branches.ini("dbmigrate_target = m2 s1\n")
    assert migrated(branches) == ["main_one", "main_two", "side_one"]


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


def moved(project: Project, *folders: str) -> None:
    """Move each revision into a folder below `migrations`."""
    revisions = sorted((project.path / "migrations/versions").glob("*.py"))
    for file, folder in zip(revisions, folders, strict=True):
        (project.path / "migrations" / folder).mkdir(parents=True, exist_ok=True)
        file.rename(project.path / "migrations" / folder / file.name)


@pytest.mark.parametrize(
    ("lines", "folders"),
    [
        (
            "version_locations = %(here)s/migrations/a:%(here)s/migrations/b",
            ("a", "a", "b", "b"),
        ),
        (
            "recursive_version_locations = true",
            ("versions/a", "versions/a/b", "versions/c", "versions"),
        ),
    ],
)
def test_revisions_in_several_folders_are_applied(
    branches: Project, lines: str, folders: tuple[str, ...]
) -> None:
    moved(branches, *folders)
    with (branches.path / "alembic.ini").open("a") as ini:
        ini.write(f"{lines}\n")

    found = migrated(branches, "--db-target=heads")

    assert found == ["main_one", "main_two", "side_one", "side_two"]


def test_an_env_py_may_set_its_version_locations(branches: Project) -> None:
    moved(branches, "a", "a", "b", "b")
    setting = """
from alembic.script import ScriptDirectory

context.config.set_main_option(
    "version_locations", "{0}/migrations/a:{0}/migrations/b"
)
"""
    both = setting.format(branches.path)
    (branches.path / "migrations/versions").rmdir()
    for how in (
        "context.script.__dict__.update(ScriptDirectory.from_config(context.config).__dict__)",
        "context._proxy.script = ScriptDirectory.from_config(context.config)",
    ):
        branches.env(sync_env(imports=both + how))
        assert migrated(branches, "--db-target=heads") == [
            *("main_one", "main_two", "side_one", "side_two")
        ]
