"""The migrated schema is compared with the models: a sentence for each difference."""

from __future__ import annotations

import pytest

from tests.plugin.projects import ITEM_MODEL, Project, block, line_of, told

TESTS = """
def test_unit(): pass

def test_database(migrated_db): pass
"""
LOST_TABLE = ITEM_MODEL + 'sa.Table("lost", metadata, sa.Column("id", sa.Integer))\n'
MIGRATED = """
op.execute(
    '''
    create table owner (id integer primary key);
    create table only_migrated (id integer);
    create table thing (
        id integer primary key,
        only_migrated integer,
        kind integer,
        size integer not null,
        weight integer,
        price integer default 1,
        colour text,
        label text,
        owner_id integer references owner,
        keeper_id integer,
        constraint thing_label_key unique (label)
    );
    create index thing_colour_index on thing (colour);
    comment on column thing.weight is 'in grams';
    comment on table owner is 'a person';
    '''
)
"""
MODELS = """
sa.Table(
    "owner", metadata, sa.Column("id", sa.Integer, primary_key=True), comment="a person or two"
)
sa.Table("only_modelled", metadata, sa.Column("id", sa.Integer))
sa.Table(
    "thing",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("only_modelled", sa.Integer),
    sa.Column("kind", sa.String(20)),
    sa.Column("size", sa.Integer),
    sa.Column("weight", sa.Integer, nullable=False, comment="in kilograms"),
    sa.Column("price", sa.Integer, server_default="2"),
    sa.Column("colour", sa.Text),
    sa.Column("label", sa.Text),
    sa.Column("owner_id", sa.Integer),
    sa.Column("keeper_id", sa.Integer, sa.ForeignKey("owner.id", name="other_fk")),
    sa.UniqueConstraint("colour", name="thing_colour_key"),
    sa.Index("thing_label_index", "label", "size"),
)
"""
TODO = [
    (
        '  to do: if the models are right: alembic revision --autogenerate -m "...", '
        "and read what it wrote"
    ),
    "         if the migrations are right: change the models",
    "         to continue for now: --db-check=warn, or dbmigrate_check = warn",
]


def explained(result: pytest.RunResult) -> list[str]:
    """Return the explanation of a run whose database tests had no database."""
    result.assert_outcomes(passed=1, errors=1)
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    return block(result, "dbmigrate: no database").splitlines()


def test_each_kind_of_difference_is_a_sentence(project: Project) -> None:
    project.revision("0001", MIGRATED)
    project.models(MODELS, configure="compare_server_default=True")
    project.tests(TESTS)

    assert explained(project.run()) == [
        "the migrated schema and the models have 16 differences",
        "  - the migrations leave table only_migrated; the models do not have it",
        "  - the models have table only_modelled; no migration adds it",
        (
            "  - table owner has comment 'a person' after the migrations, and 'a person or two'"
            " in the models"
        ),
        "  - the models have column thing.only_modelled; no migration adds it",
        "  - the models have constraint thing_colour_key on thing (colour); no migration adds it",
        "  - the models have foreign key other_fk on thing (keeper_id); no migration adds it",
        "  - the models have index thing_label_index on thing (label, size); no migration adds it",
        (
            "  - column thing.weight has comment 'in grams' after the migrations,"
            " and 'in kilograms' in the models"
        ),
        "  - column thing.price has default 1 after the migrations, and 2 in the models",
        "  - column thing.size is not nullable after the migrations, and nullable in the models",
        "  - column thing.weight is nullable after the migrations, and not nullable in the models",
        (
            "  - column thing.kind has type INTEGER after the migrations, and VARCHAR(20) in the"
            " models"
        ),
        "  - the migrations leave column thing.only_migrated; the models do not have it",
        (
            "  - the migrations leave constraint thing_label_key on thing (label); the models do"
            " not have it"
        ),
        (
            "  - the migrations leave foreign key thing_owner_id_fkey on thing (owner_id);"
            " the models do not have it"
        ),
        (
            "  - the migrations leave index thing_colour_index on thing (colour); the models do"
            " not have it"
        ),
        *TODO,
    ]


def test_differences_can_be_a_warning(items_project: Project) -> None:
    items_project.models(LOST_TABLE)
    items_project.tests(TESTS)

    result = items_project.run("--db-check=warn")

    result.assert_outcomes(passed=2)
    assert result.ret == pytest.ExitCode.OK
    assert told(result)[-1].endswith("; 1 difference to the models")
    said = block(result, "dbmigrate: the schema differs from the models")
    assert said == "- the models have table lost; no migration adds it"


def test_a_comparison_that_fails_is_an_error_of_its_own(items_project: Project) -> None:
    items_project.models(configure="include_object=lambda *_: 1 / 0")
    line = line_of(items_project.path / "migrations/env.py", "1 / 0")
    items_project.tests(TESTS)

    assert explained(items_project.run()) == [
        "the migrated schema could not be compared with the models",
        f"  tried: migrations/env.py:{line}",
        "         ZeroDivisionError: division by zero",
        "  to do: fix what it reports, or see `alembic check`",
        "         to continue for now: --db-check=off",
    ]


def test_what_env_py_excludes_turns_off_or_removes_is_not_a_difference(
    items_project: Project,
) -> None:
    """The one difference that is left is the whole message; types are compared otherwise."""
    items_project.models(
        ITEM_MODEL.replace("sa.Text", "sa.Integer")
        + """
        sa.Table("lost", metadata, sa.Column("id", sa.Integer))
        sa.Table("missed", metadata, sa.Column("id", sa.Integer))

        def forget_lost(context, revision, directives):
            operations = directives[0].upgrade_ops
            operations.ops = [op for op in operations.ops if op.table_name != "lost"]
        """.replace("        ", ""),
        configure="compare_type=False, process_revision_directives=models.forget_lost",
    )
    items_project.tests(TESTS)

    assert explained(items_project.run()) == [
        "the models have table missed; no migration adds it",
        *TODO,
    ]


def test_a_matching_schema_is_reported_as_matching(items_project: Project) -> None:
    """With enums and identities, but for what env.py excludes as an object and by its name."""
    items_project.revision(
        "0002",
        """
        op.execute("create table spatial_ref_sys (id integer)")
        op.execute("create type mood as enum ('good', 'bad')")
        op.execute(
            "create table day (id bigint generated always as identity primary key,"
            " mood mood default 'good' not null, tags jsonb, at timestamptz default now())"
        )
        """,
    )
    items_project.models(
        LOST_TABLE
        + """
from sqlalchemy.dialects import postgresql

sa.Table(
    "day",
    metadata,
    sa.Column("id", sa.BigInteger, sa.Identity(always=True), primary_key=True),
    sa.Column("mood", sa.Enum("good", "bad", name="mood"), server_default="good", nullable=False),
    sa.Column("tags", postgresql.JSONB),
    sa.Column("at", sa.DateTime(timezone=True), server_default=sa.func.now()),
)
""",
        configure="compare_server_default=True, "
        "include_object=lambda item, name, kind, reflected, other: name != 'lost', "
        "include_name=lambda name, kind, _: name != 'spatial_ref_sys'",
    )
    items_project.tests(TESTS)

    result = items_project.run()

    result.assert_outcomes(passed=2)
    assert told(result)[-1].endswith("; the schema matches the models")
