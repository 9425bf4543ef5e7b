"""The names of everything that can be wrong with a signature, a certificate path or a layer, and the verdict.

Each `Problem` has an effect: INVALID (the answer is no), UNKNOWN (cannot be decided with what was given) or None
(worth telling, changes nothing). The verdict is always derived from problems and never stored. A policy may
*forgive* problems: they are still reported, but no longer count.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum

__all__ = ["Finding", "Problem", "Verdict", "verdict_of"]


class Verdict(Enum):
    """The answer about one signature, one path or one message."""

    VALID = "VALID"
    INVALID = "INVALID"
    UNKNOWN = "UNKNOWN"

    def __bool__(self) -> bool:
        raise TypeError("a verdict has three values: compare it, e.g. `verdict is Verdict.VALID`")


_NO, _OPEN, _INFO = Verdict.INVALID, Verdict.UNKNOWN, None


class Problem(Enum):
    """One named problem; the name is the stable identifier in reports and JSON, the text is for people."""

    # The signature itself (RFC 5652 section 5, RFC 8551)
    NO_SIGNERS = (_NO, "nobody signed: the SignedData has no signer")
    CONTENT_MISSING = (_OPEN, "the signed content is not in the message and was not given")
    DIGEST_MISMATCH = (_NO, "the content was changed after it was signed")
    SIGNATURE_MISMATCH = (_NO, "the signature does not belong to this content and key")
    SIGNER_CERTIFICATE_MISSING = (_OPEN, "the signer's certificate is not in the message and was not given")
    SIGNED_ATTRIBUTES_MALFORMED = (_NO, "the signed attributes break the rules of RFC 5652")
    SIGNED_ATTRIBUTES_MISSING = (_NO, "content other than plain data must be signed with signed attributes")
    UNSIGNED_ATTRIBUTES_MALFORMED = (_NO, "the unsigned attributes break the rules of RFC 5652")
    ATTRIBUTES_AS_CONTENT = (_NO, "the content is the signed attributes of another message, presented as content")
    SIGNED_ATTRIBUTES_NOT_DER = (_INFO, "the signed attributes are not sorted as DER demands")
    MESSAGE_DIGEST_MISSING = (_NO, "signed attributes are present but lack the message digest")
    CONTENT_TYPE_MISSING = (_NO, "signed attributes are present but lack the content type")
    CONTENT_TYPE_MISMATCH = (_NO, "the signed content type differs from the content's own")
    ALGORITHM_PROTECTION_MISMATCH = (_NO, "the algorithms were changed after signing (RFC 6211)")
    DIGEST_ALGORITHMS_DIFFER = (_INFO, "content and signature were digested by different algorithms (RFC 8933)")
    SIGNING_CERTIFICATE_MISMATCH = (_NO, "the signed certificate reference names another certificate (RFC 5035)")
    KEY_ALGORITHM_MISMATCH = (_NO, "the signature algorithm does not fit the signer's key")
    UNSUPPORTED_DIGEST = (_OPEN, "the digest algorithm is not supported")
    UNSUPPORTED_SIGNATURE_ALGORITHM = (_OPEN, "the signature algorithm is not supported")
    UNSUPPORTED_KEY = (_OPEN, "the public key's algorithm is not supported")
    WEAK_DIGEST = (_NO, "the digest algorithm is broken: MD5 or SHA-1")
    WEAK_SIGNATURE_ALGORITHM = (_NO, "the signature algorithm is obsolete: DSA")
    WEAK_KEY = (_NO, "the key is too short")
    SIGNING_TIME_MALFORMED = (_INFO, "the signing time cannot be read")
    SIGNING_TIME_IN_FUTURE = (_INFO, "the signing time lies in the future")

    STRUCTURE_AMBIGUOUS = (_NO, "readers differ in what they show of the message: a field or parameter is there twice")
    SIGNATURE_ORPHANED = (_NO, "a signature stands apart from what it signed: a relay has rebuilt the message")

    # Encryption (RFC 8551 section 2.7)
    WEAK_CONTENT_CIPHER = (_INFO, "the content is encrypted with a cipher that is broken or has a short key")

    # Time stamps (RFC 3161) and receipts (RFC 2634)
    ATTESTATION_MALFORMED = (_INFO, "a countersignature or time stamp cannot be read, or there are too many")
    TIMESTAMP_MALFORMED = (_NO, "the time stamp breaks the rules of RFC 3161")
    TIMESTAMP_MISMATCH = (_NO, "the time stamp was made for something else")
    RECEIPT_MISMATCH = (_NO, "the receipt is for another message")

    # Who signed (RFC 8551 section 3, RFC 9598)
    SENDER_MISMATCH = (_NO, "the signer's certificate does not name the sender of the message")
    OUTER_SIGNER_DIFFERS = (_INFO, "an outer layer was signed by somebody other than the sender, as gateways do")

    # The certificate path (RFC 5280 section 6)
    NO_TRUST_ANCHOR = (_OPEN, "no trusted certificates were given")
    ISSUER_MISSING = (_OPEN, "the issuer's certificate was not found")
    UNTRUSTED_ROOT = (_NO, "the path ends in a root that is not trusted")
    DISTRUSTED = (_NO, "the certificate is on the distrust list")
    PIN_MISMATCH = (_NO, "the path does not go through a certificate that is pinned for the address")
    CERTIFICATE_MALFORMED = (_NO, "the certificate breaks the rules of RFC 5280")
    CERTIFICATE_NONCONFORMING = (_INFO, "the certificate breaks a rule that RFC 5280 sets for issuers")
    CERTIFICATE_SIGNATURE_MISMATCH = (_NO, "the certificate was not signed by its issuer")
    PATH_LOOP = (_NO, "the certificates issue each other in a circle")
    EXPIRED = (_NO, "the certificate has expired")
    NOT_YET_VALID = (_NO, "the certificate is not yet valid")
    EXPIRED_SINCE = (_INFO, "the certificate was valid then and has expired since")
    VALIDITY_NOT_NESTED = (_INFO, "the certificate outlives its issuer")
    NOT_A_CA = (_NO, "an end-entity certificate was used to issue certificates")
    CA_AS_END_ENTITY = (_INFO, "a CA certificate is used as end-entity certificate")
    PATH_LENGTH_EXCEEDED = (_NO, "more intermediate certificates than the issuer allows")
    KEY_USAGE_UNFIT = (_NO, "the key usage does not allow this use")
    EXTENDED_KEY_USAGE_UNFIT = (_NO, "the extended key usage does not allow e-mail protection")
    NAME_NOT_PERMITTED = (_NO, "a name is outside the issuer's permitted name constraints")
    NAME_EXCLUDED = (_NO, "a name is inside the issuer's excluded name constraints")
    UNSUPPORTED_NAME_CONSTRAINT = (_NO, "a name constraint of a form that cannot be checked applies")
    UNKNOWN_CRITICAL_EXTENSION = (_NO, "a critical extension is not understood")
    POLICY_NOT_ACCEPTED = (_NO, "no certificate policy of the path is acceptable")
    POLICY_MAPPING_INVALID = (_NO, "a policy mapping maps from or to anyPolicy")
    ADDRESS_MISMATCH = (_NO, "the certificate does not name the wanted e-mail address")

    # Revocation (RFC 5280 section 6.3, RFC 6960)
    REVOKED = (_NO, "the certificate was revoked")
    REVOKED_SINCE = (_INFO, "the certificate was not revoked then and has been revoked since")
    REVOCATION_UNKNOWN = (_OPEN, "no usable revocation information was given")
    REVOCATION_UNCHECKED = (_INFO, "the revocation status was not determined, and the policy tolerates that")
    CRL_UNREACHABLE = (_NO, "the revocation list could not be fetched; Exchange Online treats that as invalid")

    def __init__(self, effect: Verdict | None, text: str) -> None:
        self.effect = effect
        self.text = text


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """A problem found in one place, with what a person needs beyond its general text (an OID, an address, a date)."""

    problem: Problem
    detail: str = ""

    def __str__(self) -> str:
        return f"{self.problem.text} ({self.detail})" if self.detail else self.problem.text


def verdict_of(problems: Iterable[Problem], *, forgiven: frozenset[Problem] = frozenset()) -> Verdict:
    """Derive the verdict: INVALID if any problem says so, else UNKNOWN if any says so, else VALID."""
    effects = {problem.effect for problem in problems if problem not in forgiven}
    if Verdict.INVALID in effects:
        return Verdict.INVALID
    return Verdict.UNKNOWN if Verdict.UNKNOWN in effects else Verdict.VALID
