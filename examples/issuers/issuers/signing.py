"""Ed25519 signatures (RFC 8032) with the standard library alone.

Short enough to read, and right by the RFC's own vectors, but not written for speed nor
against timing attacks: a service in production uses `cryptography`.
"""

from __future__ import annotations

import base64
import hashlib
import secrets
from dataclasses import dataclass

_P = 2**255 - 19
_ORDER = 2**252 + 27742317777372353535851937790883648493
_D = -121665 * pow(121666, -1, _P) % _P
_SQRT_MINUS_1 = pow(2, (_P - 1) // 4, _P)

_Point = tuple[int, int, int, int]  # extended coordinates: X, Y, Z, T with XY = ZT


@dataclass(frozen=True)
class KeyPair:
    """Both halves in hexadecimal. Only the public one is ever stored by this service."""

    private_key: str
    public_key: str


def generate_key_pair() -> KeyPair:
    private_key = secrets.token_bytes(32).hex()
    return KeyPair(private_key, public_key_of(private_key))


def public_key_of(private_key: str) -> str:
    scalar, _ = _expand(bytes.fromhex(private_key))
    return _encode(_multiply(scalar, _BASE)).hex()


def fingerprint(public_key: str) -> str:
    """A short name for a key, as `ssh-keygen -l` writes it."""
    digest = hashlib.sha256(public_key.encode()).digest()
    return "SHA256:" + base64.b64encode(digest).decode().rstrip("=")


def sign(private_key: str, message: bytes) -> str:
    scalar, prefix = _expand(bytes.fromhex(private_key))
    public_key = _encode(_multiply(scalar, _BASE))
    nonce = _hash_to_scalar(prefix + message)
    commitment = _encode(_multiply(nonce, _BASE))
    challenge = _hash_to_scalar(commitment + public_key + message)
    response = (nonce + challenge * scalar) % _ORDER
    return (commitment + response.to_bytes(32, "little")).hex()


def verify(public_key: str, message: bytes, signature: str) -> bool:
    """Whether the signature is the key's own; False also for what is no key or no signature."""
    try:
        key, raw = bytes.fromhex(public_key), bytes.fromhex(signature)
        if len(raw) != 64:
            return False
        key_point, commitment = _decode(key), _decode(raw[:32])
    except ValueError:
        return False
    response = int.from_bytes(raw[32:], "little")
    if response >= _ORDER:
        return False
    challenge = _hash_to_scalar(raw[:32] + key + message)
    expected = _add(commitment, _multiply(challenge, key_point))
    return _encode(_multiply(response, _BASE)) == _encode(expected)


def _expand(private_key: bytes) -> tuple[int, bytes]:
    if len(private_key) != 32:
        raise ValueError("a private key has 32 bytes")
    digest = hashlib.sha512(private_key).digest()
    scalar = int.from_bytes(digest[:32], "little")
    return scalar & ((1 << 254) - 8) | (1 << 254), digest[32:]


def _hash_to_scalar(data: bytes) -> int:
    return int.from_bytes(hashlib.sha512(data).digest(), "little") % _ORDER


def _add(first: _Point, second: _Point) -> _Point:
    x1, y1, z1, t1 = first
    x2, y2, z2, t2 = second
    a = (y1 - x1) * (y2 - x2) % _P
    b = (y1 + x1) * (y2 + x2) % _P
    c = 2 * t1 * t2 * _D % _P
    d = 2 * z1 * z2 % _P
    e, f, g, h = b - a, d - c, d + c, b + a
    return e * f % _P, g * h % _P, f * g % _P, e * h % _P


def _multiply(scalar: int, point: _Point) -> _Point:
    result: _Point = (0, 1, 1, 0)
    while scalar:
        if scalar & 1:
            result = _add(result, point)
        point = _add(point, point)
        scalar >>= 1
    return result


def _encode(point: _Point) -> bytes:
    x, y, z, _ = point
    inverse = pow(z, -1, _P)
    x, y = x * inverse % _P, y * inverse % _P
    return (y | (x & 1) << 255).to_bytes(32, "little")


def _decode(data: bytes) -> _Point:
    if len(data) != 32:
        raise ValueError("a point has 32 bytes")
    number = int.from_bytes(data, "little")
    odd, y = number >> 255, number & ((1 << 255) - 1)
    if y >= _P:
        raise ValueError("not on the curve")
    square = (y * y - 1) * pow(_D * y * y + 1, -1, _P) % _P
    x = pow(square, (_P + 3) // 8, _P)
    if (x * x - square) % _P:
        x = x * _SQRT_MINUS_1 % _P
    if (x * x - square) % _P or (x == 0 and odd):
        raise ValueError("not on the curve")
    if x & 1 != odd:
        x = _P - x
    return x, y, 1, x * y % _P


_BASE = _decode((4 * pow(5, -1, _P) % _P).to_bytes(32, "little"))
