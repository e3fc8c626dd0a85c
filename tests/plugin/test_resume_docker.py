"""A kept container: found again, replaced when it is gone, removed when it is told to go."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conformance.kinds import IMAGE
from tests.plugin.projects import Project, output
from tests.plugin.resuming import Resumer, cached

pytestmark = pytest.mark.docker


@pytest.fixture
def resumer(project: Project, temporary_files: Path) -> Iterator[Resumer]:
    """A project whose runs resume in a container."""
    project.ini(f"dbmigrate_image = {IMAGE}")
    project.revision("0001")
    with cached(temporary_files) as cache:
        resumer = Resumer(project, cache, "docker")
        before = containers()
        yield resumer
        resumer.stop()
        assert list(cache.iterdir()) == []
        assert containers() == before


def docker(*arguments: str) -> list[str]:
    """Return the lines that a docker command prints."""
    done = subprocess.run(["docker", *arguments], capture_output=True, text=True, check=True)
    return done.stdout.split()


def containers() -> list[str]:
    """Return the kept containers, networks and volumes of all projects."""
    label = "label=org.pytest-dbmigrate.project"
    networks = [it for it in docker("network", "ls", "--format", "{{.Name}}") if "dbmigrate" in it]
    return [*docker("ps", "--all", "--quiet", "--filter", label), *networks]


def test_a_container_is_kept_and_found_again(resumer: Resumer) -> None:
    seen = [resumer.how()]
    (kept,) = docker("ps", "--quiet", "--filter", "label=org.pytest-dbmigrate.project")
    resumer.project.revision("0002", 'op.execute("create table two (id int)")')
    seen += [resumer.how(), resumer.how()]
    assert docker("ps", "--quiet", "--filter", "label=org.pytest-dbmigrate.project") == [kept]
    assert seen == [
        "fresh: 1 revision applied",
        "resumed: 1 of 2 applied now",
        "unchanged: 2 revisions",
    ]


def test_a_container_that_has_ended_is_replaced_with_the_reason(resumer: Resumer) -> None:
    resumer.how()
    (kept,) = docker("ps", "--quiet", "--filter", "label=org.pytest-dbmigrate.project")
    docker("kill", kept)
    assert resumer.how() == "rebuilt: the kept container had ended; 1 revision applied"
    assert kept not in docker("ps", "--all", "--quiet")


def test_a_container_of_another_image_is_replaced_with_the_reason(resumer: Resumer) -> None:
    resumer.how()
    docker("tag", IMAGE, "pytest-dbmigrate-ci/other:1")
    try:
        said = resumer.how("--db-image=pytest-dbmigrate-ci/other:1")
        assert said == (
            "rebuilt: dbmigrate_image is pytest-dbmigrate-ci/other:1 now; 1 revision applied"
        )
    finally:
        resumer.stop()
        docker("rmi", "pytest-dbmigrate-ci/other:1")


def test_status_knows_a_container_too(resumer: Resumer) -> None:
    resumer.how()
    lines = resumer.project.run("--db-status", server="docker").outlines
    assert lines[0].endswith("(docker), kept")
    assert lines[1].split()[:2] == ["done", "0001"]


def test_what_a_killed_run_leaves_in_the_container_is_swept(resumer: Resumer) -> None:
    resumer.how()
    resumer.project.tests(
        "import os\nimport signal\n\ndef test_it(migrated_db):\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    resumer.run()
    resumer.project.tests(
        "def test_it(migrated_db):\n"
        "    with migrated_db.connect() as connection:\n"
        "        rows = connection.execute(\n"
        "            \"select datname from pg_database where datname like 'dbm%main'\"\n"
        "        ).fetchall()\n"
        "    assert rows == [(migrated_db.name,)]\n"
    )
    result = resumer.run()
    assert result.ret == 0, output(result)
