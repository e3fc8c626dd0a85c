"""Workflow files of the documentation: their commands, with variables and matrices filled in."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[1]
GITHUB = sorted((ROOT / "docs/ci").glob("github-*.yml"))
GITLAB = ROOT / "docs/ci/gitlab.yml"
OURS = sorted((ROOT / ".github/workflows").glob("*.yml"))


@dataclass(frozen=True)
class Job:
    """One job as it would run: of a matrix, there is one for each combination."""

    file: str
    name: str
    commands: tuple[str, ...]
    variables: Mapping[str, str]


def jobs() -> list[Job]:
    """Return the jobs of every workflow file in the documentation."""
    return [*itertools.chain.from_iterable(map(_of_github, GITHUB)), *_of_gitlab(GITLAB)]


def _read(file: Path) -> dict[str, Any]:
    content: dict[str, Any] = yaml.safe_load(file.read_text(encoding="utf-8"))
    return content


def _of_github(file: Path) -> Iterator[Job]:
    for name, job in _read(file)["jobs"].items():
        runs = [step["run"] for step in job["steps"] if "run" in step]
        for values in _combinations(job.get("strategy", {}).get("matrix", {})):
            commands = tuple(_filled(run, r"\$\{\{ matrix\.(\w+) \}\}", values) for run in runs)
            yield Job(file.name, name, commands, job.get("env", {}))


def _of_gitlab(file: Path) -> Iterator[Job]:
    for name, job in _read(file).items():
        if name in ("default", "variables"):
            continue
        for matrix in job.get("parallel", {}).get("matrix", [{}]):
            for values in _combinations(matrix):
                commands = tuple(_filled(line, r"\$(\w+)", values) for line in job["script"])
                yield Job(file.name, name, commands, job.get("variables", {}))


def _combinations(matrix: Mapping[str, list[str]]) -> Iterator[dict[str, str]]:
    for values in itertools.product(*matrix.values()):
        yield dict(zip(matrix, values, strict=True))


def _filled(command: str, variable: str, values: Mapping[str, str]) -> str:
    return re.sub(variable, lambda match: values[match[1]], command)
