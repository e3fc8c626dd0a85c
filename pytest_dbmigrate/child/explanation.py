"""Explanation of an exception during a job: one of our errors, chosen by how far the job got.

`failure` reads the exception; this module reads the state of the upgrade.
"""

from __future__ import annotations

import re
from dataclasses import replace

import psycopg

from pytest_dbmigrate.addresses.dsn import Dsn, redact
from pytest_dbmigrate.child import failure, heads
from pytest_dbmigrate.child.upgrade import Upgrade
from pytest_dbmigrate.errors import DbmigrateError, MigrationError


def of(
    error: BaseException, upgrade: Upgrade | None, missing: list[str], dsn: Dsn
) -> DbmigrateError:
    """Return our error for an exception that was raised while the database at `dsn` was migrated.

    `missing` are the names that env.py looked up in `config.attributes` in vain. The failure of a
    revision is written to the history, too.
    """
    if upgrade is None or upgrade.plan.is_reading:
        return failure.of_environment(error, None)
    if upgrade.progress.current is None:
        explained = failure.of_environment(error, upgrade.env)
        # with a connection to our database, env.py does not need an attribute
        return explained if upgrade.env.is_verified else _with_advice(explained, missing)
    return _of_revision(error, upgrade, dsn)


def _of_revision(error: BaseException, upgrade: Upgrade, dsn: Dsn) -> DbmigrateError:
    progress = upgrade.progress
    error = progress.raised or error  # env.py may have replaced it
    try:
        with psycopg.connect(dsn.conninfo(), autocommit=True) as connection:
            applied = heads.current(connection, upgrade.env)
        explained = failure.of_revision(error, progress, applied)
        progress.fail(redact(explained.message, dsn.password))
    except psycopg.OperationalError:  # no history to write it to
        return failure.of_lost_server(error, progress)
    return explained


def _with_advice(error: MigrationError, missing: list[str]) -> MigrationError:
    """Add advice if env.py looked up attributes in vain."""
    if not missing:
        return error
    likely = [name for name in missing if re.search("conn|engine|bind", name)]
    name = (likely or missing)[0]
    wanted = "{engine}" if "engine" in name else "{connection}"
    advice = (
        f"env.py looked for {name!r} in config.attributes: it can be given a connection,",
        f"or an engine, with dbmigrate_attributes = {name} = {wanted}",
    )
    return replace(error, todo=(*error.todo, *advice))
