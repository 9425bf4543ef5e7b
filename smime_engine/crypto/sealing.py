"""Seal a secret under a key, bound to what it belongs to: AES-256-GCM with a random nonce.

Does: seal and open octets. Does not: keep keys or say whose secret it is: the caller gives that as associated data.
A random nonce of 96 bits is safe for 2^32 secrets under one key (NIST SP 800-38D section 8.3), more than a store has.

Standards: NIST SP 800-38D (GCM), FIPS 198-1 (the key's identifier).
"""

from __future__ import annotations

import hmac
from secrets import token_bytes

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from smime_engine.errors import InvalidKey

__all__ = ["KEY_SIZE", "NONCE_SIZE", "TAG_SIZE", "key_identifier", "open_secret", "seal_secret"]

KEY_SIZE = 32
"""Octets of a sealing key."""

NONCE_SIZE = 12
TAG_SIZE = 16


def seal_secret(key: bytes, secret: bytes, associated: bytes) -> bytes:
    """Seal -> nonce, ciphertext and tag in one."""
    nonce = token_bytes(NONCE_SIZE)
    return nonce + AESGCM(key).encrypt(nonce, secret, associated)


def open_secret(key: bytes, sealed: bytes, associated: bytes) -> bytes:
    """Undo `seal_secret`. Raises InvalidKey: another key, other associated data, or damage; which one is not said."""
    try:
        return AESGCM(key).decrypt(sealed[:NONCE_SIZE], sealed[NONCE_SIZE:], associated)
    except (InvalidTag, ValueError) as error:
        raise InvalidKey("a sealed key does not open: it was sealed for somebody else, or is damaged") from error


def key_identifier(key: bytes) -> str:
    """A name for a sealing key that says nothing about it: 16 hexadecimal digits."""
    return hmac.digest(key, b"smime-engine: identifier of a sealing key", "sha256")[:8].hex()
