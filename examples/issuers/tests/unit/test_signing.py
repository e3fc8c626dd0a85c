"""Keys and signatures: no database."""

from __future__ import annotations

import secrets

import pytest

from issuers import signing

# RFC 8032, section 7.1, tests 1 and 2: private key, public key, message, signature.
RFC_VECTORS = [
    (
        "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
        "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
        "",
        "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e06522490155"
        "5fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b",
    ),
    (
        "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
        "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
        "72",
        "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da"
        "085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00",
    ),
]


@pytest.mark.parametrize(("private_key", "public_key", "message", "signature"), RFC_VECTORS)
def test_agrees_with_the_rfc(
    private_key: str, public_key: str, message: str, signature: str
) -> None:
    assert signing.public_key_of(private_key) == public_key
    assert signing.sign(private_key, bytes.fromhex(message)) == signature
    assert signing.verify(public_key, bytes.fromhex(message), signature)


def test_another_message_or_another_key_does_not_verify() -> None:
    keys, others = signing.generate_key_pair(), signing.generate_key_pair()
    signature = signing.sign(keys.private_key, b"for ada")

    assert signing.verify(keys.public_key, b"for ada", signature)
    assert not signing.verify(keys.public_key, b"for bob", signature)
    assert not signing.verify(others.public_key, b"for ada", signature)


@pytest.mark.parametrize("public_key", ["", "pending-rotation", "00" * 31, "ff" * 32])
def test_what_is_no_key_verifies_nothing(public_key: str) -> None:
    signature = signing.sign(signing.generate_key_pair().private_key, b"for ada")

    assert not signing.verify(public_key, b"for ada", signature)


@pytest.mark.parametrize("signature", ["", "not hexadecimal", "00" * 63, "ff" * 64])
def test_what_is_no_signature_does_not_verify(signature: str) -> None:
    assert not signing.verify(signing.generate_key_pair().public_key, b"for ada", signature)


def test_the_fingerprint_names_the_key() -> None:
    first, second = signing.generate_key_pair(), signing.generate_key_pair()

    assert signing.fingerprint(first.public_key) == signing.fingerprint(first.public_key)
    assert signing.fingerprint(first.public_key) != signing.fingerprint(second.public_key)
    assert signing.fingerprint(first.public_key).startswith("SHA256:")


def test_keys_come_from_the_random_source(monkeypatch: pytest.MonkeyPatch) -> None:
    private_key, public_key, _, _ = RFC_VECTORS[0]
    original = secrets.token_bytes
    with monkeypatch.context() as patch:
        patch.setattr(secrets, "token_bytes", lambda size: bytes.fromhex(private_key)[:size])
        assert signing.generate_key_pair() == signing.KeyPair(private_key, public_key)

    assert secrets.token_bytes is original
    assert signing.generate_key_pair() != signing.generate_key_pair()
