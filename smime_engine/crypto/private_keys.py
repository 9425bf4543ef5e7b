"""Load private keys: PKCS #8 (encrypted too), the traditional formats, PEM with several blocks.

The result is the key object of `cryptography`; `keys.InMemoryKey` wraps it. Every failure is `InvalidKey` with a text
for the key's owner. It writes a key only in clear, for whoever seals it at once. It does not read PKCS #12
(`pkcs12.py`).

ML-DSA and ML-KEM keys: `cryptography` takes the seed alone. Of a key file that has seed and expanded key, the parts
that can be recomputed must agree with the seed; a file with the expanded key alone is refused by name.

Standards: RFC 5958 (PKCS #8), RFC 7468 (PEM), RFC 8017 appendix A.1.2, RFC 5915 (traditional formats), RFC 9881
section 6 and RFC 9935 section 6 (seeds).
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from typing import Any

from cryptography import exceptions
from cryptography.hazmat.primitives import serialization

from smime_engine.asn1 import ber, oids
from smime_engine.crypto.digests import split_identifier
from smime_engine.crypto.password_encryption import WRONG_PASSWORD, decrypt
from smime_engine.errors import InvalidKey, MalformedMessage
from smime_engine.limits import DEFAULT_LIMITS, Limits

__all__ = ["load_private_key", "pem_blocks", "private_key_from_pem", "private_key_info"]

_PEM_BEGIN = re.compile(rb"-----BEGIN ([A-Z0-9 ]{1,40})-----")
_NOT_A_KEY = "this is no private key in a format that is supported (PKCS #8, PKCS #1, SEC 1; PEM or DER)"


def pem_blocks(data: bytes) -> list[tuple[str, bytes, bytes]]:
    """Find the PEM blocks of a text -> [(label, the whole block, the DER in it)]. Headers (RFC 1421) stay in the block.

    Raises InvalidKey for a block that is no base64.
    """
    found = []
    position = 0
    while match := _PEM_BEGIN.search(data, position):
        label = match[1]
        end = data.find(b"-----END " + label + b"-----", match.end())
        if end < 0:
            raise InvalidKey(f"the PEM block {label.decode()} has no end")
        body = data[match.end() : end]
        position = end + len(b"-----END -----") + len(label)
        if b":" in body:  # the headers of a traditional encrypted key end in an empty line
            _, _, body = body.replace(b"\r", b"").partition(b"\n\n")
        try:
            der = base64.b64decode(b"".join(body.split()), validate=True)
        except binascii.Error as error:
            raise InvalidKey(f"the PEM block {label.decode()} is not base64") from error
        found.append((label.decode(), data[match.start() : position], der))
    return found


def load_private_key(data: bytes, password: bytes | None = None, *, limits: Limits = DEFAULT_LIMITS) -> Any:
    """Load one private key: PEM (the first key in it) or DER, PKCS #8 or traditional. Raises InvalidKey."""
    if b"-----BEGIN" not in data:
        return _from_der(data, password, limits)
    for label, block, der in pem_blocks(data):
        if label.endswith("PRIVATE KEY"):
            return private_key_from_pem(label, block, der, password, limits=limits)
    raise InvalidKey("there is no private key in this PEM text")


def private_key_from_pem(
    label: str, block: bytes, der: bytes, password: bytes | None, *, limits: Limits = DEFAULT_LIMITS
) -> Any:
    """Load the private key of one block that `pem_blocks` found. Raises InvalidKey."""
    if b"Proc-Type" not in block:
        return _from_der(der, password, limits)
    if password is None:
        raise InvalidKey("the private key is encrypted: a password is needed")
    try:  # RFC 1421 encryption: one round of MD5, nothing to bound
        return serialization.load_pem_private_key(block, password)
    except (ValueError, TypeError, exceptions.UnsupportedAlgorithm) as error:
        raise InvalidKey(f"{WRONG_PASSWORD} ({label})") from error


def private_key_info(native: Any) -> bytes:
    """PKCS #8 DER of a key object of `cryptography`, in clear; ML-DSA and ML-KEM keys as seeds."""
    encoded: bytes = native.private_bytes(
        serialization.Encoding.DER, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return encoded


def _from_der(data: bytes, password: bytes | None, limits: Limits) -> Any:
    try:
        start, end = ber.content(data, 0, len(data), 0x30, expected="a private key")
        fields = ber.children(data, start, end)
        if [field[0] for field in fields] == [0x30, 0x04]:
            return _from_encrypted(data, fields, password, limits)
        if len(fields) >= 3 and [field[0] for field in fields[:3]] == [0x02, 0x30, 0x04]:
            return _from_pkcs8(data, fields)
        return serialization.load_der_private_key(data, None)
    except (MalformedMessage, ValueError, TypeError, OverflowError, exceptions.UnsupportedAlgorithm) as error:
        raise InvalidKey(_NOT_A_KEY) from error


def _from_encrypted(data: bytes, fields: list[ber.Element], password: bytes | None, limits: Limits) -> Any:
    """EncryptedPrivateKeyInfo (RFC 5958 section 3)."""
    if password is None:
        raise InvalidKey("the private key is encrypted: a password is needed")
    (_, first, _, last), (_, _, start, end) = fields
    clear = decrypt(data[first:last], data[start:end], password, limits)
    try:
        clear_start, clear_end = ber.content(clear, 0, len(clear), 0x30, expected="PrivateKeyInfo")
        if clear_end != len(clear):
            raise InvalidKey(WRONG_PASSWORD)
        return _from_pkcs8(clear, ber.children(clear, clear_start, clear_end))
    except (MalformedMessage, ValueError) as error:
        raise InvalidKey(WRONG_PASSWORD) from error


def _from_pkcs8(data: bytes, fields: list[ber.Element]) -> Any:
    """PrivateKeyInfo; `fields` are its elements: version, algorithm, key, and perhaps attributes and public key."""
    if len(fields) < 3:
        raise MalformedMessage("PrivateKeyInfo", offset=0)
    (_, first, _, last), (_, _, start, end) = fields[1:3]
    oid, _ = split_identifier(data[first:last])
    if oid in _SEEDED:
        return _from_seed(oid, data[first:last], data[start:end])
    try:
        return serialization.load_der_private_key(data, None)
    except (ValueError, TypeError, OverflowError, exceptions.UnsupportedAlgorithm) as error:
        raise InvalidKey(f"the {oids.name_of(oid)} key is damaged, or of a kind that is not supported") from error


# ------------------------------------------------------------------------------------------------ ML-DSA and ML-KEM

_SEEDED: dict[str, tuple[int, int]] = {
    # OID -> octets of the seed, of the encoded public key
    oids.ID_ML_DSA_44: (32, 1312),
    oids.ID_ML_DSA_65: (32, 1952),
    oids.ID_ML_DSA_87: (32, 2592),
    oids.ID_ALG_ML_KEM_512: (64, 800),
    oids.ID_ALG_ML_KEM_768: (64, 1184),
    oids.ID_ALG_ML_KEM_1024: (64, 1568),
}
_ML_DSA_DIMENSIONS: dict[str, bytes] = {  # k and l of FIPS 204 table 1
    oids.ID_ML_DSA_44: bytes((4, 4)),
    oids.ID_ML_DSA_65: bytes((6, 5)),
    oids.ID_ML_DSA_87: bytes((8, 7)),
}


def _from_seed(oid: str, algorithm: bytes, key: bytes) -> Any:
    """CHOICE { seed [0], expandedKey OCTET STRING, both SEQUENCE { seed, expandedKey } }."""
    name = oids.name_of(oid)
    seed_size, public_size = _SEEDED[oid]
    tag, start, end = ber.read_header(key, 0, len(key))
    expanded = b""
    if tag == 0x30:
        both = ber.children(key, start, end)
        if [field[0] for field in both] != [0x04, 0x04]:
            raise MalformedMessage("a seed and an expanded key", offset=start)
        seed, expanded = (key[field[2] : field[3]] for field in both)
    elif tag == 0x80:
        seed = key[start:end]
    else:
        raise InvalidKey(f"the {name} key file has only the expanded key; export it again with its seed")
    if len(seed) != seed_size or end != len(key):
        raise MalformedMessage(f"a seed of {seed_size} octets", offset=0)
    info = ber.encode(0x30, b"\x02\x01\x00", algorithm, ber.encode(0x04, ber.encode(0x80, seed)))
    try:
        native: Any = serialization.load_der_private_key(info, None)
    except (ValueError, exceptions.UnsupportedAlgorithm) as error:
        raise InvalidKey(f"{name} keys are not supported") from error
    if expanded and not _agrees(oid, seed, expanded, native.public_key().public_bytes_raw(), public_size):
        raise InvalidKey(f"the {name} key file contradicts itself: seed and expanded key do not belong together")
    return native


def _agrees(oid: str, seed: bytes, expanded: bytes, public: bytes, public_size: int) -> bool:
    """Whether the parts of an expanded key that follow from seed and public key by hashing are right.

    Does not check the secret polynomials (they are not used: the seed is). FIPS 204 algorithms 1 and 24, FIPS 203
    algorithms 13 and 16.
    """
    if oid in _ML_DSA_DIMENSIONS:  # rho || K || tr || s1 || s2 || t0
        key = hashlib.shake_256(seed + _ML_DSA_DIMENSIONS[oid]).digest(128)[96:]
        return expanded[:128] == public[:32] + key + hashlib.shake_256(public).digest(64)
    # dk_PKE || ek || H(ek) || z
    return expanded.endswith(public + hashlib.sha3_256(public).digest() + seed[32:]) and len(public) == public_size
