"""Reading SignedData: the front of `signed_data.py` (taking apart) and `verification.py` (judging).

    signed = parse_signed_data(data)
    content = ContentDigests(signed.content)
    for signer in signed.signers:
        candidates = signer_certificates(signer, pool)
        check = verify_signer(signed, signer, content=content, certificate=candidates)

Standards: RFC 5652 section 5.
"""

from __future__ import annotations

from smime_engine.cms.signed_data import SignedData, SignerInfo, parse_signed_data
from smime_engine.cms.verification import ContentDigests, SignerCheck, signer_certificates, verify_signer

__all__ = [
    "ContentDigests",
    "SignedData",
    "SignerCheck",
    "SignerInfo",
    "parse_signed_data",
    "signer_certificates",
    "verify_signer",
]
