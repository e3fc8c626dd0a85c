"""`--db-resume` with two Alembic environments."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.plugin.environments import Environment, create, shop_and_billing
from tests.plugin.projects import Project
from tests.plugin.resuming import Resumer, cached, how, tables


@pytest.fixture
def both(project: Project, temporary_files: Path) -> Iterator[tuple[Resumer, list[Environment]]]:
    """A project of two environments with models, whose runs resume."""
    with cached(temporary_files) as cache:
        environments = shop_and_billing(project)
        environments[0].models("article")
        environments[1].models("invoice")
        resumer = Resumer(project, cache)
        yield resumer, list(environments)
        resumer.stop()


def grow(environment: Environment, table: str, first: str) -> Path:
    """Add a revision and a model; return the revision's file."""
    environment.models(first, table)
    return environment.revision("0002", create(table))


def status(project: Project) -> list[str]:
    """Return what `--db-status` says below its first line, without times and runs."""
    lines = project.run("--db-status", server="embedded").outlines[1:]
    time = r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d +(\d+ ms)? +run \w+  "
    return [re.sub(time, "", line) for line in lines]


Both = tuple[Resumer, list[Environment]]


def test_nothing_is_done_where_nothing_has_changed(both: Both) -> None:
    resumer, _ = both
    assert [resumer.how(), resumer.how()] == [
        "fresh: 2 revisions applied",
        "unchanged: 2 revisions",
    ]


@pytest.mark.parametrize("which", [0, 1])
def test_what_is_new_in_either_is_applied(both: Both, which: int) -> None:
    resumer, environments = both
    first = ("article", "invoice")[which]
    resumer.how()
    environments[which].revision("0002", create("more"))
    environments[which].write(
        "models.py",
        f"{(environments[which].path / 'models.py').read_text()}"
        'sa.Table("more", metadata, sa.Column("id", sa.Integer))\n',
    )
    result = resumer.run()
    assert how(result) == "resumed: 1 of 3 applied now"
    assert result.stdout.str().count("the schema matches the models") == 1
    assert {"more", first} <= set(tables(result))
    assert resumer.how() == "unchanged: 3 revisions"


def test_an_extra_table_of_an_earlier_run_is_still_known_as_its_own(both: Both) -> None:
    """It is a difference of the one that has made it, and of nobody else, in each run."""
    resumer, (shop, billing) = both
    billing.revision("0002", create("extra"))
    sentence = "the migrations leave table extra; the models do not have it"
    assert f"\n{sentence}\n" in resumer.run().stdout.str()  # the only one
    shop.revision("0002", 'op.execute("select 1")')
    result = resumer.run("--db-check=warn")
    assert how(result) == "resumed: 1 of 4 applied now"
    assert result.stdout.str().count(f"- {sentence}") == 1


def test_a_failed_revision_of_the_second_is_retried_and_the_first_is_left_alone(
    both: Both,
) -> None:
    resumer, (shop, billing) = both
    grow(shop, "offer", "article")
    billing.models("invoice", "paid")
    file = billing.revision("0002", "op.execute('create tabel paid (id int)')")
    assert resumer.run().ret == 1
    assert status(resumer.project) == [
        f"{shop.path}/alembic.ini:",
        "done     0001  a revision",
        "done     0002  a revision",
        f"{billing.path}/alembic.ini:",
        "done     0001  a revision",
        "failed   0002  a revision",
    ]
    file.write_text(file.read_text().replace("tabel", "table"))
    result = resumer.run("-v")
    assert how(result) == "resumed: 1 of 4 applied now (0002 had failed, and is retried)"
    assert tables(result) == [
        *("article", "billing_version", "invoice", "offer", "paid", "shop_version")
    ]
    assert f"environment {shop.path}" not in result.stdout.str()


@pytest.mark.parametrize("which", [0, 1])
def test_a_killed_revision_of_either_is_retried(both: Both, which: int) -> None:
    resumer, environments = both
    sign = resumer.cache / "killed"
    environments[which].models(("article", "invoice")[which], "more")
    environments[which].revision(
        "0002",
        f"""
        import os, pathlib, signal
        op.execute("create table more (id int)")
        if not os.path.isfile({str(sign)!r}):
            os.close(os.open({str(sign)!r}, os.O_CREAT | os.O_WRONLY))
            os.kill(os.getpid(), signal.SIGKILL)
        """,
    )
    assert resumer.run().ret == 1
    told = status(resumer.project)
    assert [line.split()[0] for line in told if not line.endswith(":")] == (
        ["done", "stuck", "pending"] if which == 0 else ["done", "done", "stuck"]
    )
    result = resumer.run()
    count = 2 if which == 0 else 1
    assert how(result) == (f"resumed: {count} of 3 applied now (0002 was stuck, and is retried)")
    assert "the schema matches the models" in result.stdout.str()
    sign.unlink()


@pytest.mark.parametrize("which", [0, 1])
def test_an_edited_revision_of_either_is_a_reason_to_start_from_nothing(
    both: Both, which: int
) -> None:
    resumer, environments = both
    resumer.how()
    file = environments[which].path / "migrations/versions/0001.py"
    file.write_text(file.read_text().replace("id int", "id int, x int"))
    result = resumer.run("--db-check=warn")
    assert how(result) == "rebuilt: 0001 was edited; 2 revisions applied"


@pytest.mark.parametrize("which", [0, 1])
def test_an_edited_env_py_of_either_is_a_reason_to_start_from_nothing(
    both: Both, which: int
) -> None:
    resumer, environments = both
    resumer.how()
    file = environments[which].path / "migrations/env.py"
    file.write_text(file.read_text() + "\nANSWER = 42\n")
    assert resumer.how() == "rebuilt: env.py was edited; 2 revisions applied"


def test_added_and_removed_environments_are_reasons_to_start_from_nothing(both: Both) -> None:
    resumer, (shop, billing) = both
    lines = [f"{it.path}/alembic.ini" for it in (shop, billing)]
    resumer.how()
    resumer.project.ini("dbmigrate_alembic = shop/alembic.ini\n")
    assert resumer.how() == (
        f"rebuilt: dbmigrate_alembic was {', '.join(lines)}, and is {lines[0]} now; "
        "1 revision applied"
    )
    resumer.project.ini("dbmigrate_alembic =\n    billing/alembic.ini\n    shop/alembic.ini\n")
    assert resumer.how() == (
        f"rebuilt: dbmigrate_alembic was {lines[0]}, and is {lines[1]}, {lines[0]} now; "
        "2 revisions applied"
    )
