"""The examples of the documentation are run: each page's files, in a project of their own."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest

from tests import pages
from tests.plugin.projects import Project

BASE = Path(__file__).parents[1] / "projects/pages"
ELSEWHERE = (
    "docs/how-to/integrations/",  # test_integrations.py
    "docs/how-to/extending.md",  # test_extending.py
)
PASSED = {
    ("README.md", ""): 2,
    ("docs/tutorial/getting-started.md", ""): 2,
    ("docs/reference/fixtures.md", ""): 5,
    ("docs/reference/migrations.md", ""): 1,
    ("docs/how-to/shared-database.md", ""): 2,
    ("docs/how-to/environments.md", "a context"): 1,
    ("docs/how-to/environments.md", "a thread"): 1,
    ("docs/how-to/coming-from.md", "before create_all"): 2,
    ("docs/how-to/coming-from.md", "after create_all"): 2,
    ("docs/how-to/coming-from.md", "after pytest-postgresql"): 3,
    ("docs/how-to/coming-from.md", "after testcontainers"): 2,
    ("docs/how-to/coming-from.md", "after pytest-alembic"): 3,
}
USES_A_DATABASE = """
    def test_the_migrations_were_run(migrated_db):
        with migrated_db.connect() as connection:
            connection.execute("INSERT INTO users (name) VALUES ('ada')")
"""
# What a page leaves to its reader: tests that use what it defines.
ADDED = {
    "docs/reference/fixtures.md": """
        from shop.models import User

        def test_a_session_is_on_the_tests_database(session):
            session.add(User(name="ada"))
            session.commit()

        def test_the_catalogue_is_a_database_of_the_module(catalogue):
            with catalogue.connect() as connection:
                connection.execute("SELECT * FROM users")
    """,
    "docs/reference/migrations.md": USES_A_DATABASE,
    "docs/how-to/shared-database.md": """
        def test_the_engine_is_on_the_shared_database(engine):
            with engine.begin() as connection:
                connection.exec_driver_sql("INSERT INTO users (name) VALUES ('ada')")

        def test_what_was_committed_is_still_there(engine):
            with engine.connect() as connection:
                names = connection.exec_driver_sql("SELECT name FROM users").scalars().all()
            assert names == ["ada"]
    """,
    "a context": USES_A_DATABASE,
    "a thread": USES_A_DATABASE,
    "after pytest-postgresql": """
        def test_rows_are_stored_through_psycopg(postgresql):
            postgresql.execute("INSERT INTO users (name) VALUES ('ada')")
    """,
    "after pytest-alembic": """
        from sqlalchemy import inspect

        def test_the_database_is_empty(alembic_engine):
            assert inspect(alembic_engine).get_table_names() == []
    """,
}


def test_every_example_is_run() -> None:
    with_python = {
        (page, project)
        for page in {block.page for block in pages.blocks("python") if not block.not_run}
        if not page.startswith(ELSEWHERE)
        for project in pages.projects(page)
    }

    assert with_python == set(PASSED)


@pytest.mark.parametrize(("page", "name"), PASSED)
def test_the_examples_of_a_page_pass(
    project: Project, server_url: Callable[[], str], page: str, name: str
) -> None:
    shutil.rmtree(project.path / "migrations")
    shutil.copytree(BASE, project.path, dirs_exist_ok=True)
    files = pages.files(page, name)
    for file, text in files.items():
        project.write(file, text)
    if "pyproject.toml" in files:
        (project.path / "pytest.ini").unlink()
    if (name or page) in ADDED:
        project.write("tests/test_added.py", ADDED[name or page])

    is_before = name.startswith("before")
    result = run_before(project, server_url()) if is_before else project.run()

    result.assert_outcomes(passed=PASSED[page, name])
    with psycopg.connect(server_url(), autocommit=True) as admin:  # of the page on migrations
        admin.execute("DROP ROLE IF EXISTS app_reader")


def run_before(project: Project, server: str) -> pytest.RunResult:
    """Run a project that does not use the plugin yet, on an empty database."""
    name = "pages_before"
    with psycopg.connect(server, autocommit=True) as admin, pytest.MonkeyPatch.context() as patch:
        admin.execute(f"create database {name}".encode())
        url = f"{server.rpartition('/')[0]}/{name}".replace("://", "+psycopg://")
        patch.setenv("TEST_DATABASE_URL", url)
        project.ini()
        result = project.pytester.runpytest_subprocess()
        admin.execute(f"drop database {name} with (force)".encode())
    return result
