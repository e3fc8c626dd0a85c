"""Projects with several Alembic environments, each in a folder of its own."""

from __future__ import annotations

import textwrap
from pathlib import Path

from tests.plugin.projects import REVISION, Project, block, sync_env

MODELS = "import sqlalchemy as sa\n\nmetadata = sa.MetaData()\n"
TABLE = 'sa.Table("{0}", metadata, sa.Column("id", sa.Integer))\n'
TESTS = """
def test_unit(): pass

def test_database(migrated_db):
    found = migrated_db.connect().execute(
        "select schemaname || '.' || tablename from pg_tables "
        "where schemaname !~ '^pg_|information_schema' order by 1"
    ).fetchall()
    print("tables:", *(name.removeprefix("public.") for (name,) in found))
"""


class Environment:
    """An Alembic environment: `FOLDER/alembic.ini`, `FOLDER/migrations`, `FOLDER/models.py`."""

    def __init__(self, project: Project, name: str, *, configure: str | None = None) -> None:
        """Write one with a version table of its own, if `configure` does not say otherwise."""
        self.project = project
        self.name = name
        self.configure = f'version_table="{name}_version"' if configure is None else configure
        self.path = project.path / name
        self._last: str | None = None
        self.write(
            "alembic.ini",
            "[alembic]\nscript_location = %(here)s/migrations\nprepend_sys_path = %(here)s\n"
            "path_separator = os\nversion_path_separator = os\nsqlalchemy.url = driver://user:pass@localhost/dbname\n",
        )
        (self.path / "migrations" / "versions").mkdir(parents=True)
        self.env(sync_env(configure=self.configure))

    def write(self, name: str, text: str) -> Path:
        """Write a file of it, as `Project.write` does."""
        return self.project.write(f"{self.name}/{name}", text)

    def env(self, text: str) -> Path:
        """Write its env.py."""
        return self.write("migrations/env.py", text)

    def models(self, *tables: str) -> None:
        """Write `models.py` with tables that have a column `id`, and an env.py with it."""
        self.write("models.py", MODELS + "".join(TABLE.format(table) for table in tables))
        self.env(sync_env(metadata="models.metadata", configure=self.configure))

    def revision(self, revision: str, upgrade: str, doc: str = "a revision") -> Path:
        """Write a revision that follows the one before; return its file."""
        body = textwrap.indent(textwrap.dedent(upgrade).strip("\n"), "    ")
        text = REVISION.format(doc=doc, revision=revision, down=self._last, body=body)
        self._last = revision
        return self.write(f"migrations/versions/{revision}.py", text)


def create(table: str) -> str:
    """Return the body of a revision that makes a table with a column `id`."""
    return f'op.execute("create table {table} (id int)")'


def shop_and_billing(project: Project) -> tuple[Environment, Environment]:
    """Two environments, both with a revision 0001, which are applied in this order."""
    shop, billing = Environment(project, "shop"), Environment(project, "billing")
    shop.revision("0001", create("article"))
    billing.revision("0001", create("invoice"))
    project.ini("dbmigrate_alembic =\n    shop/alembic.ini\n    billing/alembic.ini\n")
    project.tests(TESTS)
    return shop, billing


def explained(project: Project, *arguments: str) -> list[str]:
    """Return how a run explains that its database test had no database."""
    project.tests(TESTS)
    result = project.run(*arguments)
    result.assert_outcomes(passed=1, errors=1)
    return [line.rstrip() for line in block(result, "dbmigrate: no database").splitlines()]
