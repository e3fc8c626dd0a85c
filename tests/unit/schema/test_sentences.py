"""Differences as sentences, in the user's direction."""

from __future__ import annotations

import json

import pytest

from pytest_dbmigrate.schema.difference import Difference
from pytest_dbmigrate.schema.sentences import drift, sentence

TODO = [
    (
        '  to do: if the models are right: alembic revision --autogenerate -m "...", '
        "and read what it wrote"
    ),
    "         if the migrations are right: change the models",
    "         to continue for now: --db-check=warn, or dbmigrate_check = warn",
]
COLUMN = Difference("add_column", "issuer_profiles", "signing_public_key")
SENTENCES = [
    (COLUMN, "the models have column issuer_profiles.signing_public_key; no migration adds it"),
    (
        Difference("remove_column", "crm.person", "age"),
        "the migrations leave column crm.person.age; the models do not have it",
    ),
    (
        Difference("add_table", "crm.person"),
        "the models have table crm.person; no migration adds it",
    ),
    (
        Difference("remove_table", "person"),
        "the migrations leave table person; the models do not have it",
    ),
    (
        Difference("add_index", "person", "ix_person_name", ("name", "age")),
        "the models have index ix_person_name on person (name, age); no migration adds it",
    ),
    (
        Difference("remove_index", "person", "ix_person_name", ("name",)),
        "the migrations leave index ix_person_name on person (name); the models do not have it",
    ),
    (
        Difference("add_constraint", "person", "uq_person", ("name",)),
        "the models have constraint uq_person on person (name); no migration adds it",
    ),
    (
        Difference("remove_constraint", "person", "uq_person", ("name",)),
        "the migrations leave constraint uq_person on person (name); the models do not have it",
    ),
    (
        Difference("add_fk", "person", "", ("city_id",)),
        "the models have foreign key without a name on person (city_id); no migration adds it",
    ),
    (
        Difference("remove_fk", "person", "fk_city", ("city_id",)),
        "the migrations leave foreign key fk_city on person (city_id); the models do not have it",
    ),
    (
        Difference("modify_type", "person", "age", migrated="INTEGER", models="BIGINT"),
        "column person.age has type INTEGER after the migrations, and BIGINT in the models",
    ),
    (
        Difference("modify_default", "person", "age", migrated="none", models="0"),
        "column person.age has default none after the migrations, and 0 in the models",
    ),
    (
        Difference("modify_comment", "person", "age", migrated="none", models="'in years'"),
        "column person.age has comment none after the migrations, and 'in years' in the models",
    ),
    (
        Difference("modify_nullable", "person", "age", migrated="nullable", models="not nullable"),
        "column person.age is nullable after the migrations, and not nullable in the models",
    ),
    (
        Difference("add_table_comment", "person", migrated="none", models="'people'"),
        "table person has comment none after the migrations, and 'people' in the models",
    ),
    (
        Difference("remove_table_comment", "person", migrated="'people'", models="none"),
        "table person has comment 'people' after the migrations, and none in the models",
    ),
    (
        Difference("GrantOp", "person", models="GrantOp(select)"),
        "GrantOp on person: GrantOp(select)",
    ),
    (Difference("GrantOp", name="everything"), "GrantOp everything"),
]


@pytest.mark.parametrize(("difference", "said"), SENTENCES, ids=lambda it: getattr(it, "kind", ""))
def test_a_difference_has_one_sentence(difference: Difference, said: str) -> None:
    assert sentence(difference) == said


def test_a_sentence_is_one_line() -> None:
    difference = Difference("AddView", "person", models="create view\n\tpeople  as\u2028select")
    assert sentence(difference) == "AddView on person: create view people as select"


def test_a_sentence_has_no_memory_addresses() -> None:
    difference = Difference(
        "AddView", models=f"{object()!r} {[object]!r} <bound f of {object()!r}> at 0x1F"
    )
    assert sentence(difference) == (
        "AddView <object object> [<class 'object'>] <bound f of <object object>> at 0x1F"
    )


@pytest.mark.parametrize("difference", [difference for difference, _ in SENTENCES])
def test_a_difference_survives_a_trip_through_json(difference: Difference) -> None:
    assert Difference.from_record(json.loads(json.dumps(difference.as_record()))) == difference


def test_a_single_difference_is_the_error() -> None:
    assert str(drift([COLUMN])).splitlines() == [
        "the models have column issuer_profiles.signing_public_key; no migration adds it",
        *TODO,
    ]


def test_several_differences_are_counted_and_listed() -> None:
    assert str(drift([COLUMN, Difference("remove_table", "person")])).splitlines() == [
        "the migrated schema and the models have 2 differences",
        "  - the models have column issuer_profiles.signing_public_key; no migration adds it",
        "  - the migrations leave table person; the models do not have it",
        *TODO,
    ]


ACCEPTING = (
    "         to continue for now: run once with --db-accept-drift, which writes tests/drift.txt"
)


def test_the_error_counts_what_the_baseline_accepts() -> None:
    assert str(drift([COLUMN], "tests/drift.txt", 1)).splitlines() == [
        "the models have column issuer_profiles.signing_public_key; no migration adds it",
        "  baseline: tests/drift.txt accepts 1 more difference",
        *TODO[:-1],
        ACCEPTING,
    ]


def test_a_baseline_that_accepts_nothing_more_is_named_in_the_advice() -> None:
    person = Difference("remove_table", "person")
    assert str(drift([COLUMN, person], "tests/drift.txt")).splitlines() == [
        "the migrated schema and the models have 2 differences that are not in the baseline",
        "  - the models have column issuer_profiles.signing_public_key; no migration adds it",
        "  - the migrations leave table person; the models do not have it",
        *TODO[:-1],
        ACCEPTING,
    ]
