"""What is signed, and when a token verifies: objects in memory, no database."""

from __future__ import annotations

import uuid
from datetime import datetime, timedelta, timezone

import pytest

from issuers import service, signing
from issuers.models import IssuedToken, IssuerProfile

NOON = datetime(2025, 3, 1, 12, 0, tzinfo=timezone.utc)


def make_token(signature: str) -> IssuedToken:
    return IssuedToken(
        id=uuid.UUID(int=7),
        issuer=IssuerProfile(name="acme", signing_public_key="the key"),
        subject="ada",
        issued_at=NOON,
        expires_at=NOON + timedelta(hours=1),
        signature=signature,
    )


def test_the_signed_text_does_not_depend_on_the_time_zone() -> None:
    elsewhere = NOON.astimezone(timezone(timedelta(hours=5, minutes=30)))

    assert service.signed_text("acme", uuid.UUID(int=7), "ada", NOON) == service.signed_text(
        "acme", uuid.UUID(int=7), "ada", elsewhere
    )


def test_a_token_is_checked_with_its_issuers_key(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, bytes, str]] = []

    def fake_verify(public_key: str, message: bytes, signature: str) -> bool:
        asked.append((public_key, message, signature))
        return signature == "good"

    monkeypatch.setattr(signing, "verify", fake_verify)

    assert service.verifies(make_token("good"))
    assert not service.verifies(make_token("bad"))
    assert asked[0] == (
        "the key",
        b"acme\n00000000-0000-0000-0000-000000000007\n1740834000\nada",
        "good",
    )
