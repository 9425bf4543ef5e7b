"""The one table of digests and signature schemes: identifier -> primitive, parameters, strength.

Data and look-ups only. What it does not do: compute a digest or a signature (`signing.py`), or say which scheme suits
a message (`CmsSigner` and the policies do).

Reading is lenient where RFCs or writers disagree about parameters: absent and NULL are the same for digests, RSA
PKCS #1 v1.5, DSA and ECDSA. It is strict where parameters mean something (RSASSA-PSS) or must be absent (EdDSA,
ML-DSA). An identifier that stands in no table is `UnsupportedAlgorithm` with its dotted OID.

Standards: RFC 5754 (SHA-2), RFC 3370 (SHA-1, MD5, RSA, DSA), RFC 4056, 4055 and 5756 (PSS), RFC 5753 and 5758 (ECDSA),
RFC 8702 (SHAKE; RSASSA-PSS with SHAKE is known by name, but refused), NIST CSOR (SHA-3), RFC 8419 (EdDSA), RFC 9882
(ML-DSA, pure with an empty context; HashML-DSA is refused as that RFC demands).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum

from smime_engine.asn1 import ber, der, oids
from smime_engine.crypto.digests import (
    DIGESTS,
    NULL,
    Digest,
    Status,
    algorithm_identifier,
    digest_from_identifier,
    split_identifier,
)
from smime_engine.errors import MalformedMessage, UnsupportedAlgorithm

__all__ = [
    "DIGESTS",
    "Digest",
    "Family",
    "SignatureScheme",
    "Status",
    "default_digest",
    "digest_from_identifier",
    "pss_scheme",
    "scheme_for",
    "signature_scheme",
]


class Family(Enum):
    """Kinds of signatures; the value is the name in reports."""

    RSA = "rsa"
    RSA_PSS = "rsa-pss"
    DSA = "dsa"
    ECDSA = "ecdsa"
    ED25519 = "ed25519"
    ED448 = "ed448"
    ML_DSA_44 = "ml-dsa-44"
    ML_DSA_65 = "ml-dsa-65"
    ML_DSA_87 = "ml-dsa-87"

    @property
    def hashes_by_itself(self) -> bool:
        """True where the primitive takes the whole message: a digest that was computed elsewhere is of no use."""
        return self in _PURE


@dataclass(frozen=True, slots=True, kw_only=True)
class SignatureScheme:
    """One way of signing, complete with parameters."""

    family: Family
    digest: Digest | None
    """What the primitive hashes with; None where the family hashes by itself."""

    identifier: bytes
    """The signatureAlgorithm as this engine writes it into a SignerInfo, DER."""

    status: Status = Status.STRONG
    mask_digest: Digest | None = None
    """PSS: the digest of MGF1."""

    salt_length: int = 0
    """PSS: octets of salt."""

    prehashed: bool = False
    """The data given to sign and verify is already its digest. Never for a family that hashes by itself."""

    @property
    def name(self) -> str:
        """For people: `rsa-pss-sha256`, `ed25519`."""
        return self.family.value if self.digest is None else f"{self.family.value}-{self.digest.name}"

    def of_digest(self) -> SignatureScheme:
        """The same scheme over data that is already digested. Raises UnsupportedAlgorithm where that cannot be."""
        if self.digest is None:
            raise UnsupportedAlgorithm(self.family.value, purpose="signature over a digest")
        return replace(self, prehashed=True)


# OID, family, digest: None where the SignerInfo's digestAlgorithm says it.
_SCHEME_ROWS: tuple[tuple[str, Family, str | None], ...] = (
    (oids.RSA_ENCRYPTION, Family.RSA, None),
    (oids.MD5_WITH_RSA_ENCRYPTION, Family.RSA, "md5"),
    (oids.SHA1_WITH_RSA_ENCRYPTION, Family.RSA, "sha1"),
    (oids.SHA1_WITH_RSA_SIGNATURE, Family.RSA, "sha1"),  # OIW, seen in certificates of the 1990s
    (oids.SHA224_WITH_RSA_ENCRYPTION, Family.RSA, "sha224"),
    (oids.SHA256_WITH_RSA_ENCRYPTION, Family.RSA, "sha256"),
    (oids.SHA384_WITH_RSA_ENCRYPTION, Family.RSA, "sha384"),
    (oids.SHA512_WITH_RSA_ENCRYPTION, Family.RSA, "sha512"),
    (oids.SHA512_256_WITH_RSA_ENCRYPTION, Family.RSA, "sha512-256"),
    (oids.ID_RSASSA_PKCS1_V1_5_WITH_SHA3_224, Family.RSA, "sha3-224"),
    (oids.ID_RSASSA_PKCS1_V1_5_WITH_SHA3_256, Family.RSA, "sha3-256"),
    (oids.ID_RSASSA_PKCS1_V1_5_WITH_SHA3_384, Family.RSA, "sha3-384"),
    (oids.ID_RSASSA_PKCS1_V1_5_WITH_SHA3_512, Family.RSA, "sha3-512"),
    # QUIRK: the key's OID as signature algorithm, as Java and some smart-card middleware write it.
    (oids.ID_EC_PUBLIC_KEY, Family.ECDSA, None),
    (oids.ECDSA_WITH_SHA1, Family.ECDSA, "sha1"),
    (oids.ECDSA_WITH_SHA224, Family.ECDSA, "sha224"),
    (oids.ECDSA_WITH_SHA256, Family.ECDSA, "sha256"),
    (oids.ECDSA_WITH_SHA384, Family.ECDSA, "sha384"),
    (oids.ECDSA_WITH_SHA512, Family.ECDSA, "sha512"),
    (oids.ID_ECDSA_WITH_SHA3_224, Family.ECDSA, "sha3-224"),
    (oids.ID_ECDSA_WITH_SHA3_256, Family.ECDSA, "sha3-256"),
    (oids.ID_ECDSA_WITH_SHA3_384, Family.ECDSA, "sha3-384"),
    (oids.ID_ECDSA_WITH_SHA3_512, Family.ECDSA, "sha3-512"),
    (oids.ID_ECDSA_WITH_SHAKE128, Family.ECDSA, "shake128"),
    (oids.ID_ECDSA_WITH_SHAKE256, Family.ECDSA, "shake256"),
    (oids.ID_DSA, Family.DSA, None),
    ("1.3.14.3.2.27", Family.DSA, "sha1"),  # OIW dsaWithSHA1
    (oids.ID_DSA_WITH_SHA1, Family.DSA, "sha1"),
    (oids.ID_DSA_WITH_SHA224, Family.DSA, "sha224"),
    (oids.ID_DSA_WITH_SHA256, Family.DSA, "sha256"),
    (oids.ID_DSA_WITH_SHA384, Family.DSA, "sha384"),
    (oids.ID_DSA_WITH_SHA512, Family.DSA, "sha512"),
)

_PURE = {
    Family.ED25519: oids.ID_ED25519,
    Family.ED448: oids.ID_ED448,
    Family.ML_DSA_44: oids.ID_ML_DSA_44,
    Family.ML_DSA_65: oids.ID_ML_DSA_65,
    Family.ML_DSA_87: oids.ID_ML_DSA_87,
}

_PURE_SCHEMES = {family: SignatureScheme(family=family, digest=None, identifier=algorithm_identifier(oid))
                 for family, oid in _PURE.items()}  # fmt: skip


# Digests of the content that RFC 8419 section 3 demands and RFC 9882 section 3.3 finds strong enough.
_CONTENT_DIGESTS = {
    Family.ED25519: ("sha512",),
    Family.ED448: ("shake256-len", "shake256"),
    Family.ML_DSA_44: ("sha256", "sha384", "sha512", "sha3-256", "sha3-384", "sha3-512", "shake128", "shake256"),
    Family.ML_DSA_65: ("sha384", "sha512", "sha3-384", "sha3-512", "shake256"),
    Family.ML_DSA_87: ("sha512", "sha3-512", "shake256"),
}


def _hashed_schemes() -> dict[tuple[Family, str], SignatureScheme]:
    """Everything but PSS whose digest is chosen apart: how this engine would write it."""
    table: dict[tuple[Family, str], SignatureScheme] = {}
    # rsaEncryption rather than sha256WithRSAEncryption: what Outlook, OpenSSL and NSS write (RFC 5754 section 3.2).
    rsa = algorithm_identifier(oids.RSA_ENCRYPTION, NULL)
    for oid, family, digest_name in _SCHEME_ROWS:
        if digest_name is None:
            continue
        digest = DIGESTS[digest_name]
        table[family, digest_name] = SignatureScheme(
            family=family,
            digest=digest,
            identifier=rsa if family is Family.RSA else algorithm_identifier(oid),
            status=Status.WEAK if family is Family.DSA else digest.status,
        )
    for name in ("shake128", "shake256"):
        table[Family.ECDSA, f"{name}-len"] = table[Family.ECDSA, name]
    return table


_HASHED_SCHEMES = _hashed_schemes()


def _schemes_by_identifier() -> dict[bytes, SignatureScheme | Family]:
    table: dict[bytes, SignatureScheme | Family] = {scheme.identifier: scheme for scheme in _PURE_SCHEMES.values()}
    for oid, family, name in _SCHEME_ROWS:
        entry = family if name is None else _HASHED_SCHEMES[family, name]
        for parameters in (b"", NULL):
            table[algorithm_identifier(oid, parameters)] = entry
    return table


_SCHEMES_BY_IDENTIFIER = _schemes_by_identifier()
_PARAMETERS_OF_KEY: dict[str, Family] = {  # these name a key; its parameters (a curve, a DSA group) may come along
    oids.ID_EC_PUBLIC_KEY: Family.ECDSA,
    oids.ID_DSA: Family.DSA,
}


def signature_scheme(identifier: bytes, digest: Digest | None = None) -> SignatureScheme:
    """Look up a DER AlgorithmIdentifier of a SignerInfo (with its `digest`) or of a certificate, CRL or OCSP response.

    Raises UnsupportedAlgorithm for an OID or for parameters that this engine does not have, MalformedMessage for what
    is no AlgorithmIdentifier. Identifiers that do not name their digest are supported only where `digest` is given.
    """
    found = _SCHEMES_BY_IDENTIFIER.get(identifier)
    if found is None:
        found = _read_scheme(identifier)
    if isinstance(found, SignatureScheme):
        return found
    scheme = None if digest is None else _HASHED_SCHEMES.get((found, digest.name))
    if scheme is None:
        oid, _ = split_identifier(identifier)
        raise UnsupportedAlgorithm(oid if digest is None else f"{oid} with {digest.name}", purpose="signature")
    return scheme


def scheme_for(family: Family, digest: str) -> SignatureScheme:
    """Choose the scheme for signing. For PSS: MGF1 with the same digest and a salt of its size (RFC 8551 section 2.2).

    `digest` is that of signature and content; of the content alone, for families that hash by themselves.
    Raises UnsupportedAlgorithm for a digest that does not exist, does not go with the family, or is broken.
    """
    known = DIGESTS.get(digest)
    if known is None or known.status is Status.WEAK:
        raise UnsupportedAlgorithm(digest, purpose="digest (for signing)")
    if family in _PURE_SCHEMES:
        if digest not in _CONTENT_DIGESTS[family]:
            raise UnsupportedAlgorithm(f"{family.value} with {digest}", purpose="signature (for signing)")
        return _PURE_SCHEMES[family]
    if family is Family.RSA_PSS:
        return pss_scheme(known)
    scheme = _HASHED_SCHEMES.get((family, digest))
    if scheme is None or scheme.status is Status.WEAK:
        raise UnsupportedAlgorithm(f"{family.value} with {digest}", purpose="signature (for signing)")
    return scheme


def default_digest(family: Family, *, bits: int = 0) -> str:
    """The digest that goes with a key: what RFC 8419, RFC 9882 and RFC 5753 ask for; SHA-256 for RSA."""
    if family is Family.ED448:
        return "shake256-len"
    if family in _PURE:
        return "sha512"
    if family is Family.ECDSA and bits > 256:
        return "sha384" if bits <= 384 else "sha512"
    return "sha256"


# -------------------------------------------------------------------------------------------------------- RSASSA-PSS

_SHA1_IDENTIFIER = algorithm_identifier(oids.ID_SHA1, NULL)
_MGF1_SHA1 = algorithm_identifier(oids.ID_MGF1, _SHA1_IDENTIFIER)
_NO_HASH_OF_ITS_OWN = frozenset({"shake128", "shake256", "shake128-len", "shake256-len"})


def pss_scheme(digest: Digest, *, mask_digest: Digest | None = None, salt_length: int | None = None) -> SignatureScheme:
    """Build an RSASSA-PSS scheme; MGF1 uses the same digest, and the salt has its size, unless said otherwise."""
    mask = mask_digest or digest
    if digest.name in _NO_HASH_OF_ITS_OWN or mask.name in _NO_HASH_OF_ITS_OWN:
        raise UnsupportedAlgorithm(f"{oids.ID_RSASSA_PSS} with {digest.name}", purpose="signature")
    salt = digest.size if salt_length is None else salt_length
    return SignatureScheme(
        family=Family.RSA_PSS,
        digest=digest,
        mask_digest=mask,
        salt_length=salt,
        status=digest.status,
        identifier=algorithm_identifier(oids.ID_RSASSA_PSS, _pss_parameters(digest, mask, salt)),
    )


def _pss_parameters(digest: Digest, mask: Digest, salt_length: int) -> bytes:
    """RFC 4055 section 3.1: hashes with NULL parameters there, and values that equal a DEFAULT left out (DER)."""
    hash_identifier = algorithm_identifier(digest.oid, NULL)
    mask_identifier = algorithm_identifier(oids.ID_MGF1, algorithm_identifier(mask.oid, NULL))
    fields = []
    if hash_identifier != _SHA1_IDENTIFIER:
        fields.append(ber.encode(0xA0, hash_identifier))
    if mask_identifier != _MGF1_SHA1:
        fields.append(ber.encode(0xA1, mask_identifier))
    if salt_length != 20:
        fields.append(ber.encode(0xA2, der.encode(salt_length)))
    return ber.encode(0x30, *fields)


def _read_pss(parameters: bytes) -> SignatureScheme:
    """RSASSA-PSS-params, strictly: known fields in their order. DEFAULTs that are written out are accepted (BER)."""
    start, end = ber.content(parameters, 0, len(parameters), 0x30, expected="RSASSA-PSS parameters")
    fields = {0xA0: _SHA1_IDENTIFIER, 0xA1: _MGF1_SHA1, 0xA2: b"\x02\x01\x14", 0xA3: b"\x02\x01\x01"}
    previous = 0
    for tag, offset, content_start, content_end in ber.children(parameters, start, end):
        if tag not in fields or tag <= previous:
            raise MalformedMessage("a field of the RSASSA-PSS parameters, in order", offset=offset)
        fields[tag] = parameters[content_start:content_end]
        previous = tag
    mask_oid, mask_hash = split_identifier(fields[0xA1])
    salt_length = der.decode(int, fields[0xA2], expected="the salt length, an INTEGER")
    trailer = der.decode(int, fields[0xA3], expected="the trailer field, an INTEGER")
    # A salt beyond 4 KiB fits no key; refused here, a huge one never reaches the primitive.
    if mask_oid != oids.ID_MGF1 or trailer != 1 or not 0 <= salt_length <= 4096:
        raise UnsupportedAlgorithm(f"{oids.ID_RSASSA_PSS} with unknown parameters", purpose="signature")
    digest = digest_from_identifier(fields[0xA0])
    return pss_scheme(digest, mask_digest=digest_from_identifier(mask_hash), salt_length=salt_length)


# ----------------------------------------------------------------------------------------------------------- reading


def _read_scheme(identifier: bytes) -> SignatureScheme | Family:
    """The identifiers that no table can hold, because their parameters are open."""
    oid, parameters = split_identifier(identifier)
    if oid == oids.ID_RSASSA_PSS and parameters:  # they must be present in a signature (RFC 4056 section 3)
        return _read_pss(parameters)
    if oid in _PARAMETERS_OF_KEY:
        return _PARAMETERS_OF_KEY[oid]
    raise UnsupportedAlgorithm(oid, purpose="signature")
