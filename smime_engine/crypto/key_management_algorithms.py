"""The one table of ways to hand a content key to a recipient: identifier -> primitive, parameters, strength.

Data and the codec of parameters: RSA key transport, ECDH key agreement, KEMs, their key-derivation functions, PBKDF2.
Does not compute anything (`key_management.py`) nor choose (`policy.capabilities`). Key wraps stand in
`encryption_algorithms.py`.

Reading takes every hash and mask hash that OpenSSL computes, and absent as well as NULL parameters of hashes. An
identifier that stands in no table is `UnsupportedAlgorithm` with its name or OID.

Standards: RFC 8017 and RFC 3370 section 4.2.1 (PKCS #1 v1.5), RFC 4055 section 4.1 (OAEP parameters), RFC 5753 section
7.1 (ECDH), RFC 8418 (X25519, X448, HKDF), RFC 9629 and RFC 9936 (KEM, ML-KEM), RFC 8619 (HKDF identifiers), RFC 8018
(PBKDF2).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from types import MappingProxyType

from smime_engine.asn1 import ber, oids
from smime_engine.asn1.oid import Oid
from smime_engine.crypto.digests import DIGESTS, Digest, digest_from_identifier, split_identifier
from smime_engine.errors import MalformedMessage, UnsupportedAlgorithm

__all__ = [
    "HKDF_DERIVATIONS",
    "KEMS",
    "KEY_AGREEMENTS",
    "PBKDF2_DIGESTS",
    "PKCS1_V1_5",
    "Derivation",
    "Kem",
    "KeyAgreement",
    "Pbkdf2",
    "RsaScheme",
    "hkdf_from_identifier",
    "kem_from_identifier",
    "key_agreement_from_identifier",
    "oaep",
    "pbkdf2_from_identifier",
    "rsa_scheme_from_identifier",
]

_INTEGER, _OCTET_STRING, _SEQUENCE = 0x02, 0x04, 0x30
_NULL = b"\x05\x00"

# --------------------------------------------------------------------------------------------------- RSA key transport


@dataclass(frozen=True, slots=True, kw_only=True)
class RsaScheme:
    """A way of RSA encryption, with its parameters."""

    name: str
    """`rsaes-pkcs1-v1_5` or `rsaes-oaep-sha256` and so on (the hash, not the mask's)."""

    digest: Digest | None
    """OAEP's hash; None for PKCS #1 v1.5."""

    mask_digest: Digest | None
    label: bytes
    identifier: bytes
    """The keyEncryptionAlgorithm as this engine writes it, DER."""


PKCS1_V1_5 = RsaScheme(
    name="rsaes-pkcs1-v1_5",
    digest=None,
    mask_digest=None,
    label=b"",
    identifier=ber.encode(_SEQUENCE, oids.RSA_ENCRYPTION.tlv, _NULL),
)


def oaep(digest: str = "sha256", mask_digest: str | None = None, label: bytes = b"") -> RsaScheme:
    """RSAES-OAEP with any digest (of `digests.DIGESTS`), any for the mask (default: the same) and any label.

    The parameters are written as RFC 4055 section 4.1 has them: defaults (SHA-1, an empty label) are left out.
    """
    hashed, masked = DIGESTS[digest], DIGESTS[mask_digest or digest]
    parts = []
    if hashed.name != "sha1":
        parts.append(ber.encode(0xA0, _with_null(hashed)))
    if masked.name != "sha1":
        parts.append(ber.encode(0xA1, ber.encode(_SEQUENCE, oids.ID_MGF1.tlv, _with_null(masked))))
    if label:
        source = ber.encode(_SEQUENCE, oids.ID_P_SPECIFIED.tlv, ber.encode(_OCTET_STRING, label))
        parts.append(ber.encode(0xA2, source))
    return RsaScheme(
        name=f"rsaes-oaep-{hashed.name}",
        digest=hashed,
        mask_digest=masked,
        label=label,
        identifier=ber.encode(_SEQUENCE, oids.ID_RSAES_OAEP.tlv, ber.encode(_SEQUENCE, *parts)),
    )


def _with_null(digest: Digest) -> bytes:
    """RFC 4055 section 2.1: in these places a hash is written with NULL parameters."""
    return ber.encode(_SEQUENCE, oids.named(digest.oid).tlv, _NULL)


def rsa_scheme_from_identifier(identifier: bytes) -> RsaScheme:
    """Read the keyEncryptionAlgorithm of a KeyTransRecipientInfo. Raises UnsupportedAlgorithm or MalformedMessage."""
    if identifier == PKCS1_V1_5.identifier:
        return PKCS1_V1_5
    oid, parameters = split_identifier(identifier)
    if oid == oids.RSA_ENCRYPTION:
        return PKCS1_V1_5
    if oid != oids.ID_RSAES_OAEP:
        raise UnsupportedAlgorithm(oids.name_of(oid), purpose="key-transport")
    # QUIRK: absent parameters are read as all defaults, though RFC 4055 demands a SEQUENCE.
    return _oaep(parameters or b"\x30\x00")


def _oaep(parameters: bytes) -> RsaScheme:
    expected = "RSAES-OAEP parameters"
    start, end = ber.content(parameters, 0, len(parameters), _SEQUENCE, expected=expected)
    fields = ber.children(parameters, start, end)
    tags = [tag for tag, *_ in fields]
    if end != len(parameters) or tags != sorted(set(tags)) or not set(tags) <= {0xA0, 0xA1, 0xA2}:
        raise MalformedMessage(expected)
    digest = mask_digest = DIGESTS["sha1"]
    label = b""
    for tag, _, first, last in fields:
        value = parameters[first:last]
        if tag == 0xA0:
            digest = _oaep_digest(value)
        elif tag == 0xA1:
            mask_digest = _mask_digest(value)
        else:
            label = _label(value)
    return RsaScheme(
        name=f"rsaes-oaep-{digest.name}",
        digest=digest,
        mask_digest=mask_digest,
        label=label,
        identifier=ber.encode(_SEQUENCE, oids.ID_RSAES_OAEP.tlv, parameters),
    )


def _mask_digest(identifier: bytes) -> Digest:
    oid, parameters = split_identifier(identifier)
    if oid != oids.ID_MGF1:
        raise UnsupportedAlgorithm(oids.name_of(oid), purpose="mask-generation")
    return _oaep_digest(parameters)


def _oaep_digest(identifier: bytes) -> Digest:
    digest = digest_from_identifier(identifier)
    if digest.name not in _OAEP_DIGESTS:
        raise UnsupportedAlgorithm(digest.name, purpose="RSAES-OAEP digest")
    return digest


_OAEP_DIGESTS = frozenset({"sha1", "sha224", "sha256", "sha384", "sha512"})  # what OpenSSL has


def _label(identifier: bytes) -> bytes:
    oid, parameters = split_identifier(identifier)
    if oid != oids.ID_P_SPECIFIED:
        raise UnsupportedAlgorithm(oids.name_of(oid), purpose="OAEP label source")
    expected = "an OCTET STRING as label"
    start, end = ber.content(parameters, 0, len(parameters), _OCTET_STRING, expected=expected)
    if end != len(parameters):
        raise MalformedMessage(expected)
    return parameters[start:end]


# ------------------------------------------------------------------------------------- key agreement and its derivation


class Derivation(Enum):
    """How a key-encryption key comes from a shared secret."""

    X963 = "x963"
    """ANSI X9.63, which RFC 5753 uses."""

    HKDF = "hkdf"
    """RFC 5869 without salt."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyAgreement:
    """One Diffie-Hellman scheme: single pass, with an ephemeral or static key of the originator."""

    name: str
    """`ecdh-sha256kdf`, `ecdh-cofactor-sha256kdf`, `ecdh-hkdf-sha256` and so on."""

    oid: Oid
    derivation: Derivation
    digest: Digest
    """What the derivation hashes with. SHA-1 is sound in this place (RFC 5753 names it), so no scheme is WEAK.

    The cofactor schemes are computed as the standard ones: all curves that are supported have cofactor 1, and for
    X25519 and X448 the scalar's clamping takes the cofactor's place (RFC 8418 section 2).
    """


def _agreement(name: str, oid: Oid, derivation: Derivation, digest: str) -> KeyAgreement:
    return KeyAgreement(name=name, oid=oid, derivation=derivation, digest=DIGESTS[digest])


_AGREEMENTS = (
    _agreement("ecdh-sha256kdf", oids.DH_SINGLE_PASS_STD_DH_SHA256_KDF_SCHEME, Derivation.X963, "sha256"),
    _agreement("ecdh-sha384kdf", oids.DH_SINGLE_PASS_STD_DH_SHA384_KDF_SCHEME, Derivation.X963, "sha384"),
    _agreement("ecdh-sha512kdf", oids.DH_SINGLE_PASS_STD_DH_SHA512_KDF_SCHEME, Derivation.X963, "sha512"),
    _agreement("ecdh-sha224kdf", oids.DH_SINGLE_PASS_STD_DH_SHA224_KDF_SCHEME, Derivation.X963, "sha224"),
    _agreement("ecdh-sha1kdf", oids.DH_SINGLE_PASS_STD_DH_SHA1_KDF_SCHEME, Derivation.X963, "sha1"),
    _agreement("ecdh-hkdf-sha256", oids.DH_SINGLE_PASS_STD_DH_HKDF_SHA256_SCHEME, Derivation.HKDF, "sha256"),
    _agreement("ecdh-hkdf-sha384", oids.DH_SINGLE_PASS_STD_DH_HKDF_SHA384_SCHEME, Derivation.HKDF, "sha384"),
    _agreement("ecdh-hkdf-sha512", oids.DH_SINGLE_PASS_STD_DH_HKDF_SHA512_SCHEME, Derivation.HKDF, "sha512"),
    _agreement("ecdh-cofactor-sha256kdf", oids.DH_SINGLE_PASS_COFACTOR_DH_SHA256_KDF_SCHEME, Derivation.X963, "sha256"),
    _agreement("ecdh-cofactor-sha384kdf", oids.DH_SINGLE_PASS_COFACTOR_DH_SHA384_KDF_SCHEME, Derivation.X963, "sha384"),
    _agreement("ecdh-cofactor-sha512kdf", oids.DH_SINGLE_PASS_COFACTOR_DH_SHA512_KDF_SCHEME, Derivation.X963, "sha512"),
    _agreement("ecdh-cofactor-sha224kdf", oids.DH_SINGLE_PASS_COFACTOR_DH_SHA224_KDF_SCHEME, Derivation.X963, "sha224"),
    _agreement("ecdh-cofactor-sha1kdf", oids.DH_SINGLE_PASS_COFACTOR_DH_SHA1_KDF_SCHEME, Derivation.X963, "sha1"),
)

KEY_AGREEMENTS: MappingProxyType[str, KeyAgreement] = MappingProxyType({scheme.name: scheme for scheme in _AGREEMENTS})
"""Every key agreement, by name."""

_AGREEMENTS_BY_OID: dict[str, KeyAgreement] = {scheme.oid: scheme for scheme in _AGREEMENTS}


def key_agreement_from_identifier(identifier: bytes) -> tuple[KeyAgreement, bytes]:
    """Read the keyEncryptionAlgorithm of a KeyAgreeRecipientInfo -> scheme, DER of the key wrap's identifier."""
    oid, parameters = split_identifier(identifier)
    found = _AGREEMENTS_BY_OID.get(oid)
    if found is None:
        raise UnsupportedAlgorithm(oids.name_of(oid), purpose="key-agreement")
    return found, parameters


# ----------------------------------------------------------------------------------------------------------------- KEM


@dataclass(frozen=True, slots=True, kw_only=True)
class Kem:
    """One key-encapsulation mechanism."""

    name: str
    oid: Oid
    ciphertext_size: int


KEMS: MappingProxyType[str, Kem] = MappingProxyType(
    {
        "ml-kem-768": Kem(name="ml-kem-768", oid=oids.ID_ALG_ML_KEM_768, ciphertext_size=1088),
        "ml-kem-1024": Kem(name="ml-kem-1024", oid=oids.ID_ALG_ML_KEM_1024, ciphertext_size=1568),
    }
)
"""Every KEM, by name. ML-KEM-512 is known by name and refused: `cryptography` does not have it."""

_KEMS_BY_OID: dict[str, Kem] = {kem.oid: kem for kem in KEMS.values()}


def kem_from_identifier(identifier: bytes) -> Kem:
    """Look up the kem of a KEMRecipientInfo; parameters must be absent (RFC 9936 section 2.2)."""
    oid, parameters = split_identifier(identifier)
    found = _KEMS_BY_OID.get(oid)
    if found is None:
        raise UnsupportedAlgorithm(oids.name_of(oid).removeprefix("id-alg-"), purpose="KEM")
    if parameters:
        raise MalformedMessage(f"no parameters of {found.name}")
    return found


HKDF_DERIVATIONS: MappingProxyType[str, Oid] = MappingProxyType(
    {
        "sha256": oids.ID_ALG_HKDF_WITH_SHA256,
        "sha384": oids.ID_ALG_HKDF_WITH_SHA384,
        "sha512": oids.ID_ALG_HKDF_WITH_SHA512,
    }
)
"""HKDF as a KeyDerivationAlgorithm, by the name of its digest (RFC 8619)."""

_HKDF_BY_OID: dict[str, str] = {oid: name for name, oid in HKDF_DERIVATIONS.items()}


def hkdf_from_identifier(identifier: bytes) -> Digest:
    """Look up the kdf of a KEMRecipientInfo -> the digest of HKDF."""
    oid, _ = split_identifier(identifier)
    name = _HKDF_BY_OID.get(oid)
    if name is None:
        raise UnsupportedAlgorithm(oids.name_of(oid), purpose="key-derivation")
    return DIGESTS[name]


# -------------------------------------------------------------------------------------------------------------- PBKDF2


@dataclass(frozen=True, slots=True, kw_only=True)
class Pbkdf2:
    """PBKDF2 with its parameters."""

    digest: Digest
    """Of the HMAC that is the pseudo-random function."""

    salt: bytes
    iterations: int
    key_size: int | None
    """Octets, where the parameters say so."""

    @property
    def identifier(self) -> bytes:
        """The KeyDerivationAlgorithmIdentifier, DER, without its [0]."""
        function = PBKDF2_DIGESTS[self.digest.name]
        parts = [ber.encode(_OCTET_STRING, self.salt), _integer(self.iterations)]
        if self.key_size is not None:
            parts.append(_integer(self.key_size))
        if self.digest.name != "sha1":
            parts.append(ber.encode(_SEQUENCE, function.tlv, _NULL))
        return ber.encode(_SEQUENCE, oids.ID_PBKDF2.tlv, ber.encode(_SEQUENCE, *parts))


PBKDF2_DIGESTS: MappingProxyType[str, Oid] = MappingProxyType(
    {
        "sha256": oids.HMAC_WITH_SHA256,
        "sha384": oids.HMAC_WITH_SHA384,
        "sha512": oids.HMAC_WITH_SHA512,
        "sha512-256": oids.HMAC_WITH_SHA512_256,
        "sha224": oids.HMAC_WITH_SHA224,
        "sha1": oids.HMAC_WITH_SHA1,
    }
)
"""Pseudo-random functions of PBKDF2, by the name of their digest."""

_PBKDF2_BY_OID: dict[str, str] = {oid: name for name, oid in PBKDF2_DIGESTS.items()}
_LONGEST_NUMBER = 8  # octets: whatever is longer exceeds every limit


def pbkdf2_from_identifier(identifier: bytes) -> Pbkdf2:
    """Read a KeyDerivationAlgorithmIdentifier. The caller holds `iterations` against its limit before it computes."""
    oid, parameters = split_identifier(identifier)
    if oid != oids.ID_PBKDF2:
        raise UnsupportedAlgorithm(oids.name_of(oid), purpose="password-based key-derivation")
    expected = "PBKDF2 parameters with a specified salt"
    start, end = ber.content(parameters, 0, len(parameters), _SEQUENCE, expected=expected)
    fields = ber.children(parameters, start, end)
    tags = [tag for tag, *_ in fields]
    if end != len(parameters) or tags[:2] != [_OCTET_STRING, _INTEGER] or tags[2:] not in _PBKDF2_TAILS:
        raise MalformedMessage(expected)
    values = {tag: parameters[first:last] for tag, _, first, last in fields[2:]}
    digest = "sha1"
    if _SEQUENCE in values:
        function, _ = split_identifier(ber.encode(_SEQUENCE, values[_SEQUENCE]))
        if function not in _PBKDF2_BY_OID:
            raise UnsupportedAlgorithm(oids.name_of(function), purpose="PBKDF2 pseudo-random function")
        digest = _PBKDF2_BY_OID[function]
    return Pbkdf2(
        digest=DIGESTS[digest],
        salt=parameters[fields[0][2] : fields[0][3]],
        iterations=_positive(parameters[fields[1][2] : fields[1][3]], expected),
        key_size=_positive(values[_INTEGER], expected) if _INTEGER in values else None,
    )


_PBKDF2_TAILS: tuple[list[int], ...] = ([], [_INTEGER], [_SEQUENCE], [_INTEGER, _SEQUENCE])


def _positive(octets: bytes, expected: str) -> int:
    number = int.from_bytes(octets[: _LONGEST_NUMBER + 1], "big", signed=True)
    if not octets or number < 1:
        raise MalformedMessage(expected)
    return number


def _integer(number: int) -> bytes:
    return ber.encode(_INTEGER, number.to_bytes(number.bit_length() // 8 + 1, "big"))
