"""Digest, sign and verify with the schemes of `signature_algorithms`.

Hot file. Goal: nothing measurable on top of OpenSSL. Plan: the objects that `cryptography` wants as parameters are made
once, in constant tables; digests come from hashlib, which is the same OpenSSL code with half the overhead per call.

What it does not do: judge a key or scheme (the table's `status` and `PublicKey.weakness` only tell), load keys
(`public_keys.py`, `private_keys.py`), look at certificates.

Standards: RFC 8017 (RSA), FIPS 186-4 and 186-5 (DSA, ECDSA), RFC 8032 (EdDSA), FIPS 204 (ML-DSA).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any, Protocol, cast

from cryptography import exceptions
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, utils

from smime_engine.crypto.digests import DIGESTS, Digest
from smime_engine.crypto.public_keys import KeyKind, PublicKey, load_public_key
from smime_engine.crypto.signature_algorithms import Family, SignatureScheme
from smime_engine.errors import UnsupportedAlgorithm

__all__ = [
    "DigestContext",
    "KeyKind",
    "PublicKey",
    "digest",
    "digest_constructor",
    "digest_context",
    "load_public_key",
    "sign",
    "signing_function",
    "verify",
]

Octets = bytes | memoryview

# --------------------------------------------------------------------------------------------------------- digests


class DigestContext(Protocol):
    """A digest that is still being fed."""

    def update(self, data: Octets, /) -> None:
        """Take the next octets of the data."""

    def digest(self) -> bytes:
        """The digest of what was fed so far."""


class _FixedOutput:
    """SHAKE with the output length of RFC 8702."""

    __slots__ = ("_context", "_size", "update")

    def __init__(self, context: Any, size: int) -> None:
        self._context = context
        self._size = size
        self.update: Callable[[Octets], None] = context.update

    def digest(self) -> bytes:
        output: bytes = self._context.digest(self._size)
        return output


def digest_constructor(algorithm: Digest) -> Callable[..., DigestContext]:
    """What makes a context of this digest, with the first octets if they are given: for whoever digests often."""
    return _CONSTRUCTORS[algorithm.name]


def digest_context(algorithm: Digest) -> DigestContext:
    """Start a digest."""
    return _CONSTRUCTORS[algorithm.name]()


def digest(algorithm: Digest, data: Octets) -> bytes:
    """Digest `data` at once."""
    return _CONSTRUCTORS[algorithm.name](data).digest()


def _shake(constructor: Callable[..., Any], size: int) -> Callable[..., DigestContext]:
    return lambda data=b"": _FixedOutput(constructor(data), size)


_CONSTRUCTORS: dict[str, Callable[..., DigestContext]] = {
    "md5": lambda data=b"": hashlib.md5(data, usedforsecurity=False),
    "sha1": lambda data=b"": hashlib.sha1(data, usedforsecurity=False),
    "sha224": hashlib.sha224,
    "sha256": hashlib.sha256,
    "sha384": hashlib.sha384,
    "sha512": hashlib.sha512,
    "sha512-256": lambda data=b"": hashlib.new("sha512_256", data),
    "sha3-224": hashlib.sha3_224,
    "sha3-256": hashlib.sha3_256,
    "sha3-384": hashlib.sha3_384,
    "sha3-512": hashlib.sha3_512,
    "shake128": _shake(hashlib.shake_128, 32),
    "shake256": _shake(hashlib.shake_256, 64),
    "shake128-len": _shake(hashlib.shake_128, 32),
    "shake256-len": _shake(hashlib.shake_256, 64),
}

# ------------------------------------------------------------------------------------------------------ signatures

_HASHES: dict[str, hashes.HashAlgorithm] = {
    "md5": hashes.MD5(),
    "sha1": hashes.SHA1(),
    "sha224": hashes.SHA224(),
    "sha256": hashes.SHA256(),
    "sha384": hashes.SHA384(),
    "sha512": hashes.SHA512(),
    "sha512-256": hashes.SHA512_256(),
    "sha3-224": hashes.SHA3_224(),
    "sha3-256": hashes.SHA3_256(),
    "sha3-384": hashes.SHA3_384(),
    "sha3-512": hashes.SHA3_512(),
}
_PREHASHED = {name: utils.Prehashed(algorithm) for name, algorithm in _HASHES.items()}
# ECDSA and DSA see only the digest's octets, so that any digest of the size stands in for one that OpenSSL has no
# name for in this place (SHAKE, RFC 8702 section 3.2.2).
_ECDSA_BY_SIZE = {DIGESTS[name].size: ec.ECDSA(algorithm) for name, algorithm in reversed(_PREHASHED.items())}
_PKCS1V15 = padding.PKCS1v15()
_ECDSA_FAMILY, _RSA_FAMILY = Family.ECDSA, Family.RSA  # members of an Enum are slow to look up in Python 3.11


def signing_function(native: Any, scheme: SignatureScheme) -> Callable[[Octets], bytes]:
    """What signs data (its digest, when the scheme is `prehashed`) with a private key object of `cryptography`.

    For whoever signs often: everything is looked up once. Raises UnsupportedAlgorithm where the kind of key cannot do
    it; what is returned raises it too, for a modulus too short for the digest.
    """
    if scheme.family is Family.DSA:
        raise UnsupportedAlgorithm(scheme.name, purpose="signature (for signing)")
    native_sign = getattr(native, "sign", None)
    if native_sign is None:
        raise UnsupportedAlgorithm(scheme.name, purpose="signature (with this key)")
    parameters = _parameters(scheme)

    def sign_data(data: Octets) -> bytes:
        try:
            signature: bytes = native_sign(data, *parameters)
        except _NOT_WITH_THIS_KEY as error:
            raise UnsupportedAlgorithm(scheme.name, purpose="signature (with this key)") from error
        return signature

    if scheme.family is not _ECDSA_FAMILY or scheme.prehashed:
        return sign_data
    # hashlib takes less time for a digest than the primitive does, and knows more digests.
    constructor = _CONSTRUCTORS[cast("Digest", scheme.digest).name]
    return lambda data: sign_data(constructor(data).digest())


_NOT_WITH_THIS_KEY = (ValueError, TypeError, AttributeError, exceptions.UnsupportedAlgorithm)


def _parameters(scheme: SignatureScheme) -> tuple[Any, ...]:
    """What `cryptography` wants beside the data to sign."""
    family = scheme.family
    if family is _ECDSA_FAMILY:
        return (_ECDSA_BY_SIZE[cast("Digest", scheme.digest).size],)
    if family is _RSA_FAMILY:
        return _PKCS1V15, _hash(scheme)
    if family is Family.RSA_PSS:
        return _pss(scheme), _hash(scheme)
    return ()


def sign(native: Any, data: Octets, scheme: SignatureScheme) -> bytes:
    """Sign `data` once; else as `signing_function`."""
    return signing_function(native, scheme)(data)


def verify(key: PublicKey, signature: Octets, data: Octets, scheme: SignatureScheme) -> bool:
    """Whether `signature` over `data` (its digest, when the scheme is `prehashed`) is that of `key`.

    False for whatever else is wrong with the signature's octets or the fit of key and scheme. Raises
    UnsupportedAlgorithm where the primitive is missing.
    """
    if not key.fits(scheme):
        return False
    family = scheme.family
    native = key.native
    try:
        if family is _ECDSA_FAMILY:
            if not scheme.prehashed:
                data = _CONSTRUCTORS[cast("Digest", scheme.digest).name](data).digest()
            native.verify(signature, data, *_parameters(scheme))
        elif family is _RSA_FAMILY:
            native.verify(signature, data, _PKCS1V15, _hash(scheme))
        elif family is Family.RSA_PSS:
            native.verify(signature, data, _pss(scheme), _hash(scheme))
        elif family is Family.DSA:
            native.verify(signature, data, _hash(scheme))
        else:
            native.verify(signature, data)
    except exceptions.InvalidSignature:
        return False
    except exceptions.UnsupportedAlgorithm as error:
        raise UnsupportedAlgorithm(scheme.name, purpose="signature") from error
    except (ValueError, OverflowError):  # a salt or digest too long for the modulus, no DER in an ECDSA signature
        return False
    return True


def _hash(scheme: SignatureScheme) -> Any:
    assert scheme.digest is not None
    return (_PREHASHED if scheme.prehashed else _HASHES)[scheme.digest.name]


def _pss(scheme: SignatureScheme) -> padding.PSS:
    assert scheme.mask_digest is not None
    return padding.PSS(mgf=padding.MGF1(_HASHES[scheme.mask_digest.name]), salt_length=scheme.salt_length)
