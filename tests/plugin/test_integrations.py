"""Libraries between a project and Alembic, as the pages in docs/how-to/integrations tell."""

from __future__ import annotations

import pytest

from tests import pages
from tests.plugin.projects import Project, block, line_of, told


@pytest.mark.parametrize(
    ("name", "passed"),
    [
        ("flask_migrate", 2),
        ("sqlmodel", 1),
        ("advanced_alchemy", 2),
        ("alembic_postgresql_enum", 1),
        ("alembic_utils", 1),
    ],
)
def test_a_project_with_it_is_migrated_and_compared(
    project: Project, name: str, passed: int
) -> None:
    """The files that its page shows are the project's."""
    project.copy(f"integrations/{name}")
    page = f"docs/how-to/integrations/{name.replace('_', '-')}.md"
    for file, text in pages.files(page).items():
        project.write(file, text)

    result = project.run()

    result.assert_outcomes(passed=passed)
    assert told(result)[-1].startswith("fresh: 1 revision applied in ")
    assert told(result)[-1].endswith("; the schema matches the models")


@pytest.mark.parametrize(
    ("name", "file", "before", "after", "sentence"),
    [
        pytest.param(
            "flask_migrate",
            "shop.py",
            "    stock: Mapped[int]\n",
            "    stock: Mapped[int]\n    price: Mapped[int]\n",
            "the models have column article.price; no migration adds it",
            marks=pytest.mark.matrix,
        ),
        (
            "sqlmodel",
            "shop.py",
            "max_length=80",
            "max_length=90",
            (
                "column article.note has type VARCHAR(80) after the migrations, "
                "and VARCHAR(90) in the models"
            ),
        ),
        pytest.param(
            "advanced_alchemy",
            "shop.py",
            "    name: Mapped[str]\n",
            "    name: Mapped[str]\n    price: Mapped[int]\n",
            "the models have column article.price; no migration adds it",
            marks=pytest.mark.matrix,
        ),
        (
            "alembic_postgresql_enum",
            "models.py",
            '    sent = "sent"\n',
            '    sent = "sent"\n    paid = "paid"\n',
            (
                "add_enum_value AddEnumValuesOp(name='state', new_values=['ordered', 'sent', "
                "'paid'], old_values=['ordered', 'sent'], schema='public')"
            ),
        ),
        (
            "alembic_utils",
            "models.py",
            "cents > 10000",
            "cents > 20000",
            "replace_or_revert_entity ReplaceOp('PGView: public.big_orders')",
        ),
    ],
)
def test_what_no_migration_makes_is_named(
    project: Project, name: str, file: str, before: str, after: str, sentence: str
) -> None:
    project.copy(f"integrations/{name}")
    path = project.path / file
    text = path.read_text()
    assert text.count(before) == 1
    path.write_text(text.replace(before, after))

    result = project.run()

    assert result.ret == pytest.ExitCode.TESTS_FAILED
    assert block(result, "dbmigrate: no database").splitlines()[0] == sentence


def test_a_revision_that_forgets_to_import_sqlmodel_is_named(project: Project) -> None:
    project.copy("integrations/sqlmodel")
    revision = project.path / "migrations/versions/0001_articles.py"
    revision.write_text(revision.read_text().replace("import sqlmodel\n", ""))
    line = line_of(revision, "sqlmodel.sql.sqltypes.AutoString()")

    result = project.run()

    result.assert_outcomes(errors=1)
    assert block(result, "dbmigrate: no database").splitlines()[:3] == [
        "revision 0001 failed",
        f"  file: migrations/versions/0001_articles.py:{line}",
        "  error: NameError: name 'sqlmodel' is not defined",
    ]
