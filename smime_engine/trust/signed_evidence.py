"""Who signed a revocation list or an OCSP response, and may they: what `crl_check.py` and `ocsp_check.py` share.

Does: verify a signature with a certificate's key and remember the outcome. Does not: validate the path of the signer;
the caller of `check_revocation` does that, because it validates paths already.

Standards: RFC 5280 section 6.3.3 steps (f) and (g), RFC 6960 section 4.2.2.2.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from smime_engine.certificate import Certificate
from smime_engine.crypto.digests import Status
from smime_engine.crypto.public_keys import PublicKey, load_public_key
from smime_engine.crypto.signature_algorithms import signature_scheme
from smime_engine.crypto.signing import verify
from smime_engine.errors import MalformedMessage, UnsupportedAlgorithm
from smime_engine.limits import DEFAULT_LIMITS, Limits
from smime_engine.problems import Problem
from smime_engine.trust.collection import Memory, TrustCollection
from smime_engine.trust.crl import RevocationList
from smime_engine.trust.evidence import Evidence
from smime_engine.trust.ocsp import OcspResponse
from smime_engine.trust.signatures import working_keys

__all__ = ["CLOCK_SKEW", "Situation", "signature_fault", "utc_text"]

CLOCK_SKEW = timedelta(minutes=5)
"""How far the clock of a CRL issuer or responder may be ahead of ours before its word counts as from the future."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Situation:
    """Everything that judging revocation needs besides the certificate."""

    evidence: Evidence
    collection: TrustCollection
    now: datetime
    """The time that is judged for, aware."""

    trusts: Callable[[Certificate], bool]
    """Whether a certificate, other than the issuer itself, has a valid path to the same trust anchor."""

    chain: tuple[Certificate, ...] = ()
    """The path that is judged, the leaf first: DSA keys may inherit their parameters along it."""

    pool: tuple[Certificate, ...] = ()
    """Further certificates that may have signed, from the message or the caller."""

    forgiven: frozenset[Problem] = frozenset()
    limits: Limits = DEFAULT_LIMITS


def signature_fault(signed: RevocationList | OcspResponse, signer: Certificate, situation: Situation) -> str:
    """Why the signature under a list or response does not count as this certificate's; "" where it does."""
    memory: Memory[bytes, str] = situation.collection.signatures
    key = signed.fingerprint_sha256 + signer.fingerprint_sha256
    fault = memory.recall(key)
    if fault is None:
        fault = _fault(signed, signer, situation.chain)
        memory.keep(key, fault)
    if fault == _WEAK and situation.forgiven & {Problem.WEAK_DIGEST, Problem.WEAK_SIGNATURE_ALGORITHM}:
        return ""
    return fault


_WEAK = "it is signed with a broken or obsolete algorithm"


def _fault(signed: RevocationList | OcspResponse, signer: Certificate, chain: tuple[Certificate, ...]) -> str:
    try:
        scheme = signature_scheme(signed.signature_algorithm)
        genuine = verify(_key_of(signer, chain), signed.signature, signed.signed_octets, scheme)
    except (UnsupportedAlgorithm, MalformedMessage) as error:
        return f"its signature cannot be checked: {error}"
    if not genuine:
        return f"its signature is not that of {signer.subject}"
    return _WEAK if scheme.status is Status.WEAK else ""


def _key_of(signer: Certificate, chain: tuple[Certificate, ...]) -> PublicKey:
    """The signer's key, with DSA parameters that it inherits along the chain (RFC 3279 section 2.3.2)."""
    try:
        return signer.public_key
    except UnsupportedAlgorithm:
        if signer not in chain:
            raise
        return load_public_key(working_keys(chain)[chain.index(signer)])


def utc_text(moment: datetime) -> str:
    """A time for people, to the minute."""
    return f"{moment:%Y-%m-%d %H:%MZ}"
