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
        resumer = Resumer(project, cache, project.server_url())
        yield resumer, list(environments)
        resumer.stop()


def grow(environment: Environment, table: str, first: str) -> Path:
    """Add a revision and a model; return the revision's file."""
    environment.models(first, table)
    return environment.revision("0002", create(table))


def status(resumer: Resumer) -> list[str]:
    """Return what `--db-status` says below its first line, without times and runs."""
    lines = resumer.project.run("--db-status", server=resumer.server).outlines[1:]
    time = r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d +(\d+ ms)? +run \w+  "
    return [re.sub(time, "", line) for line in lines]


Both = tuple[Resumer, list[Environment]]


def test_only_what_is_new_in_either_is_applied(both: Both) -> None:
    resumer, environments = both
    assert [resumer.how(), resumer.how()] == [
        "fresh: 2 revisions applied",
        "unchanged: 2 revisions",
    ]
    known = {"article", "invoice"}
    for count, environment in enumerate(environments, 3):
        more = f"more_{environment.name}"
        environment.revision("0002", create(more))
        environment.write(
            "models.py",
            f"{(environment.path / 'models.py').read_text()}"
            f'sa.Table("{more}", metadata, sa.Column("id", sa.Integer))\n',
        )
        known.add(more)
        result = resumer.run()
        assert how(result) == f"resumed: 1 of {count} applied now"
        assert result.stdout.str().count("the schema matches the models") == 1
        assert known <= set(tables(result))
        assert resumer.how() == f"unchanged: {count} revisions"


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
    assert status(resumer) == [
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


def test_a_killed_revision_of_either_is_retried(both: Both) -> None:
    resumer, environments = both
    cases = [
        (environments[0], "article", ["done", "stuck", "pending"], "2 of 3"),
        (environments[1], "invoice", ["done", "done", "done", "stuck"], "1 of 4"),
    ]
    for environment, first, states, counts in cases:
        sign = resumer.cache / f"killed-{environment.name}"
        more = f"more_{environment.name}"
        environment.models(first, more)
        environment.revision(
            "0002",
            f"""
            import os, pathlib, signal
            op.execute("create table {more} (id int)")
            if not os.path.isfile({str(sign)!r}):
                os.close(os.open({str(sign)!r}, os.O_CREAT | os.O_WRONLY))
                os.kill(os.getpid(), signal.SIGKILL)
            """,
        )
        assert resumer.run().ret == 1
        told = status(resumer)
        assert [line.split()[0] for line in told if not line.endswith(":")] == states
        result = resumer.run()
        assert how(result) == f"resumed: {counts} applied now (0002 was stuck, and is retried)"
        assert "the schema matches the models" in result.stdout.str()
        sign.unlink()


def test_edits_of_either_and_other_environments_are_reasons_to_start_from_nothing(
    both: Both,
) -> None:
    resumer, (shop, billing) = both
    resumer.how()
    for environment in (shop, billing):
        file = environment.path / "migrations/env.py"
        file.write_text(file.read_text() + "\nANSWER = 42\n")
        assert resumer.how() == "rebuilt: env.py was edited; 2 revisions applied", environment.name

    lines = [f"{it.path}/alembic.ini" for it in (shop, billing)]
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

    for environment in (shop, billing):
        file = environment.path / "migrations/versions/0001.py"
        file.write_text(file.read_text().replace("id int", "id int, x int"))
        result = resumer.run("--db-check=warn")
        reason = "rebuilt: 0001 was edited; 2 revisions applied"
        assert how(result) == reason, environment.name
