"""Sweep: drop the databases that a run has created on a server that stays.

The guardian runs it in a separate process. It drops the databases that are registered, those that
have our comment, and the control database, whose name contains the run's id; nothing else.
"""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import Any

import psycopg

from pytest_dbmigrate import clock, locks
from pytest_dbmigrate.addresses.dsn import Dsn
from pytest_dbmigrate.databases import names
from pytest_dbmigrate.databases.connection import Connection, connect, drop
from pytest_dbmigrate.errors import DatabaseError

_ADDRESS = "address.json"
# The advisory locks of one kind that sessions hold in this database. `objsubid = 2` marks those of
# two numbers: `classid` is the first of them, `objid` the second, as an unsigned integer.
_HELD = """
select objid::bigint from pg_locks where locktype = 'advisory' and classid = %s and objsubid = 2
and database = (select oid from pg_database where datname = current_database())
"""
# The server may still execute a statement of a migration child that was killed.
_END_STATEMENTS = """
select count(pg_terminate_backend(pid)) from pg_stat_activity
where usesysid is not null and datname in (
    select d.name from database d join build b on d.name like '%%' || b.id || '%%'
    where d.role = 'build' and b.run = %s and b.sealed is null
)
"""
_ATTEMPTS, _PAUSE = 20, 0.5  # seconds between two attempts


def main(folder: str, home: str, *, may_be_gone: bool, unless_used: bool) -> None:
    """Drop the databases of the owner of this folder; exit status 1 if one is left.

    The folder's name is the id of the owner: a run, or the project whose state is kept. If a kept
    server of our own does not answer, the run that starts it again sweeps it.
    """
    path = Path(folder)
    if not (path / _ADDRESS).exists():
        raise SystemExit(0)  # its owner never had a server
    dsn = Dsn.from_record(json.loads((path / _ADDRESS).read_text(encoding="utf-8"))["dsn"])
    if may_be_gone and not _answers(dsn):
        raise SystemExit(0)
    users = _users(dsn, home) if unless_used else []
    if users:
        raise SystemExit(f"runs {', '.join(users)} use it")
    raise SystemExit(not sweep(dsn, path.name, home))


def _users(dsn: Dsn, home: str) -> list[str]:
    """Return the ids of the runs that are connected to a home."""
    try:
        with connect(dsn.at(names.control(home))) as its:
            rows = its.execute("select id from run").fetchall()
            held = its.execute(_HELD, (locks.RUN,)).fetchall()
    except (psycopg.Error, DatabaseError):
        return []
    # pg_locks shows the key unsigned
    return [run for (run,) in rows if (locks.key(run) % (1 << 32),) in held]


def _answers(dsn: Dsn) -> bool:
    try:
        connect(dsn).close()
    except DatabaseError:
        return False
    return True


def sweep(dsn: Dsn, owner: str, home: str = "") -> bool:
    """Drop the databases of a run, or of a whole home; return whether none is left.

    A database that cannot be dropped is tried again for a while, and does not hold up the others.
    The control database of a home is dropped last, since it lists the others; that of a home in
    which the run was only a guest stays.
    """
    home = home or owner
    with connect(dsn) as connection:
        waiting = _databases(dsn, connection, owner, home)
        for _ in range(_ATTEMPTS):
            waiting = [name for name in waiting if not _drop(connection, name)]
            if not waiting and _drop_control(dsn, connection, owner, home):
                return True
            clock.sleep(_PAUSE)
    return False


def _databases(dsn: Dsn, connection: Connection, owner: str, home: str) -> list[str]:
    """Return the registered databases, and those with our comment: a test may have renamed one."""
    control = names.control(home)
    registered: list[tuple[Any, ...]] = []
    owners = [owner]
    with contextlib.suppress(psycopg.Error, DatabaseError), connect(dsn.at(control)) as its:
        registered = its.execute(
            "select name from database where role <> 'control' and run = any(%s) or %s "
            "order by registered_at desc",
            (owners, owner == home),
        ).fetchall()
        if owner == home:
            owners += [run for (run,) in its.execute("select id from run").fetchall()]
    commented = connection.execute(
        "select datname from pg_database where shobj_description(oid, 'pg_database') = any(%s)",
        ([names.comment(one) for one in owners],),
    ).fetchall()
    databases = dict.fromkeys(name for (name,) in [*registered, *commented])
    return [name for name in databases if name != control]


def _drop_control(dsn: Dsn, connection: Connection, owner: str, home: str) -> bool:
    """Drop the control database of a home; of a guest, only its rows and orphaned statements."""
    control = names.control(home)
    if owner == home:
        return _drop(connection, control)
    with contextlib.suppress(psycopg.Error, DatabaseError), connect(dsn.at(control)) as its:
        its.execute("delete from database where run = %s", (owner,))
        its.execute("delete from outcome where run = %s", (owner,))
        its.execute("delete from run where id = %s", (owner,))
        its.execute(_END_STATEMENTS, (owner,))
    return True


def _drop(connection: Connection, name: str) -> bool:
    """Return whether the database is gone. Connections are ended only if they are in the way."""
    for force in (False, True):
        with contextlib.suppress(psycopg.Error):
            connection.execute(drop(name, force=force))
            return True
    return False
