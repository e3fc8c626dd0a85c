"""The baseline: differences that are accepted, so that only new ones are errors."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from pytest_dbmigrate.schema.baseline import HEADER
from tests.plugin.projects import ITEM_MODEL, Project, block, output, told
from tests.plugin.resuming import cached

TESTS = """
def test_unit(): pass

def test_database(migrated_db): pass
"""
FILE = "tests/drift.txt"
LOST, MISSED, EXTRA = (
    "the models have table lost; no migration adds it",
    "the models have table missed; no migration adds it",
    "the migrations leave table extra; the models do not have it",
)
TODO = [
    (
        '  to do: if the models are right: alembic revision --autogenerate -m "...", '
        "and read what it wrote"
    ),
    "         if the migrations are right: change the models",
    f"         to continue for now: run once with --db-accept-drift, which writes {FILE}",
]
NO_DATABASE = "dbmigrate: no database"
GONE = "dbmigrate: the baseline names differences that no longer occur"
NOT_WRITTEN = "dbmigrate: the baseline was not written"
REMOVE = f"remove them from {FILE}, or run once with --db-accept-drift"
SECONDS = re.compile(r" in \d+\.\d\d s")
XDIST = ("xdist",)


def model(*tables: str) -> str:
    """Return models with item and more tables."""
    return ITEM_MODEL + "".join(
        f'sa.Table("{table}", metadata, sa.Column("id", sa.Integer))\n' for table in tables
    )


def written(*lines: str) -> str:
    """Return the text of a baseline."""
    return "\n".join([*HEADER, *([""] if lines else []), *lines]) + "\n"


@pytest.fixture
def drifting(items_project: Project) -> Project:
    """A project with two differences, `lost` and `extra`, and a baseline that is not written."""
    items_project.revision("0002", 'op.execute("create table extra (id integer)")')
    items_project.models(model("lost"))
    items_project.ini(f"dbmigrate_baseline = {FILE}")
    items_project.tests(TESTS, "tests/test_it.py")
    return items_project


def accepts(project: Project, *lines: str) -> Path:
    """Write the project's baseline."""
    path = project.path / FILE
    path.write_text(written(*lines), encoding="utf-8")
    return path


def text(project: Project) -> str:
    """Return what the baseline has in it."""
    return (project.path / FILE).read_text(encoding="utf-8")


def last(result: pytest.RunResult, count: int = 1) -> list[str]:
    """Return the last lines that the plugin told, without the seconds."""
    return [SECONDS.sub("", line) for line in told(result)[-count:]]


def refusal(result: pytest.RunResult) -> list[str]:
    """Return the usage error of a run that ended with nothing else."""
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert output(result).strip() == ""
    return [line for line in result.errlines if line]


def titles(result: pytest.RunResult) -> list[str]:
    """Return the titles of our sections in the summary."""
    found = [line.strip("= ") for line in result.outlines if line.startswith("===")]
    return [title for title in found if title.startswith("dbmigrate: ")]


def test_an_accepted_difference_is_not_an_error_and_is_written_once(drifting: Project) -> None:
    first = drifting.run("--db-accept-drift")

    first.assert_outcomes(passed=2)
    assert first.ret == pytest.ExitCode.OK
    assert last(first, 2) == [
        "fresh: 2 revisions applied; 2 differences to the models, all in the baseline",
        f"wrote {FILE}: 2 differences (2 new)",
    ]
    assert titles(first) == []
    assert text(drifting) == written(EXTRA, LOST)

    path = drifting.path / FILE
    before = path.stat()

    second = drifting.run("--db-accept-drift")

    second.assert_outcomes(passed=2)
    assert last(second, 2) == [
        "fresh: 2 revisions applied; 2 differences to the models, all in the baseline",
        f"{FILE} is as it was: 2 differences",
    ]
    assert titles(second) == []
    assert (path.stat().st_ino, path.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


def test_a_new_difference_is_the_whole_message(drifting: Project) -> None:
    accepts(drifting, EXTRA, LOST)
    drifting.models(model("lost", "missed"))

    result = drifting.run()

    result.assert_outcomes(passed=1, errors=1)
    assert block(result, NO_DATABASE).splitlines() == [
        MISSED,
        f"  baseline: {FILE} accepts 2 more differences",
        *TODO,
    ]
    assert titles(result) == [NO_DATABASE]


def test_several_new_differences_are_listed_without_the_accepted_ones(drifting: Project) -> None:
    """Those that no longer occur are named beside them."""
    accepts(drifting, EXTRA, "the modles have table typo")
    drifting.models(model("lost", "missed"))

    result = drifting.run()

    result.assert_outcomes(passed=1, errors=1)
    assert block(result, NO_DATABASE).splitlines() == [
        "the migrated schema and the models have 2 differences that are not in the baseline",
        f"  - {LOST}",
        f"  - {MISSED}",
        f"  baseline: {FILE} accepts 1 more difference",
        *TODO,
    ]
    assert block(result, GONE).splitlines() == ["- the modles have table typo", REMOVE]


@pytest.mark.parametrize(
    ("accepted", "said"),
    [
        ([EXTRA], "2 differences to the models, 1 of them in the baseline"),
        ([], "2 differences to the models, none of them in the baseline"),
    ],
)
def test_warnings_are_about_new_differences_only(
    drifting: Project, accepted: list[str], said: str
) -> None:
    accepts(drifting, *accepted)

    result = drifting.run("--db-check=warn")

    result.assert_outcomes(passed=2)
    assert last(result) == [f"fresh: 2 revisions applied; {said}"]
    listed = [f"- {it}" for it in (EXTRA, LOST) if it not in accepted]
    assert block(result, "dbmigrate: the schema differs from the models").splitlines() == listed
    assert titles(result) == ["dbmigrate: the schema differs from the models"]


@pytest.mark.parametrize(
    ("accepted", "said"),
    [
        ([LOST], "1 difference to the models, in the baseline"),
        ([], "1 difference to the models, not in the baseline"),
    ],
)
def test_a_single_difference_is_or_is_not_in_the_baseline(
    items_project: Project, accepted: list[str], said: str
) -> None:
    items_project.models(model("lost"))
    items_project.tests(TESTS, "tests/test_it.py")
    accepts(items_project, *accepted)

    result = items_project.run("--db-check=warn", f"--db-baseline={FILE}")

    result.assert_outcomes(passed=2)
    assert last(result) == [f"fresh: 1 revision applied; {said}"]


def test_stale_lines_are_named(drifting: Project) -> None:
    accepts(drifting, EXTRA, "the modles have table typo", LOST, MISSED)

    result = drifting.run()

    result.assert_outcomes(passed=2)
    assert result.ret == pytest.ExitCode.OK
    assert last(result) == [
        "fresh: 2 revisions applied; 2 differences to the models, all in the baseline"
    ]
    assert block(result, GONE).splitlines() == [
        f"- {MISSED}",
        "- the modles have table typo",
        REMOVE,
    ]


def test_a_schema_that_matches_needs_no_baseline(items_project: Project) -> None:
    items_project.models()
    items_project.ini(f"dbmigrate_baseline = {FILE}")
    items_project.tests(TESTS, "tests/test_it.py")
    accepts(items_project, LOST)

    result = items_project.run()

    result.assert_outcomes(passed=2)
    assert last(result) == ["fresh: 1 revision applied; the schema matches the models"]
    assert block(result, GONE).splitlines() == [f"- {LOST}", REMOVE]

    result = items_project.run("--db-accept-drift")

    assert last(result, 2) == [
        "fresh: 1 revision applied; the schema matches the models",
        f"wrote {FILE}: no differences (1 gone)",
    ]
    assert text(items_project) == written()


def test_a_rewritten_baseline_keeps_the_comments_of_remaining_lines(
    drifting: Project,
) -> None:
    accepts(drifting, "# with the old shop", MISSED, "# until the new shop opens", EXTRA)

    result = drifting.run("--db-accept-drift", "-q")

    result.assert_outcomes(passed=2)
    assert last(result) == [f"wrote {FILE}: 2 differences (1 new, 1 gone)"]
    assert text(drifting) == written("# until the new shop opens", EXTRA, LOST)
    assert GONE not in titles(result)


def test_a_variable_accepts_differences_in_a_baseline_outside_of_the_project(
    drifting: Project, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is named in full."""
    monkeypatch.setenv("DBMIGRATE_ACCEPT_DRIFT", "1")
    path = tmp_path_factory.mktemp("elsewhere") / "drift.txt"

    result = drifting.run(f"--db-baseline={path}", "--db-check=warn")

    result.assert_outcomes(passed=2)
    assert last(result) == [f"wrote {path}: 2 differences (2 new)"]
    assert path.read_text(encoding="utf-8") == written(EXTRA, LOST)


def test_a_sentence_is_the_same_in_every_run(drifting: Project) -> None:
    """As operations have them that know nothing of how to be told."""
    drifting.models(
        model("lost")
        + """
from alembic.autogenerate import comparators
from alembic.operations import MigrateOperation


class CreateView(MigrateOperation):
    def __init__(self, text):
        self.text = text
        self.made_by = object()

    def reverse(self):
        return self

    def to_diff_tuple(self):
        raise NotImplementedError


class Renamed(CreateView):
    def __str__(self):
        return f"{self.made_by}\\n  {self.text}"


@comparators.dispatch_for("schema")
def compare_views(context, operations, schemas):
    operations.ops += [CreateView("select\\n1"), Renamed("# 2")]
"""
    )

    drifting.run("--db-accept-drift").assert_outcomes(passed=2)

    assert text(drifting) == written(
        "CreateView CreateView(text='select\\n1')",
        "Renamed <object object> # 2",
        EXTRA,
        LOST,
    )
    drifting.run().assert_outcomes(passed=2)


def test_without_the_check_the_file_is_not_read(drifting: Project) -> None:
    (drifting.path / FILE).write_bytes(b"\xff")

    result = drifting.run("--db-check=off")

    result.assert_outcomes(passed=2)
    assert last(result) == [
        "fresh: 2 revisions applied; not compared with the models: dbmigrate_check is off"
    ]
    assert titles(result) == []
    assert "lost" not in output(result)


def test_a_failed_comparison_leaves_the_baseline_unchanged(drifting: Project) -> None:
    path = accepts(drifting, LOST)

    result = drifting.run("--db-accept-drift", "--db-target=0001")

    result.assert_outcomes(passed=2)
    why = "the target is not the newest revision, which the models are for"
    assert last(result) == [f"fresh: 1 revision applied; not compared with the models: {why}"]
    assert titles(result) == [NOT_WRITTEN]
    assert block(result, NOT_WRITTEN) == why
    assert path.read_text(encoding="utf-8") == written(LOST)


def test_a_run_without_a_database_says_that_nothing_was_written(drifting: Project) -> None:
    result = drifting.run("--db-accept-drift", "-k", "unit")

    result.assert_outcomes(passed=1, deselected=1)
    assert block(result, NOT_WRITTEN) == "no test of this run has asked for the database"
    assert not (drifting.path / FILE).exists()


def test_failed_migrations_leave_the_baseline_unchanged(drifting: Project) -> None:
    drifting.revision("0003", "raise ValueError('no')")
    path = accepts(drifting, LOST)

    result = drifting.run("--db-accept-drift")

    result.assert_outcomes(passed=1, errors=1)
    assert titles(result) == [NO_DATABASE, NOT_WRITTEN]
    assert block(result, NOT_WRITTEN) == "there was no database"
    assert path.read_text(encoding="utf-8") == written(LOST)


def test_the_workers_of_a_run_write_once(drifting: Project) -> None:
    drifting.tests("def test_one(migrated_db): pass\ndef test_two(migrated_db): pass", "test_2.py")
    accepts(drifting, LOST, MISSED)

    result = drifting.run("-n", "2", "--db-accept-drift", plugins=XDIST)

    result.assert_outcomes(passed=4)
    assert last(result, 2) == [
        "fresh: 2 revisions applied; 2 differences to the models, all in the baseline",
        f"wrote {FILE}: 2 differences (1 new, 1 gone)",
    ]
    assert text(drifting) == written(EXTRA, LOST)


def test_the_workers_of_a_run_judge_once(drifting: Project) -> None:
    drifting.tests("def test_one(migrated_db): pass\ndef test_two(migrated_db): pass", "test_2.py")
    accepts(drifting, LOST, MISSED)

    result = drifting.run("-n", "2", plugins=XDIST)

    result.assert_outcomes(passed=1, errors=3)
    assert block(result, NO_DATABASE).splitlines()[:2] == [
        EXTRA,
        f"  baseline: {FILE} accepts 1 more difference",
    ]
    assert block(result, GONE).splitlines() == [f"- {MISSED}", REMOVE]
    assert titles(result) == [NO_DATABASE, GONE]


@pytest.fixture
def resuming(drifting: Project, temporary_files: Path) -> Iterator[Project]:
    """The same project, whose runs resume."""
    with cached(temporary_files):
        yield drifting
        drifting.run("--db-stop")


def test_an_unchanged_template_is_judged_again(resuming: Project) -> None:
    accepts(resuming, EXTRA)

    def run(*arguments: str) -> pytest.RunResult:
        return resuming.run("--db-resume", *arguments)

    first = run()
    first.assert_outcomes(passed=1, errors=1)
    assert block(first, NO_DATABASE).splitlines()[0] == LOST

    second = run("--db-accept-drift")
    second.assert_outcomes(passed=2)
    assert last(second, 2) == [
        "unchanged: 2 revisions; 2 differences to the models, all in the baseline",
        f"wrote {FILE}: 2 differences (1 new)",
    ]

    accepts(resuming, EXTRA, LOST, MISSED)
    third = run()
    third.assert_outcomes(passed=2)
    assert last(third) == [
        "unchanged: 2 revisions; 2 differences to the models, all in the baseline"
    ]
    assert block(third, GONE).splitlines() == [f"- {MISSED}", REMOVE]


def test_a_missing_file_is_refused_with_the_way_to_write_it(drifting: Project) -> None:
    assert refusal(drifting.run()) == [
        (
            f"ERROR: dbmigrate: dbmigrate_baseline={drifting.path / FILE} cannot be used: "
            "there is no such file"
        ),
        "  to do: write it with the differences there are: run once with --db-accept-drift",
    ]


def test_a_file_that_cannot_be_read_is_refused(drifting: Project) -> None:
    (drifting.path / FILE).write_bytes(b"# caf\xe9\n")

    for arguments in ([], ["--db-accept-drift"]):
        assert refusal(drifting.run(*arguments)) == [
            (
                f"ERROR: dbmigrate: the baseline {drifting.path / FILE} cannot be read: "
                "byte 6 is not UTF-8"
            ),
            "  to do: mend the file, or name another with dbmigrate_baseline",
        ]


def test_a_file_of_another_kind_is_not_overwritten(drifting: Project) -> None:
    models = drifting.path / "models.py"
    before = models.read_bytes()

    result = drifting.run("--db-accept-drift", "--db-baseline=models.py")

    assert refusal(result) == [
        f"ERROR: dbmigrate: {models} is no baseline, and --db-accept-drift would overwrite it",
        "  to do: name another file,",
        f"         or let it begin with the line: {HEADER[0]}",
    ]
    assert models.read_bytes() == before


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (
            ["--db-baseline="],
            [
                "--db-accept-drift needs a file to write to",
                "name it: dbmigrate_baseline = FILE in the ini file, or --db-baseline=FILE",
            ],
        ),
        (
            ["--db-check=off"],
            [
                "--db-accept-drift has nothing to accept with --db-check=off",
                "leave one of the two out",
            ],
        ),
    ],
)
def test_what_cannot_be_accepted_is_refused(
    drifting: Project, arguments: list[str], error: list[str]
) -> None:
    what, todo = error

    result = drifting.run("--db-accept-drift", *arguments)

    assert refusal(result) == [f"ERROR: dbmigrate: {what}", f"  to do: {todo}"]


@pytest.mark.parametrize("line", ["dbmigrate_accept_drift = true", "addopts = --db-accept-drift"])
def test_accepting_drift_is_not_an_ini_setting(drifting: Project, line: str) -> None:
    drifting.ini(f"dbmigrate_baseline = {FILE}\n{line}")

    assert refusal(drifting.run()) == [
        "ERROR: dbmigrate: --db-accept-drift is for one run, and cannot stand in an ini file",
        "  to do: say --db-accept-drift on the command line",
    ]


def test_a_folder_that_cannot_be_written_to_is_an_error_of_the_tests(drifting: Project) -> None:
    drifting.tests("import shutil\nshutil.rmtree('gone')", "tests/test_removes.py")
    (drifting.path / "gone").mkdir()

    result = drifting.run("--db-accept-drift", "--db-baseline=gone/drift.txt")

    result.assert_outcomes(passed=1, errors=1)
    assert block(result, NO_DATABASE).splitlines() == [
        (
            f"the baseline {drifting.path / 'gone/drift.txt'} cannot be written: "
            "No such file or directory"
        ),
        "  tried: making a file beside it, and renaming that",
        "  to do: let this user write to the folder, or name another file",
    ]
