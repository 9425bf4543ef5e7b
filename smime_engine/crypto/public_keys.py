"""Public keys: SubjectPublicKeyInfo -> a key object that is ready to verify or to encrypt.

Parsing costs a tenth of a verification; whoever verifies often keeps the `PublicKey` (a `Certificate` does). What it
does not do: judge (`weakness` only tells), or inherit DSA parameters from an issuer (RFC 3279 section 2.3.2): such keys
are unsupported.

Standards: RFC 5280 section 4.1.2.7, RFC 3279, 4055 (RSA, restricted RSA-PSS keys), 5480 (curves by name only), 8410
(X25519, Ed25519 …), 9881 (ML-DSA), 9935 (ML-KEM).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Any

from cryptography import exceptions
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import (
    dsa,
    ec,
    ed448,
    ed25519,
    mldsa,
    mlkem,
    rsa,
    x448,
    x25519,
)

from smime_engine.asn1 import ber, oids
from smime_engine.crypto.digests import split_identifier
from smime_engine.crypto.signature_algorithms import Family, SignatureScheme, signature_scheme
from smime_engine.errors import MalformedMessage, UnsupportedAlgorithm

__all__ = ["KeyKind", "PublicKey", "default_family", "load_public_key", "public_key_of", "same_public_key"]


class KeyKind(Enum):
    """What a public key can be; the value is the name in reports."""

    RSA = "rsa"
    RSA_PSS = "rsa-pss"
    """An RSA key whose owner restricts it to PSS (RFC 4055 section 1.2)."""

    DSA = "dsa"
    EC = "ec"
    ED25519 = "ed25519"
    ED448 = "ed448"
    X25519 = "x25519"
    X448 = "x448"
    ML_DSA_44 = "ml-dsa-44"
    ML_DSA_65 = "ml-dsa-65"
    ML_DSA_87 = "ml-dsa-87"
    ML_KEM_768 = "ml-kem-768"
    ML_KEM_1024 = "ml-kem-1024"


@dataclass(frozen=True, slots=True, kw_only=True)
class PublicKey:
    """A public key, ready for use. Keep it: parsing costs a tenth of a verification."""

    kind: KeyKind
    bits: int
    """Modulus, field or group size; 0 where the kind says it all."""

    curve: str
    """Elliptic curve as `cryptography` names it (`secp256r1`, `brainpoolP256r1`); else empty."""

    native: Any
    """The key object of `cryptography`."""

    families: tuple[Family, ...] = ()
    """The kinds of signature that the key can make."""

    weakness: str = ""
    """Why the key is too short, or empty: RSA and DSA below 2048 bits (RFC 8551 section 4.4), curves below 224."""

    restriction: SignatureScheme | None = None
    """RSA_PSS with parameters: the digest and mask digest to use and the smallest salt (RFC 4055 section 3.3)."""

    def fits(self, scheme: SignatureScheme) -> bool:
        """Whether a signature of this scheme can be this key's."""
        if scheme.family not in self.families:
            return False
        wanted = self.restriction
        return wanted is None or (
            scheme.digest == wanted.digest
            and scheme.mask_digest == wanted.mask_digest
            and scheme.salt_length >= wanted.salt_length
        )


_FAMILIES: dict[KeyKind, tuple[Family, ...]] = {
    KeyKind.RSA: (Family.RSA, Family.RSA_PSS),
    KeyKind.RSA_PSS: (Family.RSA_PSS,),
    KeyKind.DSA: (Family.DSA,),
    KeyKind.EC: (Family.ECDSA,),
    **{KeyKind(family.value): (family,) for family in Family if family.hashes_by_itself},
}
_ENOUGH_BITS = {KeyKind.RSA: 2048, KeyKind.RSA_PSS: 2048, KeyKind.DSA: 2048, KeyKind.EC: 224}

_LARGEST_RSA = 16384  # bits; OpenSSL's own bound for verifying: the cost grows with the square

_CLASSES: tuple[tuple[type, KeyKind], ...] = (
    (rsa.RSAPublicKey, KeyKind.RSA),
    (ec.EllipticCurvePublicKey, KeyKind.EC),
    (ed25519.Ed25519PublicKey, KeyKind.ED25519),
    (ed448.Ed448PublicKey, KeyKind.ED448),
    (x25519.X25519PublicKey, KeyKind.X25519),
    (x448.X448PublicKey, KeyKind.X448),
    (dsa.DSAPublicKey, KeyKind.DSA),
    (mldsa.MLDSA44PublicKey, KeyKind.ML_DSA_44),
    (mldsa.MLDSA65PublicKey, KeyKind.ML_DSA_65),
    (mldsa.MLDSA87PublicKey, KeyKind.ML_DSA_87),
    (mlkem.MLKEM768PublicKey, KeyKind.ML_KEM_768),
    (mlkem.MLKEM1024PublicKey, KeyKind.ML_KEM_1024),
)


def load_public_key(public_key_info: bytes) -> PublicKey:
    """Read a DER SubjectPublicKeyInfo.

    Raises UnsupportedAlgorithm, with the OID, for keys that this engine does not have (explicit curve parameters and
    DSA without its own parameters among them), MalformedMessage for what is no SubjectPublicKeyInfo.
    """
    oid, parameters = _key_algorithm(public_key_info)
    if oid == oids.ID_EC_PUBLIC_KEY and parameters[:1] != b"\x06":
        # OpenSSL recognises a curve by its explicit parameters; RFC 5480 section 2.1.1 forbids to write them.
        raise UnsupportedAlgorithm(f"{oid} with explicit curve parameters", purpose="public key")
    try:
        native: Any = serialization.load_der_public_key(public_key_info)
    except (ValueError, TypeError, OverflowError, exceptions.UnsupportedAlgorithm) as error:
        raise UnsupportedAlgorithm(oid, purpose="public key") from error
    kind = next((kind for class_, kind in _CLASSES if isinstance(native, class_)), None)
    if kind is None:
        raise UnsupportedAlgorithm(oid, purpose="public key")
    restriction = None
    if oid == oids.ID_RSASSA_PSS:
        kind = KeyKind.RSA_PSS
        restriction = signature_scheme(_signature_identifier(public_key_info)) if parameters else None
    bits = int(getattr(native, "key_size", 0))
    if kind in {KeyKind.RSA, KeyKind.RSA_PSS} and bits > _LARGEST_RSA:
        raise UnsupportedAlgorithm(f"{oid} with {bits} bits", purpose="public key")
    curve = native.curve.name if kind is KeyKind.EC else ""
    return PublicKey(
        kind=kind,
        bits=bits,
        curve=curve,
        native=native,
        families=_FAMILIES.get(kind, ()),
        weakness=f"{kind.value} {bits} bits" if bits < _ENOUGH_BITS.get(kind, 0) else "",
        restriction=restriction,
    )


def public_key_of(native_private_key: Any) -> bytes:
    """DER SubjectPublicKeyInfo of a private key object of `cryptography`."""
    encoded: bytes = native_private_key.public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return encoded


def same_public_key(first: bytes, second: bytes) -> bool:
    """Whether two DER SubjectPublicKeyInfos hold the same key, however they encode it.

    Parameters absent or NULL, RSA restricted to PSS or not, points compressed or not: the key is the same. Keys that
    cannot be read are the same only when their bytes are.
    """
    if first == second:
        return True
    try:
        return bool(load_public_key(first).native == load_public_key(second).native)
    except (MalformedMessage, UnsupportedAlgorithm):
        return False


def default_family(key: PublicKey) -> Family:
    """The kind of signature that a key makes unless told otherwise. UnsupportedAlgorithm for keys that sign nothing."""
    if not key.families:
        raise UnsupportedAlgorithm(key.kind.value, purpose="signature")
    return key.families[0]


def _key_algorithm(public_key_info: bytes) -> tuple[str, bytes]:
    return split_identifier(_signature_identifier(public_key_info))


def _signature_identifier(public_key_info: bytes) -> bytes:
    expected = "a SubjectPublicKeyInfo"
    start, end = ber.content(public_key_info, 0, len(public_key_info), 0x30, expected=expected)
    fields = ber.children(public_key_info, start, end)
    if end != len(public_key_info) or [field[0] for field in fields] != [0x30, 0x03]:
        raise MalformedMessage(expected, offset=0)
    return public_key_info[fields[0][1] : fields[0][3]]
