"""Builds of a home: rows and databases of kept templates and of builds that were cut short."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from psycopg.types.json import Json

from pytest_dbmigrate import locks
from pytest_dbmigrate.addresses.dsn import Dsn
from pytest_dbmigrate.databases import cluster, names
from pytest_dbmigrate.databases.connection import Connection
from pytest_dbmigrate.databases.control import Control

MOST_TEMPLATES = 8  # of one project; the least recently used is dropped first


@dataclass(frozen=True)
class Build:
    """A row: one way from some revisions (none, or those of another template) to a template.

    `base` are those revisions, `shape` the other inputs, and `sealed` the facts of the template
    once it is complete. They are JSON here; `template.facts` has the values.
    """

    id: str
    run: str
    base: list[dict[str, Any]]
    shape: dict[str, str]
    sealed: dict[str, Any] | None


def every(control: Control | Connection) -> list[Build]:
    """Return the builds, most recently used first; any connection to the home will do."""
    rows = control.execute(
        "select id, run, base, shape, sealed from build order by used_at desc, id"
    ).fetchall()
    return [Build(*row) for row in rows]


def begin(
    control: Control,
    build: str,
    run: str,
    base: list[dict[str, Any]],
    shape: dict[str, str],
    template: str | None = None,
) -> Dsn:
    """Return the database to migrate: empty, or a copy of the template of another build.

    Whatever a killed process has left of the same build is dropped.
    """
    control.execute(
        "insert into build (id, run, base, shape) values (%s, %s, %s, %s) on conflict (id) "
        "do update set base = excluded.base, shape = excluded.shape, sealed = null",
        (build, run, Json(base), Json(shape)),
    )
    scratch = names.scratch(build)
    for name in (scratch, names.template(build)):
        control.drop(name)
    control.register(scratch, "build")
    control.create(scratch, "build", template and names.template(template))
    if template:
        cluster.inherit(control, build, template)
    return control.dsn.at(scratch)


def resume(control: Control, build: str, run: str) -> Dsn:
    """Return the database of a build that was cut short; it belongs to `run` from now on."""
    control.execute(
        "update build set run = %s, used_at = clock_timestamp() where id = %s", (run, build)
    )
    return control.dsn.at(names.scratch(build))


def touch(control: Control, build: str) -> None:
    """Record that a build is used now."""
    control.execute("update build set used_at = clock_timestamp() where id = %s", (build,))


def seal(control: Control, build: str, facts: dict[str, Any]) -> None:
    """Make a template of a build that is complete. A crash in between leaves it unsealed."""
    # In this order a crash loses no database: the new name is registered before it exists, and
    # the old one is unregistered last. Only with `datallowconn` off and the facts in its row is it
    # used as a template.
    scratch, template = names.scratch(build), names.template(build)
    control.register(template, "template")
    control.rename(scratch, template)
    control.seal(template)
    control.execute(
        "update build set sealed = %s, used_at = clock_timestamp() where id = %s",
        (Json(facts, dumps=json.dumps), build),
    )
    control.unregister(scratch)


def is_in_use(control: Control, build: str) -> bool:
    """Whether a living run copies from the template of a build."""
    return control.is_held(locks.TEMPLATE, build)


def forget(control: Control, build: str) -> None:
    """Drop all databases of a build, and its row."""
    control.execute("delete from build where id = %s", (build,))
    for name in (names.scratch(build), names.template(build)):
        control.drop(name)
        control.unregister(name)


def spare(control: Control) -> list[Build]:
    """Return the builds beyond `MOST_TEMPLATES` that nobody uses, least recently used ones."""
    sealed = [build for build in every(control) if build.sealed is not None]
    return [it for it in sealed[MOST_TEMPLATES:] if not is_in_use(control, it.id)]


def drop_orphans(control: Control) -> None:
    """Drop registered databases that belong to no build, because `forget` was cut short."""
    rows = control.execute(
        "select name from database where role in ('build', 'template')"
    ).fetchall()
    known = {of(build.id) for build in every(control) for of in (names.scratch, names.template)}
    for (name,) in rows:
        if name not in known:
            control.drop(name)
            control.unregister(name)
