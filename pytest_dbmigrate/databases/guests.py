"""Guests: the runs that share a home, their liveness, and the databases that dead ones leave."""

from __future__ import annotations

from collections.abc import Collection

from pytest_dbmigrate import locks
from pytest_dbmigrate.databases.control import Control


def sweep_dead(control: Control, living: Collection[str]) -> list[str]:
    """Drop the tests' databases of dead runs; return the runs' ids.

    Databases that `--db-keep` has kept stay. A run is alive while it holds its lock; the locks
    of those known to be `living` are not looked at, as a test may just have ended their
    connections.
    """
    rows = control.execute("select id from run where id <> all(%s)", ([*living],)).fetchall()
    dead = [run for (run,) in rows if not is_alive(control, run)]
    for run in dead:
        leave(control, run)
    return dead


def is_alive(control: Control, run: str) -> bool:
    """Whether any process of a run is connected."""
    return control.is_held(locks.RUN, run)


def leave(control: Control, run: str) -> bool:
    """Drop the tests' databases of a run; return whether no other database of it is left."""
    rows = control.execute(
        "select name from database where run = %s and role = 'lease'", (run,)
    ).fetchall()
    for (name,) in rows:
        control.drop(name)
        control.unregister(name)
    rest = control.execute("select from database where run = %s", (run,)).fetchone()
    if rest is None:
        control.execute("delete from outcome where run = %s", (run,))
        control.execute("delete from run where id = %s", (run,))
    return rest is None
