"""What old mail needs and `cryptography` lacks or will drop: DES, Triple DES and RC2 in CBC, and their key wraps.

All of it is WEAK: read always, written only where a caller names it. A context has the two methods of `cryptography`'s
own, `update` and `finalize`, and like those it does not pad.

Standards: RFC 3370 section 5 (Triple DES, RC2), RFC 3217 sections 3 and 4 (key wraps), FIPS 46-3 (DES as Triple DES
with one key three times, and odd parity). RC2's own arithmetic is in `rc2.py`.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from hashlib import sha1
from hmac import compare_digest
from secrets import token_bytes
from typing import Any

from cryptography.hazmat.decrepit.ciphers.algorithms import TripleDES
from cryptography.hazmat.primitives.ciphers import Cipher, modes

from smime_engine.crypto import rc2
from smime_engine.errors import DecryptionFailed

__all__ = [
    "Rc2Context",
    "odd_parity",
    "rc2_unwrap",
    "rc2_wrap",
    "triple_des",
    "triple_des_unwrap",
    "triple_des_wrap",
]

Octets = bytes | bytearray | memoryview


def triple_des(key: bytes, iv: bytes) -> Cipher[Any]:
    """Triple DES in CBC with 24 octets of key, or DES with 8 octets (the same key three times)."""
    return Cipher(TripleDES(key * 3 if len(key) == 8 else key), modes.CBC(iv))


def odd_parity(key: bytes) -> bytes:
    """Set the lowest bit of each octet so that the octet has an odd number of ones: how DES keys are written."""
    return bytes(octet & 0xFE | (octet >> 1).bit_count() & 1 ^ 1 for octet in key)


class Rc2Context:
    """RC2 in CBC, fed piece by piece."""

    __slots__ = ("_chaining", "_rest", "_run", "_words")

    def __init__(self, key: bytes, effective_bits: int, iv: bytes, *, encrypts: bool) -> None:
        self._words = rc2.expand_key(key, effective_bits)
        self._run: Callable[[tuple[int, ...], bytes, bytes], bytes] = rc2.encrypt_cbc if encrypts else rc2.decrypt_cbc
        self._chaining = iv
        self._rest = b""

    def update(self, data: Octets) -> bytes:
        """Take the next octets, return the blocks that are complete."""
        joined = self._rest + data
        whole = len(joined) & ~7
        blocks, self._rest = joined[:whole], joined[whole:]
        if not blocks:
            return b""
        output = self._run(self._words, self._chaining, blocks)
        self._chaining = (output if self._run is rc2.encrypt_cbc else blocks)[-8:]
        return output

    def update_into(self, data: Octets, buffer: memoryview) -> int:
        """Like `update`, into the start of a buffer; returns the number of octets written."""
        output = self.update(data)
        buffer[: len(output)] = output
        return len(output)

    def finalize(self) -> bytes:
        """End. Raises ValueError where the data did not end with a block."""
        if self._rest:
            raise ValueError("not a whole number of RC2 blocks")
        return b""


# RFC 3217: two layers of CBC, the inner one with a random IV, with the octets reversed in between.
_WRAP_IV = bytes.fromhex("4adda22c79e82105")


def triple_des_wrap(key_encryption_key: bytes, secret: bytes) -> bytes:
    """Wrap a Triple DES key (24 octets) -> 40 octets (RFC 3217 section 3.1). Raises ValueError for another size."""
    if len(secret) != 24:
        raise ValueError("the Triple DES key wrap takes 24 octets")
    secret = odd_parity(secret)
    return _twice(_triple_des_pass, key_encryption_key, secret + _check(secret))


def triple_des_unwrap(key_encryption_key: bytes, wrapped: bytes) -> bytes:
    """Undo `triple_des_wrap`. Raises DecryptionFailed for whatever does not fit."""
    if len(wrapped) != 40:
        raise DecryptionFailed
    return _checked(_back(_triple_des_pass, key_encryption_key, wrapped))


def rc2_wrap(key_encryption_key: bytes, secret: bytes, effective_bits: int) -> bytes:
    """Wrap a key of at most 255 octets with RC2 (RFC 3217 section 4.1)."""
    padded = bytes((len(secret),)) + secret
    padded += token_bytes(-len(padded) % 8)
    return _twice(partial(_rc2_pass, effective_bits), key_encryption_key, padded + _check(padded))


def rc2_unwrap(key_encryption_key: bytes, wrapped: bytes, effective_bits: int) -> bytes:
    """Undo `rc2_wrap`. Raises DecryptionFailed for whatever does not fit."""
    if len(wrapped) < 24 or len(wrapped) % 8:
        raise DecryptionFailed
    padded = _checked(_back(partial(_rc2_pass, effective_bits), key_encryption_key, wrapped))
    if not 0 <= len(padded) - 1 - padded[0] < 8:
        raise DecryptionFailed
    return padded[1 : 1 + padded[0]]


Pass = Callable[[bytes, bytes, bytes, bool], bytes]


def _twice(run: Pass, key: bytes, checked: bytes) -> bytes:
    iv = token_bytes(8)
    inner = iv + run(key, iv, checked, True)
    return run(key, _WRAP_IV, inner[::-1], True)


def _back(run: Pass, key: bytes, wrapped: bytes) -> bytes:
    inner = run(key, _WRAP_IV, wrapped, False)[::-1]
    return run(key, inner[:8], inner[8:], False)


def _check(secret: bytes) -> bytes:
    return sha1(secret, usedforsecurity=False).digest()[:8]


def _checked(data: bytes) -> bytes:
    secret, check = data[:-8], data[-8:]
    if not compare_digest(_check(secret), check):
        raise DecryptionFailed
    return secret


def _triple_des_pass(key: bytes, iv: bytes, data: bytes, encrypts: bool) -> bytes:  # noqa: FBT001 - one of two passes
    cipher = triple_des(key, iv)
    context = cipher.encryptor() if encrypts else cipher.decryptor()
    output: bytes = context.update(data) + context.finalize()
    return output


def _rc2_pass(effective_bits: int, key: bytes, iv: bytes, data: bytes, encrypts: bool) -> bytes:  # noqa: FBT001
    return Rc2Context(key, effective_bits, iv, encrypts=encrypts).update(data)
