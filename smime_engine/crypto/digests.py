"""The table of digests: identifier -> name, size, micalg, strength.

Data and look-ups only; `signing.digest` computes them. Absent and NULL parameters are read as the same (RFC 5754
section 2 tells readers to); the SHAKE identifiers with an explicit length are read with their usual length alone.

Standards: RFC 5754 (SHA-2), RFC 3370 (SHA-1, MD5), RFC 8702 (SHAKE with a fixed output), NIST CSOR (SHA-3, the rest),
RFC 8419 section 2.3 (SHAKE256 with a length), RFC 8551 section 3.5.3.2 (micalg).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from types import MappingProxyType

from smime_engine.asn1 import ber, oids
from smime_engine.errors import MalformedMessage, UnsupportedAlgorithm

__all__ = ["DIGESTS", "NULL", "Digest", "Status", "algorithm_identifier", "digest_from_identifier", "split_identifier"]

NULL = b"\x05\x00"


class Status(Enum):
    """Whether an algorithm may carry a signature that counts; WEAK ones are read and reported, never written."""

    STRONG = "strong"
    WEAK = "weak"


@dataclass(frozen=True, slots=True, kw_only=True)
class Digest:
    """One digest algorithm."""

    name: str
    """`sha256` and so on: the key of `DIGESTS`."""

    oid: str
    size: int
    """Octets of output; for SHAKE the fixed output of RFC 8702 section 3.1."""

    micalg: str
    """The word for multipart/signed (RFC 8551 section 3.5.3.2), `unknown` where no RFC has given one."""

    status: Status
    identifier: bytes
    """The AlgorithmIdentifier as this engine writes it, DER."""


def algorithm_identifier(oid: str, parameters: bytes = b"") -> bytes:
    """Encode an AlgorithmIdentifier; `parameters` is DER, empty for absent."""
    return ber.encode(0x30, oids.Oid(oid, oid).tlv, parameters)


# name, OID, size, micalg, DER parameters as written
_DIGEST_ROWS = (
    ("sha256", oids.ID_SHA256, 32, "sha-256", b""),
    ("sha384", oids.ID_SHA384, 48, "sha-384", b""),
    ("sha512", oids.ID_SHA512, 64, "sha-512", b""),
    ("sha224", oids.ID_SHA224, 28, "sha-224", b""),
    ("sha512-256", oids.ID_SHA512_256, 32, "unknown", b""),
    ("sha3-224", oids.ID_SHA3_224, 28, "unknown", b""),
    ("sha3-256", oids.ID_SHA3_256, 32, "unknown", b""),
    ("sha3-384", oids.ID_SHA3_384, 48, "unknown", b""),
    ("sha3-512", oids.ID_SHA3_512, 64, "unknown", b""),
    ("shake128", oids.ID_SHAKE128, 32, "shake128", b""),
    ("shake256", oids.ID_SHAKE256, 64, "shake256", b""),
    # The same functions with the output length, in bits, as a parameter: RFC 8419 section 2.3 wants this one for Ed448.
    ("shake128-len", "2.16.840.1.101.3.4.2.17", 32, "shake128", b"\x02\x02\x01\x00"),
    ("shake256-len", "2.16.840.1.101.3.4.2.18", 64, "shake256", b"\x02\x02\x02\x00"),
    ("sha1", oids.ID_SHA1, 20, "sha-1", b""),
    ("md5", oids.ID_MD5, 16, "md5", NULL),
)
_BROKEN = ("md5", "sha1")

DIGESTS: MappingProxyType[str, Digest] = MappingProxyType(
    {
        name: Digest(
            name=name,
            oid=oid,
            size=size,
            micalg=micalg,
            status=Status.WEAK if name in _BROKEN else Status.STRONG,
            identifier=algorithm_identifier(oid, parameters),
        )
        for name, oid, size, micalg, parameters in _DIGEST_ROWS
    }
)
"""Every digest that can be computed, by name."""


def _digests_by_identifier() -> dict[bytes, Digest]:
    table = {}
    for digest in DIGESTS.values():
        table[digest.identifier] = digest
        if not digest.name.endswith("-len"):
            table[algorithm_identifier(digest.oid)] = digest
            table[algorithm_identifier(digest.oid, NULL)] = digest
    # QUIRK: the signature's OID as digestAlgorithm, as old PKCS #7 writers have it, is not accepted: no writer of
    # the last twenty years is known to need it, and it blurs what was signed.
    return table


_DIGESTS_BY_IDENTIFIER = _digests_by_identifier()


def digest_from_identifier(identifier: bytes) -> Digest:
    """Look up a DER AlgorithmIdentifier. Raises UnsupportedAlgorithm with its OID, or MalformedMessage."""
    found = _DIGESTS_BY_IDENTIFIER.get(identifier)
    if found is None:
        oid, _ = split_identifier(identifier)
        raise UnsupportedAlgorithm(oid, purpose="digest")
    return found


def split_identifier(identifier: bytes) -> tuple[str, bytes]:
    """AlgorithmIdentifier -> dotted OID, DER parameters (empty when absent)."""
    expected = "an AlgorithmIdentifier"
    start, end = ber.content(identifier, 0, len(identifier), 0x30, expected=expected)
    fields = ber.children(identifier, start, end)
    if end != len(identifier) or not 1 <= len(fields) <= 2 or fields[0][0] != 0x06:
        raise MalformedMessage(expected, offset=0)
    _, _, oid_start, oid_end = fields[0]
    return oids.decode_oid(identifier[oid_start:oid_end], offset=oid_start), identifier[oid_end:end]
