"""Names of our databases: our prefix, the random id of a run or build, the purpose."""

from __future__ import annotations

import re

_PREFIX = "dbm"
OURS = f"^{_PREFIX}_[0-9a-f]{{8}}_"  # how every name of ours begins, for Postgres
_LONGEST = 63  # bytes of a name that Postgres keeps


def control(home: str) -> str:
    """Return the name of a control database: a run's, or a project's that keeps its state."""
    return f"{_PREFIX}_{home}_control"


def comment(owner: str) -> str:
    """Return the comment that every database of a run or project has in the catalog."""
    return f"pytest-dbmigrate, run {owner}"


def template(build: str) -> str:
    """Return the name of the template that a build has become."""
    return f"{_PREFIX}_{build}_template"


def scratch(build: str) -> str:
    """Return the name under which a template is built."""
    return f"{_PREFIX}_{build}_build"


def lease(run_id: str, worker: str) -> str:
    """Return the one name under which a worker's tests find their databases."""
    return f"{_PREFIX}_{run_id}_{worker}"


def additional(run_id: str, worker: str, number: int, label: str) -> str:
    """Return a name for a database beside a worker's own; `label` is what its user calls it."""
    return _readable(f"{_PREFIX}_{run_id}_{worker}_extra{number}", label)


def kept(run_id: str, worker: str, number: int, test: str) -> str:
    """Return a name for a kept database that tells its test."""
    return _readable(f"{_PREFIX}_{run_id}_{worker}_{number}", test)


def _readable(start: str, text: str) -> str:
    """Return a name of `start` and as much of the text as fits."""
    plain = re.sub(r"\W+", "_", text, flags=re.ASCII).strip("_").lower()
    return f"{start}_{plain}"[:_LONGEST].rstrip("_")
