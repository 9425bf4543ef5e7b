"""Reading SignedData: the front of taking apart (`signed_data.py`), finding the signer and judging the signature.

    signed = parse_signed_data(data)
    content = ContentDigests(signed.content)
    for signer in signed.signers:
        candidates = signer_certificates(signer, pool)
        check = verify_signer(signed, signer, content=content, certificate=candidates)

Standards: RFC 5652 section 5.
"""

from __future__ import annotations

from collections.abc import Sequence

from smime_engine.certificate import Certificate
from smime_engine.cms.quick_verification import quick_check
from smime_engine.cms.signed_data import SignedData, SignerInfo, parse_signed_data
from smime_engine.cms.signer_check import ContentDigests, SignerCheck
from smime_engine.cms.signer_identifiers import signer_certificates
from smime_engine.cms.verification import Verification
from smime_engine.limits import DEFAULT_LIMITS, Limits

__all__ = [
    "ContentDigests",
    "SignedData",
    "SignerCheck",
    "SignerInfo",
    "parse_signed_data",
    "signer_certificates",
    "verify_signer",
]


def verify_signer(
    signed: SignedData,
    signer: SignerInfo,
    *,
    content: bytes | memoryview | ContentDigests | None = None,
    certificate: Certificate | Sequence[Certificate] | None = None,
    limits: Limits = DEFAULT_LIMITS,
) -> SignerCheck:
    """Verify one signer.

    `content` is the detached content (None: the embedded one); several signers share one `ContentDigests`.
    `certificate` is the signer's; of several candidates, the one under which the signature is right is used, else the
    first. Never raises, whatever the message holds; more than `limits.attributes` are malformed attributes.
    """
    if not isinstance(content, ContentDigests):
        content = ContentDigests(signed.content if content is None else content)
    candidates = (certificate,) if isinstance(certificate, Certificate) else certificate or ()
    if candidates:
        check = quick_check(signed.content_type, signer, content, candidates[0], limits)
        if check is not None:
            return check
    verification = Verification(signed.content_type, signer, content, limits)
    verification.attributes()
    verification.signature_of_any(candidates)
    return verification.result()
