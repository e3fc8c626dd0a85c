"""What Alembic's autogenerate finds between a real schema and models, as values."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from alembic.config import Config
from alembic.operations import ops
from alembic.runtime.environment import EnvironmentContext
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy.dialects import postgresql

from pytest_dbmigrate.addresses.dsn import Dsn
from pytest_dbmigrate.child import comparison
from pytest_dbmigrate.schema.difference import Difference

Compare = Callable[..., list[Difference]]
MIGRATED = """
create table person (
    id integer primary key, name text, age integer default 7, city_id integer, nick text
)
"""


def models(*more: Any, **options: Any) -> sa.MetaData:
    """Return models that match what is migrated, and more columns or constraints."""
    metadata = sa.MetaData()
    sa.Table(
        "person",
        metadata,
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("name", sa.Text),
        sa.Column("age", sa.Integer, server_default="7"),
        sa.Column("city_id", sa.Integer),
        sa.Column("nick", sa.Text),
        *more,
        **options,
    )
    return metadata


@pytest.fixture
def script(tmp_path: Path) -> tuple[Config, ScriptDirectory]:
    """An Alembic environment without revisions."""
    (tmp_path / "versions").mkdir()
    config = Config()
    config.set_main_option("script_location", str(tmp_path))
    config.set_main_option("path_separator", "os")
    return config, ScriptDirectory.from_config(config)


@pytest.fixture
def connection(new_database: Callable[[], Dsn]) -> Iterator[sa.Connection]:
    """A connection to a database with one table."""
    engine = sa.create_engine(new_database().url("psycopg"), poolclass=sa.NullPool)
    with engine.connect() as connection:
        connection.exec_driver_sql(MIGRATED)
        yield connection


@pytest.fixture
def compare(connection: sa.Connection, script: tuple[Config, ScriptDirectory]) -> Compare:
    """A comparison of the database with models, with env.py's options."""

    def compared(metadata: Any, **options: Any) -> list[Difference]:
        environment = EnvironmentContext(*script)
        environment.configure(
            connection=connection, target_metadata=metadata, **{"compare_type": True, **options}
        )
        return comparison.differences(*script, environment.get_context(), comparison.OtherTables())

    return compared


def person(**columns: Any) -> sa.MetaData:
    """Return models that match, but for the given columns; None leaves one out."""
    metadata = models()
    table = metadata.tables["person"]
    changed = sa.MetaData()
    kept = [
        columns.get(column.name, column._copy())
        for column in table.columns
        if columns.get(column.name, column) is not None
    ]
    sa.Table("person", changed, *kept)
    return changed


def test_models_that_match_have_no_difference(compare: Compare) -> None:
    assert compare(models()) == []


def test_a_missing_column_is_found(compare: Compare) -> None:
    assert compare(models(sa.Column("key", sa.Text))) == [Difference("add_column", "person", "key")]


def test_a_column_too_many_is_found(compare: Compare) -> None:
    assert compare(person(nick=None)) == [Difference("remove_column", "person", "nick")]


def test_a_missing_table_is_found_with_its_schema(
    compare: Compare, connection: sa.Connection
) -> None:
    connection.exec_driver_sql("create schema crm")
    metadata = models()
    sa.Table("city", metadata, sa.Column("id", sa.Integer, primary_key=True), schema="crm")
    assert compare(metadata, include_schemas=True) == [Difference("add_table", "crm.city")]


def test_a_table_too_many_is_found(compare: Compare) -> None:
    assert compare(sa.MetaData()) == [Difference("remove_table", "person")]


def test_a_missing_index_is_found_with_its_columns(compare: Compare) -> None:
    assert compare(models(sa.Index("ix_person", "name", "age"))) == [
        Difference("add_index", "person", "ix_person", ("name", "age"))
    ]


def test_a_missing_index_on_an_expression_is_found(compare: Compare) -> None:
    assert compare(models(sa.Index("ix_person", sa.text("lower(name)")))) == [
        Difference("add_index", "person", "ix_person", ("lower(name)",))
    ]


def test_an_index_too_many_is_found(compare: Compare, connection: sa.Connection) -> None:
    connection.exec_driver_sql("create index ix_person on person (name)")
    assert compare(models()) == [Difference("remove_index", "person", "ix_person", ("name",))]


def test_a_missing_unique_constraint_is_found(compare: Compare) -> None:
    assert compare(models(sa.UniqueConstraint("name", name="uq_person"))) == [
        Difference("add_constraint", "person", "uq_person", ("name",))
    ]


def test_a_unique_constraint_too_many_is_found(compare: Compare, connection: sa.Connection) -> None:
    connection.exec_driver_sql("alter table person add constraint uq_person unique (name)")
    assert compare(models()) == [Difference("remove_constraint", "person", "uq_person", ("name",))]


def test_a_missing_foreign_key_is_found(compare: Compare, connection: sa.Connection) -> None:
    connection.exec_driver_sql("create table city (id integer primary key)")
    metadata = models(sa.ForeignKeyConstraint(["city_id"], ["city.id"], name="fk_city"))
    sa.Table("city", metadata, sa.Column("id", sa.Integer, primary_key=True))
    assert compare(metadata) == [Difference("add_fk", "person", "fk_city", ("city_id",))]


def test_a_foreign_key_too_many_is_found(compare: Compare, connection: sa.Connection) -> None:
    connection.exec_driver_sql("create table city (id integer primary key)")
    connection.exec_driver_sql(
        "alter table person add constraint fk_city foreign key (city_id) references city"
    )
    metadata = models()
    sa.Table("city", metadata, sa.Column("id", sa.Integer, primary_key=True))
    assert compare(metadata) == [Difference("remove_fk", "person", "fk_city", ("city_id",))]


def test_another_type_is_found(compare: Compare) -> None:
    column = sa.Column("age", sa.BigInteger, server_default="7")
    assert compare(person(age=column)) == [
        Difference("modify_type", "person", "age", migrated="INTEGER", models="BIGINT")
    ]


def test_a_type_is_named_as_postgres_spells_it(compare: Compare) -> None:
    column: Any = sa.Column("name", postgresql.ARRAY(sa.String(5)))
    assert compare(person(name=column)) == [
        Difference("modify_type", "person", "name", migrated="TEXT", models="VARCHAR(5)[]")
    ]


def test_another_nullability_is_found(compare: Compare) -> None:
    assert compare(person(name=sa.Column("name", sa.Text, nullable=False))) == [
        Difference("modify_nullable", "person", "name", migrated="nullable", models="not nullable")
    ]


def test_another_default_is_found(compare: Compare) -> None:
    column = sa.Column("age", sa.Integer, server_default="8")
    assert compare(person(age=column), compare_server_default=True) == [
        Difference("modify_default", "person", "age", migrated="7", models="8")
    ]


def test_a_default_that_the_models_do_not_have_is_found(compare: Compare) -> None:
    assert compare(person(age=sa.Column("age", sa.Integer)), compare_server_default=True) == [
        Difference("modify_default", "person", "age", migrated="7", models="none")
    ]


def test_a_default_that_is_not_migrated_is_found(compare: Compare) -> None:
    column = sa.Column("name", sa.Text, server_default=sa.text("'nobody'"))
    assert compare(person(name=column), compare_server_default=True) == [
        Difference("modify_default", "person", "name", migrated="none", models="'nobody'")
    ]


@pytest.mark.parametrize(
    ("default", "said"),
    [
        (sa.func.length("X"), "length('X')"),
        (sa.cast(8, sa.BigInteger), "CAST(8 AS BIGINT)"),
        (sa.Identity(always=True), "Identity(always=True)"),
    ],
)
def test_a_default_is_reported_with_its_values(compare: Compare, default: Any, said: str) -> None:
    column = sa.Column("city_id", sa.Integer, server_default=default, nullable=True)
    found = compare(person(city_id=column), compare_server_default=True)
    assert [it.models for it in found if it.kind == "modify_default"] == [said]


def test_several_changes_of_one_column_are_several_differences(compare: Compare) -> None:
    column = sa.Column("name", sa.Integer, nullable=False, comment="which")
    assert compare(person(name=column)) == [
        Difference("modify_comment", "person", "name", migrated="none", models="'which'"),
        Difference("modify_nullable", "person", "name", migrated="nullable", models="not nullable"),
        Difference("modify_type", "person", "name", migrated="TEXT", models="INTEGER"),
    ]


def test_a_missing_table_comment_is_found(compare: Compare) -> None:
    assert compare(models(comment="people")) == [
        Difference("add_table_comment", "person", migrated="none", models="'people'")
    ]


def test_a_table_comment_too_many_is_found(compare: Compare, connection: sa.Connection) -> None:
    connection.exec_driver_sql("comment on table person is 'people'")
    assert compare(models()) == [
        Difference("remove_table_comment", "person", migrated="'people'", models="none")
    ]


def test_a_changed_table_comment_is_found(compare: Compare, connection: sa.Connection) -> None:
    connection.exec_driver_sql("comment on table person is 'people'")
    assert compare(models(comment="persons")) == [
        Difference("add_table_comment", "person", migrated="'people'", models="'persons'")
    ]


def test_differences_are_sorted_by_their_table(compare: Compare) -> None:
    metadata = models(sa.Column("key", sa.Text))
    for name in ("zoo", "city"):
        sa.Table(name, metadata, sa.Column("id", sa.Integer, primary_key=True))
    assert [difference.table for difference in compare(metadata)] == ["city", "person", "zoo"]


def test_several_sets_of_models_are_compared_together(compare: Compare) -> None:
    more = sa.MetaData()
    sa.Table("city", more, sa.Column("id", sa.Integer, primary_key=True))
    assert compare([models(), more]) == [Difference("add_table", "city")]


def test_what_env_excludes_is_no_difference(compare: Compare) -> None:
    def include(item: Any, name: str, kind: str, *_: Any) -> bool:
        return not (kind == "column" and name == "key")

    assert compare(models(sa.Column("key", sa.Text)), include_object=include) == []


def test_hooks_find_that_autogenerate_was_asked_for(
    compare: Compare, script: tuple[Config, ScriptDirectory]
) -> None:
    config, asked = script[0], []
    config.cmd_opts = None

    def process(context: Any, revision: Any, directives: list[Any]) -> None:
        asked.append(config.cmd_opts and config.cmd_opts.autogenerate)

    compare(models(), process_revision_directives=process)
    assert asked == [True]
    assert config.cmd_opts is None


def test_directives_that_env_empties_are_no_difference(compare: Compare) -> None:
    def process(context: Any, revision: Any, directives: list[Any]) -> None:
        directives[:] = []

    metadata = models(sa.Column("key", sa.Text))
    assert compare(metadata, process_revision_directives=process) == []


class GrantOp(ops.MigrateOperation):
    """An operation that Alembic knows nothing of, as other packages have them."""

    def __str__(self) -> str:
        return "grant select to public"

    def to_diff_tuple(self) -> Any:
        raise NotImplementedError


def test_an_unknown_kind_of_difference_is_reported_as_it_is(compare: Compare) -> None:
    def process(context: Any, revision: Any, directives: list[Any]) -> None:
        directives[0].upgrade_ops.ops.append(GrantOp())

    assert compare(models(), process_revision_directives=process) == [
        Difference("GrantOp", models="grant select to public")
    ]


class CreateView(ops.MigrateOperation):
    """An operation that has no words for itself."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.is_new = True
        self.made_by = object()

    def to_diff_tuple(self) -> Any:
        return ("add_view", self)


def test_an_operation_without_text_is_reported_by_its_attributes(compare: Compare) -> None:
    def process(context: Any, revision: Any, directives: list[Any]) -> None:
        directives[0].upgrade_ops.ops.append(CreateView("cheap_items"))

    assert compare(models(), process_revision_directives=process) == [
        Difference("add_view", models="CreateView(is_new=True, name='cheap_items')")
    ]


class ReplaceOp(ops.MigrateOperation):
    """An operation that says what it is about to `to_diff_tuple` alone, as alembic-utils has it."""

    def __init__(self) -> None:
        self.target = object()
        self.old_values = ["a", "b"]
        self.empty: list[str] = []

    def to_diff_tuple(self) -> Any:
        return ("replace", "PGView: public.big", "create or replace view ...")


def test_an_operation_is_reported_with_its_subject_and_its_lists(compare: Compare) -> None:
    def process(context: Any, revision: Any, directives: list[Any]) -> None:
        directives[0].upgrade_ops.ops.append(ReplaceOp())

    assert compare(models(), process_revision_directives=process) == [
        Difference("replace", models="ReplaceOp('PGView: public.big', old_values=['a', 'b'])")
    ]


def test_models_that_env_does_not_give_are_the_reason_to_compare_nothing(
    connection: sa.Connection, script: tuple[Config, ScriptDirectory]
) -> None:
    context = MigrationContext.configure(connection, opts={"target_metadata": None})
    assert comparison.why_not(script[1], context) == "env.py gives Alembic no target_metadata"


def test_an_older_target_is_the_reason_to_compare_nothing(
    connection: sa.Connection, script: tuple[Config, ScriptDirectory], tmp_path: Path
) -> None:
    (tmp_path / "versions/0001_change.py").write_text("revision = '0001'\ndown_revision = None\n")
    context = MigrationContext.configure(connection, opts={"target_metadata": models()})
    assert comparison.why_not(ScriptDirectory.from_config(script[0]), context) == (
        "the target is not the newest revision, which the models are for"
    )


def test_models_at_head_are_compared(
    connection: sa.Connection, script: tuple[Config, ScriptDirectory]
) -> None:
    context = MigrationContext.configure(connection, opts={"target_metadata": models()})
    assert comparison.why_not(script[1], context) == ""
