"""Data in the template: a copy of the migrated one, with what the project puts in.

The template without data stays: a run that finds new revisions resumes from it, and one that finds
other data copies it again, without running a migration.
"""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import Iterable

import psycopg

from pytest_dbmigrate.databases import builds, names
from pytest_dbmigrate.databases.builds import Build
from pytest_dbmigrate.databases.connection import refused
from pytest_dbmigrate.databases.control import Control
from pytest_dbmigrate.errors import DatabaseError, SettingError
from pytest_dbmigrate.migrations.fingerprint import Files
from pytest_dbmigrate.runs.run import Run
from pytest_dbmigrate.template.extension import Extension

_COPY_OF = "copy of"  # in a build's shape: the build whose template it is a copy of
_KNOWN = "data.json"  # in the run's folder: the files of the process that built the template


def without_data(known: Iterable[Build]) -> list[Build]:
    """Return the builds that migrations alone have made."""
    return [build for build in known if _COPY_OF not in build.shape]


def fill(control: Control, run: Run, base: str, extension: Extension) -> str:
    """Return the build whose template is that of `base` with the project's data in it.

    It is `base` itself if there is nothing to put in. Raises `DbmigrateError`. The caller has the
    lock of those who build.
    """
    files = extension.data_files()
    run.write(_KNOWN, files)
    if not files:
        return base
    shape = _shape(base, files)
    for known in builds.every(control):
        if known.shape == shape and known.sealed and control.is_sealed(names.template(known.id)):
            builds.touch(control, base)  # the original is in use as well
            return known.id
    build = secrets.token_hex(4)
    dsn = builds.begin(control, build, run.id, [], shape, template=base)
    try:
        with contextlib.closing(_connected(dsn.conninfo())) as connection, connection:
            extension.put_data(connection)
        builds.seal(control, build, {"facts": {}})
    except BaseException:
        with contextlib.suppress(DatabaseError):
            builds.forget(control, build)
        raise
    for spare in builds.spare(control):
        builds.forget(control, spare.id)
    return build


def need_same(run: Run, extension: Extension) -> None:
    """Raise `SettingError` where this process would have put in other data than the builder."""
    there, here = tuple(run.read(_KNOWN) or ()), extension.data_files()
    if here == there:
        return
    raise SettingError(
        "the hooks pytest_dbmigrate_migrated of this process are not those of the process that "
        "has built the template",
        tried=(f"here: {', '.join(here) or 'none'}", f"there: {', '.join(there) or 'none'}"),
        todo=("put the hook into the conftest.py of the root folder, or into a plugin",),
    )


def _shape(base: str, files: Iterable[str]) -> dict[str, str]:
    """Return what the data depends on. An edit that means the same does not count."""
    digests, shape = Files(), {_COPY_OF: base}
    for file in files:
        of_bytes, of_tree = digests.digest(file)
        shape[file] = of_tree or of_bytes
    return shape


def _connected(conninfo: str) -> psycopg.Connection[tuple[object, ...]]:
    try:
        return psycopg.connect(conninfo)
    except psycopg.Error as error:
        raise refused("the template's copy cannot be opened", error) from error
