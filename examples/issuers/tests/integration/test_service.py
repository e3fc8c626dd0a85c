"""The service, committing in a database that the migrations made."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from sqlalchemy import func, select
from sqlalchemy.orm import Session, sessionmaker

from issuers import service
from issuers.models import IssuedToken, IssuerProfile, IssuerStatus

Sessions = sessionmaker[Session]


def find(session: Session, name: str) -> IssuerProfile:
    return session.scalars(select(IssuerProfile).where(IssuerProfile.name == name)).one()


def only_token(session: Session) -> IssuedToken:
    return session.scalars(select(IssuedToken)).one()


def test_the_migrations_bring_two_issuers_and_their_keys(sessions: Sessions) -> None:
    with sessions() as session:
        issuers = session.scalars(select(IssuerProfile).order_by(IssuerProfile.id)).all()

    assert [(issuer.name, issuer.status) for issuer in issuers] == [
        ("platform", IssuerStatus.ACTIVE),
        ("legacy-sso", IssuerStatus.SUSPENDED),
    ]
    assert all(len(issuer.signing_public_key) == 64 for issuer in issuers)


# The next two commit an issuer of the same unique name: one database for both would let
# only the first of them pass.


def test_a_new_issuer_is_active_and_has_its_key(sessions: Sessions) -> None:
    with sessions.begin() as session:
        _, keys = service.create_issuer(session, "acme")

    with sessions() as session:
        issuer = find(session, "acme")
        assert issuer.status is IssuerStatus.ACTIVE
        assert issuer.signing_public_key == keys.public_key
        assert issuer.created_at == issuer.updated_at


def test_a_name_is_taken_once(sessions: Sessions) -> None:
    with sessions.begin() as session:
        service.create_issuer(session, "acme")

    with sessions.begin() as session:
        with pytest.raises(service.IssuerExists):
            service.create_issuer(session, "acme")
        service.create_issuer(session, "umbrella")  # the session goes on

    with sessions() as session:
        names = session.scalars(select(IssuerProfile.name)).all()
    assert sorted(names) == ["acme", "legacy-sso", "platform", "umbrella"]


def test_a_token_verifies_until_the_key_is_rotated(sessions: Sessions) -> None:
    with sessions.begin() as session:
        _, keys = service.create_issuer(session, "acme")
        service.issue_token(session, "acme", "ada", keys.private_key)

    with sessions() as session:
        assert service.verifies(only_token(session))

    with sessions.begin() as session:
        service.rotate_key(session, "acme")

    with sessions.begin() as session:
        assert not service.verifies(only_token(session))
        with pytest.raises(service.WrongKey):
            service.issue_token(session, "acme", "ada", keys.private_key)


def test_a_suspended_issuer_issues_nothing(sessions: Sessions) -> None:
    with sessions.begin() as session:
        _, keys = service.create_issuer(session, "acme")
        service.suspend(session, "acme")

    with sessions() as session, pytest.raises(service.IssuerSuspended):
        service.issue_token(session, "acme", "ada", keys.private_key)


def test_an_unknown_issuer_is_said_to_be_unknown(sessions: Sessions) -> None:
    with sessions() as session, pytest.raises(service.UnknownIssuer):
        service.rotate_key(session, "nobody")


def test_a_change_moves_updated_at(sessions: Sessions) -> None:
    with sessions.begin() as session:
        service.create_issuer(session, "acme")

    with sessions.begin() as session:
        issuer = service.suspend(session, "acme")
        assert issuer.updated_at > issuer.created_at  # the trigger's, within the transaction

    with sessions() as session:
        issuer = find(session, "acme")
        assert issuer.updated_at > issuer.created_at


def test_tokens_go_with_their_issuer(sessions: Sessions) -> None:
    with sessions.begin() as session:
        _, keys = service.create_issuer(session, "acme")
        for subject in ("ada", "bob"):
            service.issue_token(session, "acme", subject, keys.private_key)

    with sessions.begin() as session:
        session.delete(find(session, "acme"))

    with sessions() as session:
        assert session.scalar(select(func.count()).select_from(IssuedToken)) == 0


def test_threads_that_want_the_same_name(sessions: Sessions) -> None:
    ready = threading.Barrier(3)

    def register(_: int) -> bool:
        with sessions.begin() as session:
            ready.wait(timeout=30)
            try:
                service.create_issuer(session, "acme")
            except service.IssuerExists:
                return False
            return True

    with ThreadPoolExecutor(3) as pool:
        assert sorted(pool.map(register, range(3))) == [False, False, True]


def test_threads_that_issue_at_once(sessions: Sessions) -> None:
    with sessions.begin() as session:
        _, keys = service.create_issuer(session, "acme")

    def issue(number: int) -> None:
        with sessions.begin() as session:
            service.issue_token(
                session, "acme", f"user-{number}", keys.private_key, timedelta(minutes=5)
            )

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(issue, range(12)))

    with sessions() as session:
        tokens = find(session, "acme").tokens
        assert sorted(token.subject for token in tokens) == sorted(
            f"user-{number}" for number in range(12)
        )
        assert all(service.verifies(token) for token in tokens)
