"""The command as its users run it: another process, which finds its database by itself."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from pytest_dbmigrate import MigratedDatabase

from issuers import signing

ROOT = Path(__file__).resolve().parents[2]


def run(**environ: str) -> subprocess.CompletedProcess[str]:
    """`python -m issuers` with these variables."""
    others = {name: value for name, value in os.environ.items() if name != "ISSUERS_DSN"}
    return subprocess.run(
        [sys.executable, "-m", "issuers"],
        cwd=ROOT,
        env={**others, **environ},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_it_lists_the_issuers(migrated_db: MigratedDatabase) -> None:
    with migrated_db.connect(autocommit=True) as connection:
        connection.execute(
            "INSERT INTO issuer_profiles (name, signing_public_key) VALUES ('acme', 'a key')"
        )

    lines = run(ISSUERS_DSN=migrated_db.dsn).stdout.splitlines()

    assert [line.split("\t")[:2] for line in lines] == [
        ["acme", "active"],
        ["legacy-sso", "suspended"],
        ["platform", "active"],
    ]
    assert lines[0].split("\t")[2] == signing.fingerprint("a key")


def test_it_says_that_it_was_given_no_database() -> None:
    done = run()

    assert (done.returncode, done.stderr) == (2, "ISSUERS_DSN is not set\n")
