"""What the database itself refuses, and what others see of it: plain connections."""

from __future__ import annotations

import psycopg
import pytest
from pytest_dbmigrate import MigratedDatabase

INSERT_ISSUER = "INSERT INTO issuer_profiles (name, signing_public_key) VALUES (%s, 'a key')"


@pytest.mark.parametrize("name", ["Acme", "9lives", "two words", ""])
def test_a_name_must_be_a_slug(migrated_db: MigratedDatabase, name: str) -> None:
    connection = migrated_db.connect()

    with pytest.raises(psycopg.errors.CheckViolation) as refusal:
        connection.execute(INSERT_ISSUER, [name])
    assert refusal.value.diag.constraint_name == "ck_issuer_profiles_name_is_a_slug"


def test_a_status_must_be_known(migrated_db: MigratedDatabase) -> None:
    connection = migrated_db.connect()

    with pytest.raises(psycopg.errors.InvalidTextRepresentation, match="issuer_status"):
        connection.execute("UPDATE issuer_profiles SET status = 'dormant'")


def test_an_issuer_must_have_a_key(migrated_db: MigratedDatabase) -> None:
    connection = migrated_db.connect()

    with pytest.raises(psycopg.errors.NotNullViolation, match="signing_public_key"):
        connection.execute("INSERT INTO issuer_profiles (name) VALUES ('acme')")


def test_a_token_must_expire_after_its_issue(migrated_db: MigratedDatabase) -> None:
    connection = migrated_db.connect()

    with pytest.raises(psycopg.errors.CheckViolation, match="expires_after_issue"):
        connection.execute(
            "INSERT INTO issued_tokens (id, issuer_id, subject, expires_at, signature)"
            " SELECT gen_random_uuid(), id, 'ada', now() - interval '1 hour', ''"
            " FROM issuer_profiles WHERE name = 'platform'"
        )


def test_a_token_must_have_an_issuer(migrated_db: MigratedDatabase) -> None:
    connection = migrated_db.connect()

    with pytest.raises(psycopg.errors.ForeignKeyViolation):
        connection.execute(
            "INSERT INTO issued_tokens (id, issuer_id, subject, expires_at, signature)"
            " VALUES (gen_random_uuid(), -1, 'ada', now() + interval '1 hour', '')"
        )


def test_others_see_what_is_committed(migrated_db: MigratedDatabase) -> None:
    writer, reader = migrated_db.connect(), migrated_db.connect(autocommit=True)
    count = "SELECT count(*) FROM issuer_profiles WHERE name = 'acme'"

    writer.execute(INSERT_ISSUER, ["acme"])
    assert reader.execute(count).fetchone() == (0,)
    writer.commit()
    assert reader.execute(count).fetchone() == (1,)


def test_a_row_being_changed_makes_others_wait(migrated_db: MigratedDatabase) -> None:
    first, second = migrated_db.connect(), migrated_db.connect()
    lock = "SELECT id FROM issuer_profiles WHERE name = 'platform' FOR UPDATE"

    first.execute(lock)
    second.execute("SET lock_timeout = '100ms'")
    with pytest.raises(psycopg.errors.LockNotAvailable):
        second.execute(lock)
