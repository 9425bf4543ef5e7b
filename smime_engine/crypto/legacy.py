"""What old mail needs and `cryptography` lacks or will drop: DES, Triple DES and RC2 in CBC, the Triple DES key wrap.

All of it is WEAK: read always, written only where a caller names it. A context has the two methods of `cryptography`'s
own, `update` and `finalize`, and like those it does not pad.

Standards: RFC 3370 section 5 (Triple DES, RC2), RFC 3217 section 3 (Triple DES key wrap), FIPS 46-3 (DES as Triple DES
with one key three times, and odd parity). RC2's own arithmetic is in `rc2.py`. The RC2 key wrap of RFC 3217 section 4
is not here: no message that uses it has ever been seen.
"""

from __future__ import annotations

from collections.abc import Callable
from hashlib import sha1
from hmac import compare_digest
from secrets import token_bytes
from typing import Any

from cryptography.hazmat.decrepit.ciphers.algorithms import TripleDES
from cryptography.hazmat.primitives.ciphers import Cipher, modes

from smime_engine.crypto import rc2
from smime_engine.errors import DecryptionFailed

__all__ = ["Rc2Context", "odd_parity", "triple_des", "triple_des_unwrap", "triple_des_wrap"]

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


# RFC 3217 section 3: two layers of CBC, the inner one with a random IV, with the octets reversed in between.
_WRAP_IV = bytes.fromhex("4adda22c79e82105")


def triple_des_wrap(key_encryption_key: bytes, secret: bytes) -> bytes:
    """Wrap a Triple DES key (24 octets) -> 40 octets. Raises ValueError for another size."""
    if len(secret) != 24:
        raise ValueError("the Triple DES key wrap takes 24 octets")
    secret = odd_parity(secret)
    iv = token_bytes(8)
    checked = secret + sha1(secret, usedforsecurity=False).digest()[:8]
    inner = iv + _run(triple_des(key_encryption_key, iv).encryptor(), checked)
    return _run(triple_des(key_encryption_key, _WRAP_IV).encryptor(), inner[::-1])


def triple_des_unwrap(key_encryption_key: bytes, wrapped: bytes) -> bytes:
    """Undo `triple_des_wrap`. Raises DecryptionFailed for whatever does not fit."""
    if len(wrapped) != 40:
        raise DecryptionFailed
    inner = _run(triple_des(key_encryption_key, _WRAP_IV).decryptor(), wrapped)[::-1]
    checked = _run(triple_des(key_encryption_key, inner[:8]).decryptor(), inner[8:])
    secret, check = checked[:24], checked[24:]
    if not compare_digest(sha1(secret, usedforsecurity=False).digest()[:8], check):
        raise DecryptionFailed
    return secret


def _run(context: Any, data: bytes) -> bytes:
    output: bytes = context.update(data) + context.finalize()
    return output
