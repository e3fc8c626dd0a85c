"""The examples run unchanged, and the missing column of their story is found."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.plugin.examples import Example, Outcome

pytestmark = pytest.mark.usefixtures("clean_environment")
VERSIONS = "migrations/versions"
MISSING = "the models have column issuer_profiles.signing_public_key; no migration adds it"


@pytest.fixture
def issuers(tmp_path: Path) -> Example:
    return Example.copy("issuers", tmp_path)


def stopped(outcome: Outcome) -> list[str]:
    """Return why there was no database, for a run in which all the unit tests passed."""
    assert outcome.status == pytest.ExitCode.TESTS_FAILED
    assert re.fullmatch(r"\d+ passed, \d+ errors", outcome.summary)
    assert all("F" not in rest and "E" not in rest for rest in outcome.progress("tests/unit/"))
    return outcome.explanation()


@pytest.mark.parametrize(
    ("name", "server"),
    [
        ("issuers", "embedded"),
        ("async_orders", "url"),
        pytest.param("issuers", "url", marks=pytest.mark.matrix),
        pytest.param("async_orders", "embedded", marks=pytest.mark.matrix),
    ],
)
def test_an_example_runs_unchanged(
    tmp_path: Path, server_url: Callable[[], str], name: str, server: str
) -> None:
    wanted = server_url() if server == "url" else server

    outcome = Example.copy(name, tmp_path).run(f"--db-server={wanted}")

    assert outcome.status == pytest.ExitCode.OK
    assert re.fullmatch(r"\d+ passed", outcome.summary)
    assert f"({server}" in outcome.told()[1]
    assert outcome.told()[2].endswith("; the schema matches the models")


def test_a_column_that_no_migration_adds_is_named(
    issuers: Example, server_url: Callable[[], str]
) -> None:
    column = 'sa.Column("signing_public_key", sa.Text(), nullable=True)'
    issuers.edit(
        f"{VERSIONS}/0003_signing_public_key.py",
        f'op.add_column("issuer_profiles", {column})',
        "pass",
    )
    file = issuers.path / VERSIONS / "0004_backfill_signing_keys.py"
    text = file.read_text(encoding="utf-8")
    begin, end = text.index("    op.execute("), text.index("def downgrade")
    file.write_text(f"{text[:begin]}    pass\n\n\n{text[end:]}", encoding="utf-8")

    assert stopped(issuers.run(f"--db-server={server_url()}"))[0] == MISSING


def test_deleting_the_migrations_of_a_column_names_the_column(
    issuers: Example, server_url: Callable[[], str]
) -> None:
    """As the example's own README tells to try."""
    (issuers.path / VERSIONS / "0003_signing_public_key.py").unlink()
    (issuers.path / VERSIONS / "0004_backfill_signing_keys.py").unlink()
    issuers.edit(
        f"{VERSIONS}/0005_touch_updated_at.py",
        '= "0004_backfill_signing_keys"',
        '= "0002_issued_tokens"',
    )

    assert stopped(issuers.run(f"--db-server={server_url()}")) == [
        MISSING,
        (
            "  to do: if the models are right: "
            'alembic revision --autogenerate -m "...", and read what it wrote'
        ),
        "         if the migrations are right: change the models",
        "         to continue for now: --db-check=warn, or dbmigrate_check = warn",
    ]


def test_a_later_migration_that_needs_the_missing_column_is_named(
    issuers: Example, server_url: Callable[[], str]
) -> None:
    (issuers.path / VERSIONS / "0003_signing_public_key.py").unlink()
    issuers.edit(
        f"{VERSIONS}/0004_backfill_signing_keys.py",
        'down_revision: str | None = "0003_signing_public_key"',
        'down_revision: str | None = "0002_issued_tokens"',
    )

    said = stopped(issuers.run(f"--db-server={server_url()}"))

    assert said[0] == "revision 0004_backfill_signing_keys failed"
    assert said[1].startswith("  file: migrations/versions/0004_backfill_signing_keys.py:")
    assert "  server: column issuer_profiles.signing_public_key does not exist" in said


def test_a_gap_in_the_chain_is_named(issuers: Example, server_url: Callable[[], str]) -> None:
    (issuers.path / VERSIONS / "0003_signing_public_key.py").unlink()

    assert stopped(issuers.run(f"--db-server={server_url()}"))[0] == (
        "no script has revision 0003_signing_public_key, which another revision follows"
    )
