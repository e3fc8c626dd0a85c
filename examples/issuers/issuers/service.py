"""What the identity provider does with its issuers.

Every function works in the transaction of the session it is given; the caller commits.
"""

from __future__ import annotations

import uuid
from datetime import datetime, timedelta, timezone

from sqlalchemy import select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from . import signing
from .models import IssuedToken, IssuerProfile, IssuerStatus
from .signing import KeyPair


class IssuerError(Exception):
    """A request that this service refuses."""


class IssuerExists(IssuerError):
    pass


class UnknownIssuer(IssuerError):
    pass


class IssuerSuspended(IssuerError):
    pass


class WrongKey(IssuerError):
    pass


def create_issuer(session: Session, name: str) -> tuple[IssuerProfile, KeyPair]:
    """A new active issuer, and the key pair whose private half its owner takes away."""
    keys = signing.generate_key_pair()
    issuer = IssuerProfile(name=name, signing_public_key=keys.public_key)
    try:
        with session.begin_nested():
            session.add(issuer)
    except IntegrityError as error:
        if _violated(error) == "uq_issuer_profiles_name":
            raise IssuerExists(name) from error
        raise
    return issuer, keys


def rotate_key(session: Session, name: str) -> KeyPair:
    """Give the issuer a new key; what it signed with the old one no longer verifies."""
    issuer = _find(session, name, for_update=True)
    keys = signing.generate_key_pair()
    issuer.signing_public_key = keys.public_key
    session.flush()
    return keys


def suspend(session: Session, name: str) -> IssuerProfile:
    issuer = _find(session, name, for_update=True)
    issuer.status = IssuerStatus.SUSPENDED
    session.flush()
    return issuer


def issue_token(
    session: Session,
    name: str,
    subject: str,
    private_key: str,
    lifetime: timedelta = timedelta(hours=1),
) -> IssuedToken:
    """Sign a token for the subject and keep a record of it."""
    # A shared lock: many may issue at once, but not while the issuer is being changed.
    issuer = _find(session, name, for_update=False)
    if issuer.status is not IssuerStatus.ACTIVE:
        raise IssuerSuspended(name)
    if signing.public_key_of(private_key) != issuer.signing_public_key:
        raise WrongKey(name)
    token_id = uuid.uuid4()
    issued_at = datetime.now(timezone.utc).replace(microsecond=0)
    expires_at = issued_at + lifetime
    token = IssuedToken(
        id=token_id,
        issuer=issuer,
        subject=subject,
        issued_at=issued_at,
        expires_at=expires_at,
        signature=signing.sign(private_key, signed_text(name, token_id, subject, expires_at)),
    )
    session.add(token)
    session.flush()
    return token


def verifies(token: IssuedToken) -> bool:
    """Whether the token was signed with the key that its issuer has now."""
    text = signed_text(token.issuer.name, token.id, token.subject, token.expires_at)
    return signing.verify(token.issuer.signing_public_key, text, token.signature)


def signed_text(issuer: str, token_id: uuid.UUID, subject: str, expires_at: datetime) -> bytes:
    return f"{issuer}\n{token_id}\n{int(expires_at.timestamp())}\n{subject}".encode()


def _find(session: Session, name: str, *, for_update: bool) -> IssuerProfile:
    issuer = session.scalar(
        select(IssuerProfile)
        .where(IssuerProfile.name == name)
        .with_for_update(read=not for_update)
        .execution_options(populate_existing=True)
    )
    if issuer is None:
        raise UnknownIssuer(name)
    return issuer


def _violated(error: IntegrityError) -> str | None:
    diagnostics = getattr(error.orig, "diag", None)
    return getattr(diagnostics, "constraint_name", None)
