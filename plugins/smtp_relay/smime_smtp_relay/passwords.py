"""Passwords of the gateway's users: stored as scrypt hashes, never plain.

Does: make and check `scrypt$N$r$p$salt$hash` (RFC 7914; salt and hash in base64), in constant time, and remember
recent successes so that a client which logs in for every message does not cost a quarter of a second each time. Does
not: limit attempts (the session does) or know users.
"""

from __future__ import annotations

import binascii
import hashlib
import hmac
import secrets
from base64 import b64decode, b64encode

__all__ = ["NOBODY", "PasswordCheck", "hash_password", "is_password_hash"]

# OWASP's recommendation for interactive logins: 32 MiB and about 0.2 s.
_N, _R, _P = 2**15, 8, 3
_MEMORY = 256 * 1024 * 1024
_REMEMBERED = 1_000

NOBODY = f"scrypt${_N}${_R}${_P}${b64encode(bytes(16)).decode()}${b64encode(bytes(32)).decode()}"
"""A hash that no password has: checking against it makes unknown users cost the same time as known ones."""


def hash_password(password: str, *, salt: bytes | None = None) -> str:
    """The text that stands in the configuration for a password."""
    salt = secrets.token_bytes(16) if salt is None else salt
    digest = hashlib.scrypt(password.encode(), salt=salt, n=_N, r=_R, p=_P, maxmem=_MEMORY, dklen=32)
    return f"scrypt${_N}${_R}${_P}${b64encode(salt).decode()}${b64encode(digest).decode()}"


def is_password_hash(text: str) -> bool:
    """Whether `text` is a hash that `PasswordCheck` can check."""
    return _fields(text) is not None


class PasswordCheck:
    """Checks passwords against hashes. `check` blocks for about 0.2 s: call it in a thread."""

    def __init__(self) -> None:
        # Only a keyed digest with a key of this process is kept, so that memory holds no password.
        self._key = secrets.token_bytes(32)
        self._remembered: dict[bytes, None] = {}

    def remembers(self, password: bytes, stored: str) -> bool:
        """Whether this password was found right for this hash before: an answer without work, True or unknown."""
        return self._digest(password, stored) in self._remembered

    def check(self, password: bytes, stored: str) -> bool:
        """Whether `password` is the one that `stored` was made from."""
        fields = _fields(stored)
        if fields is None:
            return False
        n, r, p, salt, expected = fields
        actual = hashlib.scrypt(password, salt=salt, n=n, r=r, p=p, maxmem=_MEMORY, dklen=len(expected))
        if not hmac.compare_digest(actual, expected):
            return False
        if len(self._remembered) >= _REMEMBERED:
            self._remembered.clear()
        self._remembered[self._digest(password, stored)] = None
        return True

    def _digest(self, password: bytes, stored: str) -> bytes:
        return hmac.digest(self._key, stored.encode() + b"\0" + password, "sha256")


def _fields(text: str) -> tuple[int, int, int, bytes, bytes] | None:
    parts = text.split("$")
    if len(parts) != 6 or parts[0] != "scrypt" or not all(part.isdecimal() and len(part) < 9 for part in parts[1:4]):
        return None
    n, r, p = (int(part) for part in parts[1:4])
    try:
        salt, expected = b64decode(parts[4], validate=True), b64decode(parts[5], validate=True)
    except (binascii.Error, ValueError):
        return None
    # OpenSSL wants a power of two above 1; the rest bounds memory and time of one check.
    fits = n > 1 and n & (n - 1) == 0 and r > 0 and p > 0 and 128 * n * r < _MEMORY and n * r * p <= 2**24
    return (n, r, p, salt, expected) if fits and salt and len(expected) >= 16 else None
