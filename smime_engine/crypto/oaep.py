"""Remove OAEP padding from what a raw RSA operation has left: for tokens that know RSA, but not the digest.

Does: EME-OAEP decoding (RFC 8017 section 7.1.2 step 3) with every check made before the answer. Does not: RSA itself,
or promise constant time: Python cannot. That costs little here: the caller's only answer is `DecryptionFailed`,
whatever check failed, and who can measure beneath that could measure the token as well (Manger's attack needs thousands
of answers that tell one failure from another).
"""

from __future__ import annotations

from hmac import compare_digest

from smime_engine.crypto.digests import Digest
from smime_engine.crypto.key_management_algorithms import RsaScheme
from smime_engine.crypto.signing import digest
from smime_engine.errors import DecryptionFailed

__all__ = ["remove_oaep"]


def remove_oaep(scheme: RsaScheme, encoded: bytes, modulus_size: int) -> bytes:
    """The message in an encoded one of `modulus_size` octets. Raises DecryptionFailed for everything."""
    assert scheme.digest is not None
    assert scheme.mask_digest is not None
    size = scheme.digest.size
    encoded = encoded.rjust(modulus_size, b"\0")  # some tokens leave out leading zeros
    if len(encoded) != modulus_size or modulus_size < 2 * size + 2:
        raise DecryptionFailed
    masked_seed, masked_data = encoded[1 : size + 1], encoded[size + 1 :]
    seed = _xor(masked_seed, _mask(scheme.mask_digest, masked_data, size))
    data = _xor(masked_data, _mask(scheme.mask_digest, seed, len(masked_data)))
    padding, separator, message = data[size:].partition(b"\1")
    fits = compare_digest(data[:size], digest(scheme.digest, scheme.label))
    fits &= encoded[0] == 0
    fits &= separator == b"\1"
    fits &= not padding.strip(b"\0")
    if not fits:
        raise DecryptionFailed
    return message


def _mask(algorithm: Digest, seed: bytes, size: int) -> bytes:
    """MGF1 (RFC 8017 appendix B.2.1)."""
    counters = range(-(-size // algorithm.size))
    return b"".join(digest(algorithm, seed + counter.to_bytes(4, "big")) for counter in counters)[:size]


def _xor(first: bytes, second: bytes) -> bytes:
    return (int.from_bytes(first, "big") ^ int.from_bytes(second, "big")).to_bytes(len(first), "big")
