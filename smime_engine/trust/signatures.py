"""Whether one certificate was signed by the key of another.

Does: the check, and remembering its outcome in the collection: it depends on neither time nor policy. Does not: judge
the strength of algorithm and key (`checks.py`) or who may sign.

Standards: RFC 5280 sections 6.1.3 (a.1) and 6.1.4 (c to f, working public key and parameters), RFC 3279 section 2.3.2
(DSA parameters inherited from the issuer).
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum

from smime_engine.asn1 import ber, oids
from smime_engine.certificate import Certificate
from smime_engine.crypto.public_keys import PublicKey, load_public_key
from smime_engine.crypto.signature_algorithms import signature_scheme
from smime_engine.crypto.signing import verify
from smime_engine.errors import MalformedMessage, UnsupportedAlgorithm
from smime_engine.trust.collection import TrustCollection

__all__ = ["Outcome", "completed_key", "signature_outcome", "signature_outcome_with_key", "working_key", "working_keys"]


class Outcome(Enum):
    """The outcome of one signature check."""

    GOOD = "good"
    MISMATCH = "mismatch"
    UNSUPPORTED_KEY = "unsupported key"
    UNSUPPORTED_ALGORITHM = "unsupported algorithm"
    KEY_INHERITS_PARAMETERS = "the issuer's DSA key has no parameters of its own"


def signature_outcome(certificate: Certificate, issuer: Certificate, collection: TrustCollection) -> Outcome:
    """Whether the issuer's key made the certificate's signature. Remembered by both certificates' fingerprints."""
    key = certificate.fingerprint_sha256 + issuer.fingerprint_sha256
    outcome = collection.signatures.recall(key)
    if outcome is None:
        outcome = _outcome(certificate, issuer)
        collection.signatures.keep(key, outcome)
    return outcome


def _outcome(certificate: Certificate, issuer: Certificate) -> Outcome:
    try:
        key = issuer.public_key
    except UnsupportedAlgorithm:
        inherits = _dsa_parameters(issuer.public_key_info) == b""
        return Outcome.KEY_INHERITS_PARAMETERS if inherits else Outcome.UNSUPPORTED_KEY
    except MalformedMessage:
        return Outcome.UNSUPPORTED_KEY
    return signature_outcome_with_key(certificate, key)


def signature_outcome_with_key(certificate: Certificate, key: PublicKey) -> Outcome:
    """Whether this key made the certificate's signature. Not remembered."""
    try:
        scheme = signature_scheme(certificate.signature_algorithm)
        good = verify(key, certificate.signature, certificate.tbs, scheme)
    except UnsupportedAlgorithm:
        return Outcome.UNSUPPORTED_ALGORITHM
    except MalformedMessage:
        return Outcome.MISMATCH
    return Outcome.GOOD if good else Outcome.MISMATCH


def working_key(certificate: Certificate, public_key_info: bytes) -> PublicKey:
    """The key of a certificate whose `working_keys` entry is `public_key_info`. Raises UnsupportedAlgorithm."""
    if public_key_info == certificate.public_key_info:
        return certificate.public_key
    return load_public_key(public_key_info)


def working_keys(chain: Sequence[Certificate]) -> tuple[bytes, ...]:
    """The SubjectPublicKeyInfo of each certificate of a chain, leaf first; a DSA key without parameters has got those
    of the key above it (sections 6.1.4 d to f).
    """
    keys = [chain[-1].public_key_info]
    for certificate in reversed(chain[:-1]):
        keys.append(completed_key(certificate.public_key_info, keys[-1]))
    return tuple(reversed(keys))


def completed_key(public_key_info: bytes, above: bytes) -> bytes:
    """A SubjectPublicKeyInfo with the DSA parameters of the key `above` it, where it lacks its own; else unchanged."""
    parameters = _dsa_parameters(above)
    if not parameters or _dsa_parameters(public_key_info) != b"":
        return public_key_info
    start, end = ber.content(public_key_info, 0, len(public_key_info), 0x30, expected="SubjectPublicKeyInfo")
    _, (_, key_start, _, key_end) = ber.children(public_key_info, start, end)
    return ber.encode(0x30, ber.encode(0x30, oids.ID_DSA.tlv, parameters), public_key_info[key_start:key_end])


def _dsa_parameters(public_key_info: bytes) -> bytes | None:
    """Parameters of a DSA key, DER; b"" where it has none, None for keys of other kinds."""
    try:
        start, _ = ber.content(public_key_info, 0, len(public_key_info), 0x30, expected="SubjectPublicKeyInfo")
        algorithm_start, end = ber.content(public_key_info, start, len(public_key_info), 0x30, expected="an algorithm")
    except MalformedMessage:
        return None
    oid = oids.ID_DSA.tlv
    if not public_key_info.startswith(oid, algorithm_start):
        return None
    return public_key_info[algorithm_start + len(oid) : end]
