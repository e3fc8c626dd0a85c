"""Cluster-wide objects: roles and whatever else belongs to no database, and who made them.

A revision that creates a role creates it for the whole server: it stays when the database is
dropped, and is in the way when the revision is applied to another database there.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterable
from typing import NamedTuple

from psycopg import sql
from psycopg.types.json import Json

from pytest_dbmigrate.databases import names
from pytest_dbmigrate.databases.control import Control
from pytest_dbmigrate.errors import DatabaseError

_FIRST = 16384  # FirstNormalObjectId: initdb's own objects have lower ids
_THINGS = sql.SQL("""
select 'role', rolname, '' from pg_roles where oid >= {first}
union all
select 'tablespace', spcname, '' from pg_tablespace where oid >= {first}
union all
select 'database', datname, '' from pg_database where oid >= {first} and datname !~ {ours}
union all
select 'replication slot', slot_name, '' from pg_replication_slots where not temporary
union all
select 'subscription', subname, '' from pg_subscription
union all
select 'setting', split_part(setting, '=', 1)
    || case when rolname is null then ' of all roles' else ' of role ' || rolname end
    || coalesce(' in database ' || datname, ''), md5(setting)
from pg_db_role_setting
    left join pg_roles r on r.oid = setrole left join pg_database d on d.oid = setdatabase,
    unnest(setconfig) setting
where datname is null or datname !~ {ours}
""").format(first=sql.Literal(_FIRST), ours=sql.Literal(names.OURS))
_MAY_READ_FILES = """
select has_table_privilege('pg_file_settings', 'select')
    and has_function_privilege('pg_show_all_file_settings()', 'execute')
"""
_FILES = """
select 'setting', name || ' of the server', md5(setting) from pg_file_settings
where sourcefile ~ 'postgresql\\.auto\\.conf$'
"""


class Thing(NamedTuple):
    """An object of the whole server. `value` distinguishes two settings, and is not shown."""

    kind: str
    name: str
    value: str = ""

    def __str__(self) -> str:
        return f"{self.kind} {self.name}"


def look(control: Control) -> set[Thing]:
    """Return all objects but those of initdb and our own databases.

    Settings of `ALTER SYSTEM` are seen only by roles that may read the server's files.
    """
    rows = control.execute(_THINGS).fetchall()
    if control.one(_MAY_READ_FILES):
        rows += control.execute(_FILES).fetchall()
    return {Thing(*row) for row in rows}


def remember(control: Control) -> None:
    """Record what a home's server had before its first build, unless that is recorded."""
    control.execute(
        "insert into preexisting select %s where not exists (select from preexisting)",
        (Json(sorted(look(control)), dumps=json.dumps),),
    )


def record(control: Control, build: str, things: Iterable[Thing]) -> None:
    """Record what a build has made. The record outlives the build."""
    for thing in things:
        control.execute(
            "insert into made values (%s, %s, %s, %s) on conflict do nothing", (build, *thing)
        )


def inherit(control: Control, build: str, base: str) -> None:
    """Record that what one build has made belongs to another, too, which resumes it."""
    control.execute(
        "insert into made select %s, kind, name, value from made where build = %s "
        "on conflict do nothing",
        (build, base),
    )


def in_the_way(control: Control, base: str | None) -> set[Thing]:
    """Return what a build on `base`, or from nothing, would not meet on a new server."""
    before = control.one("select things from preexisting") or []
    return look(control) - {Thing(*it) for it in before} - _made(control, base or "")


def roles_in_the_way(control: Control, base: str | None) -> set[Thing]:
    """Return the roles in the way that builds are known to have made.

    Other roles were made by a test, or by a migration that was killed.
    """
    found = in_the_way(control, base) & _made(control)
    return {it for it in found if it.kind == "role"}


def makers(control: Control, things: set[Thing]) -> set[str]:
    """Return the ids of the builds that have made any of the things."""
    rows = control.execute("select build, kind, name, value from made").fetchall()
    return {build for build, *thing in rows if Thing(*thing) in things}


def drop_roles(control: Control, roles: set[Thing]) -> None:
    """Drop roles unless something depends on them. Only for a server of our own."""
    waiting = sorted(it.name for it in roles)
    while waiting:
        left = [name for name in waiting if not _drop_role(control, name)]
        if len(left) == len(waiting):
            return
        waiting = left  # one may have depended on another that is gone by now


def _made(control: Control, build: str | None = None) -> set[Thing]:
    """Return what one build has made, or what all builds have."""
    rows = control.execute(
        "select kind, name, value from made where build = %s or %s", (build or "", build is None)
    ).fetchall()
    return {Thing(*row) for row in rows}


def _drop_role(control: Control, name: str) -> bool:
    role = sql.Identifier(name)
    with contextlib.suppress(DatabaseError):
        # what it has in databases is gone with them; what is left are rights on shared things
        control.execute(sql.SQL("drop owned by {}").format(role))
        control.execute(sql.SQL("drop role {}").format(role))
        control.execute("delete from made where kind = 'role' and name = %s", (name,))
        return True
    return False
