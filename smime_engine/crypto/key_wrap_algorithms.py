"""The key-wrap rows of the encryption table: how a content key is encrypted with a key-encryption key.

Data, and looking an AlgorithmIdentifier up. Does not wrap (`key_management.py`). RC2's versions stand here because its
wraps need them first.

Standards: RFC 3394 and RFC 5649 (AES key wrap), RFC 3217 (3DES and RC2 key wraps), RFC 2268 section 6.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType

from smime_engine.asn1 import ber, oids
from smime_engine.asn1.oid import Oid
from smime_engine.crypto.digests import Status, split_identifier
from smime_engine.errors import UnsupportedAlgorithm

__all__ = ["KEY_WRAPS", "RC2_VERSIONS", "KeyWrap", "key_wrap_from_identifier", "rc2_version"]

_INTEGER, _SEQUENCE = 0x02, 0x30

RC2_VERSIONS = {32: 65, 40: 160, 56: 52, 64: 120, 128: 58}
"""Effective key bits → version (RFC 2268 section 6), for the bits that are in use."""


def rc2_version(bits: int) -> bytes:
    """The INTEGER that stands for RC2's effective key bits."""
    version = RC2_VERSIONS[bits]
    return ber.encode(_INTEGER, version.to_bytes(version.bit_length() // 8 + 1, "big"))


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyWrap:
    """One key-wrap algorithm: encrypts a content key with a key-encryption key."""

    name: str
    oid: Oid
    family: str
    """`aes`, `aes-pad`, `3des` or `rc2`."""

    key_size: int
    """Octets of the key-encryption key."""

    status: Status
    identifier: bytes
    """The AlgorithmIdentifier as this engine writes it, DER."""

    effective_bits: int = 0
    """RC2 alone."""


def _aes_wrap(bits: int, oid: Oid, family: str = "aes") -> KeyWrap:
    name = f"aes{bits}-wrap" + ("-pad" if family == "aes-pad" else "")
    identifier = ber.encode(_SEQUENCE, oid.tlv)
    return KeyWrap(name=name, oid=oid, family=family, key_size=bits // 8, status=Status.STRONG, identifier=identifier)


def _rc2_wrap(bits: int) -> KeyWrap:
    return KeyWrap(
        name=f"rc2-{bits}-wrap",
        oid=oids.ID_ALG_CMS_RC2_WRAP,
        family="rc2",
        key_size=16,
        status=Status.WEAK,
        identifier=ber.encode(_SEQUENCE, oids.ID_ALG_CMS_RC2_WRAP.tlv, rc2_version(bits)),
        effective_bits=bits,
    )


_WRAPS = (
    _aes_wrap(256, oids.ID_AES256_WRAP),
    _aes_wrap(192, oids.ID_AES192_WRAP),
    _aes_wrap(128, oids.ID_AES128_WRAP),
    _aes_wrap(256, oids.ID_AES256_WRAP_PAD, "aes-pad"),
    _aes_wrap(192, oids.ID_AES192_WRAP_PAD, "aes-pad"),
    _aes_wrap(128, oids.ID_AES128_WRAP_PAD, "aes-pad"),
    KeyWrap(
        name="3des-wrap",
        oid=oids.ID_ALG_CMS_3DES_WRAP,
        family="3des",
        key_size=24,
        status=Status.WEAK,
        identifier=ber.encode(_SEQUENCE, oids.ID_ALG_CMS_3DES_WRAP.tlv, b"\x05\x00"),
    ),
    _rc2_wrap(128),
    _rc2_wrap(64),
    _rc2_wrap(40),
)

KEY_WRAPS: MappingProxyType[str, KeyWrap] = MappingProxyType({wrap.name: wrap for wrap in _WRAPS})
"""Every key wrap, by name."""

# RC2's wraps differ in their parameter alone, the version.
_WRAPS_BY_OID: dict[str, KeyWrap] = {
    wrap.oid + (rc2_version(wrap.effective_bits).hex() if wrap.effective_bits else ""): wrap for wrap in _WRAPS
}


def key_wrap_from_identifier(identifier: bytes) -> KeyWrap:
    """Look up a DER AlgorithmIdentifier; absent and NULL parameters are the same. Raises UnsupportedAlgorithm."""
    oid, parameters = split_identifier(identifier)
    found = _WRAPS_BY_OID.get(oid) or _WRAPS_BY_OID.get(oid + parameters.hex())
    if found is None:
        raise UnsupportedAlgorithm(oids.name_of(oid), purpose="key-wrap")
    return found
