"""`python -m issuers`: list the issuers of the database that ISSUERS_DSN names."""

from __future__ import annotations

import os
import sys

import psycopg
from sqlalchemy import create_engine, select
from sqlalchemy.orm import Session

from . import signing
from .models import IssuerProfile


def main() -> int:
    dsn = os.environ.get("ISSUERS_DSN")
    if dsn is None:
        print("ISSUERS_DSN is not set", file=sys.stderr)
        return 2
    engine = create_engine("postgresql+psycopg://", creator=lambda: psycopg.connect(dsn))
    with Session(engine) as session:
        for issuer in session.scalars(select(IssuerProfile).order_by(IssuerProfile.name)):
            key = signing.fingerprint(issuer.signing_public_key)
            print(f"{issuer.name}\t{issuer.status.value}\t{key}")
    engine.dispose()
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
