"""Whatever is killed, and whenever: the next run goes on, and each revision is there once.

Of the 30 revisions two are tried, by `make test` in five of the thirty scenes. With `KILL_AT=all`
each of them is, and with `KILL_AT=spread` each is tried once for each that is killed, at one of
the moments, with one kind of env.py; with `KILL_AT=few` each is tried once in all. The outcomes
are written into `build/killed.txt`.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import pytest
from _pytest.mark.structures import ParameterSet

from tests.plugin import killing
from tests.plugin.killing import REVISIONS, Moment, Scene, Victim
from tests.plugin.projects import Project

pytestmark = pytest.mark.skipif(not Path("/proc/self").exists(), reason="needs /proc")

HOW_MANY = os.environ.get("KILL_AT", "")
TABLE = Path(__file__).parents[2] / "build" / "killed.txt"


@pytest.fixture
def scene(project: Project, temporary_files: Path) -> Iterator[Scene]:
    """A project, and folders of its own for what its runs leave."""
    temporary, cache, signs = (Path(tempfile.mkdtemp(dir=temporary_files)) for _ in range(3))
    scene = Scene(project, temporary, cache, signs)
    yield scene
    scene.end()


def numbers(victim: Victim, moment: Moment, env: str) -> list[int]:
    """Return the revisions that something is killed at."""
    every = list(range(1, REVISIONS + 1))
    share = get_args(Moment).index(moment) * 2 + (env == "async")
    spread = every[share::6]
    few = spread[get_args(Victim).index(victim) :: len(spread)]
    return {"all": every, "spread": spread, "few": few}.get(HOW_MANY, [10, 17])


def expected(number: int, moment: Moment) -> str:
    """Return how the run after a kill begins to tell of it."""
    if killing.is_outside(number) and moment == "middle":
        return f"rebuilt: {number:04} was cut short outside of a transaction; 30 revisions applied"
    if moment == "commit":
        again = " (compared anew)" if number == REVISIONS else ""
        return f"resumed: {REVISIONS - number} of {REVISIONS} applied now{again} in"
    left = f"resumed: {REVISIONS - number + 1} of {REVISIONS} applied now"
    return f"{left} ({number:04} was stuck, and is retried) in"


def scenes() -> list[ParameterSet]:
    """Return each victim at each moment with each env.py; most of them are a matrix.

    `make test` has each victim at one moment, each moment, and both kinds of env.py.
    """
    return [
        pytest.param(
            *(victim, moment, env),
            id=f"{victim}-{moment}-{env}",
            marks=() if number % 3 == place and number % 2 == other else pytest.mark.matrix,
        )
        for number, victim in enumerate(get_args(Victim))
        for place, moment in enumerate(get_args(Moment))
        for other, env in enumerate(("sync", "async"))
    ]


@pytest.mark.timeout(1200)
@pytest.mark.parametrize(("victim", "moment", "env"), scenes())
def test_a_run_after_any_kill_ends_at_head_with_each_revision_once(
    scene: Scene, victim: Victim, moment: Moment, env: str
) -> None:
    killing.write(scene.project, is_async=env == "async")
    outcomes = []
    tried = numbers(victim, moment, env)
    for number in tried:
        killing.edit_first(scene.project, number)  # so that it begins with nothing applied
        scene.kill(victim, number, moment)
        if victim != "run, child and guardian":
            scene.assert_nothing_is_left()
        outcome = scene.resume()
        scene.assert_nothing_is_left()
        outcomes.append((f"{victim:24} {env:5} {moment:6} {number:04}", outcome))
    write_table([f"{case}  {outcome.line}" for case, outcome in outcomes])
    assert [
        (case, outcome.line, outcome.said)
        for (case, outcome), number in zip(outcomes, tried, strict=True)
        if not (outcome.is_green and outcome.line.startswith(expected(number, moment)))
    ] == []
    assert scene.resume().line.startswith("unchanged: 30 revisions")


def write_table(lines: list[str]) -> None:
    """Add lines to the table of outcomes."""
    TABLE.parent.mkdir(exist_ok=True)
    with TABLE.open("a") as table:
        table.writelines(f"{line}\n" for line in lines)
