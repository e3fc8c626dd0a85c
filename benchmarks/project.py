"""A generated project of many revisions, and runs of our own to measure it on."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from pytest_dbmigrate.runs import run
from pytest_dbmigrate.session import Session
from pytest_dbmigrate.settings.resolution import resolve
from pytest_dbmigrate.settings.values import Settings

_INI = """\
[alembic]
script_location = %(here)s/migrations
prepend_sys_path = .
path_separator = os
"""
_ENV = """\
import os

from alembic import context
from sqlalchemy import create_engine, pool

from models import metadata

engine = create_engine(os.environ["DATABASE_URL"], poolclass=pool.NullPool)
with engine.connect() as connection:
    context.configure(connection=connection, target_metadata=metadata)
    with context.begin_transaction():
        context.run_migrations()
"""
_MODELS = """\
from sqlalchemy import Column, ForeignKey, Integer, MetaData, String, Table

metadata = MetaData()
for number in range({tables}):
    Table(
        f"part_{{number}}",
        metadata,
        Column("id", Integer, primary_key=True),
        Column("name", String(80), nullable=False, unique=True),
        Column("before_id", Integer, ForeignKey(f"part_{{max(0, number - 1)}}.id")),
        Column("note", String, index=True),
    )
"""
_REVISION = '''\
"""{what} {table}"""

import sqlalchemy as sa
from alembic import op

revision = "{revision:04}"
down_revision = {before}


def upgrade() -> None:
    {body}
'''
_BODIES = {
    "make": """op.create_table(
        "{table}",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("name", sa.String(80), nullable=False, unique=True),
        sa.Column("before_id", sa.Integer, sa.ForeignKey("{before}.id")),
    )""",
    "extend": 'op.add_column("{table}", sa.Column("note", sa.String))',
    "index": 'op.create_index("ix_{table}_note", "{table}", ["note"])',
    "fill": "op.execute(\"INSERT INTO {table} (name, note) VALUES ('first', 'a note')\")",
}


def write(folder: Path, revisions: int) -> None:
    """Write a project of so many revisions: each table is made, extended, indexed and filled."""
    versions = folder / "migrations/versions"
    versions.mkdir(parents=True)
    (folder / "alembic.ini").write_text(_INI)
    (folder / "migrations/env.py").write_text(_ENV)
    (folder / "models.py").write_text(_MODELS.format(tables=revisions // len(_BODIES)))
    kinds = list(_BODIES)
    for number in range(revisions):
        table, kind = divmod(number, len(kinds))
        text = _REVISION.format(
            what=kinds[kind],
            table=f"part_{table}",
            revision=number,
            before=repr(f"{number - 1:04}") if number else None,
            body=_BODIES[kinds[kind]].format(
                table=f"part_{table}", before=f"part_{max(0, table - 1)}"
            ),
        )
        (versions / f"{number:04}_{kinds[kind]}_part_{table}.py").write_text(text)


def settings(folder: Path) -> Settings:
    """Return the settings of a run in the project, on an embedded server."""
    return resolve(
        folder,
        {"server": "embedded"},
        {},
        {"dbmigrate_env": ["DATABASE_URL={url:postgresql+psycopg}"]},
    )


@contextlib.contextmanager
def session(folder: Path) -> Iterator[Session]:
    """Yield the session of a run in the project; its server ends with the block."""
    opened = Session(settings(folder), run.Run.start(str(folder)), "main", (folder,))
    try:
        yield opened
    finally:
        opened.close()
