"""A value of userSMIMECertificate as Outlook publishes it to the address list.

Outlook's button "Publish to GAL" writes two attributes: a SignedData to userSMIMECertificate and the bare certificate
to userCertificate. The SignedData signs the text "Empty Body" and carries the certificates with their chain. Its signed
attributes say what the client can read and, in Microsoft's form and in the RFC's, which certificate to encrypt to.

Does: make the value. Does not: write it anywhere, or judge the certificates.

Standards: MS-OXOABK 2.2.4.36 and its example in 4.2, RFC 2798 section 2.8, RFC 8551 sections 2.5.2 and 2.5.3.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from smime_engine.certificate import Certificate
from smime_engine.cms.capabilities import DEFAULT_CAPABILITIES, Capability, encode_capabilities
from smime_engine.cms.signer import CmsSigner, SignedAttributes
from smime_engine.keys import Identity

__all__ = ["OUTLOOK_CONTENT", "published_value"]

OUTLOOK_CONTENT = b"Empty Body"
"""What Outlook signs, because a signature needs something to sign."""


def published_value(
    signing: Identity,
    *,
    now: datetime,
    encryption_certificate: Certificate | None = None,
    chain: Sequence[Certificate] = (),
    capabilities: Sequence[Capability] = DEFAULT_CAPABILITIES,
    digest: str = "",
) -> bytes:
    """Make one value -> DER SignedData.

    `encryption_certificate` is the one to encrypt to, where it is not the signer's own; `chain` are certificates above
    it, where they are not those above the signer's. `digest` is a name of `DIGESTS`; the default is the one that
    suits the key (Outlook's example has SHA-1, which nobody should sign with any more).

    Raises InvalidKey, UnsupportedAlgorithm.
    """
    preferred = signing.certificate if encryption_certificate is None else encryption_certificate
    others = (preferred, *signing.chain, *chain)
    signer = CmsSigner(
        signing.key,
        signing.certificate,
        chain=tuple(found for found in dict.fromkeys(others) if found != signing.certificate),
        digest=digest,
        attributes=SignedAttributes(
            capabilities=encode_capabilities(tuple(capabilities)), encryption_certificate=preferred
        ),
    )
    return signer.sign(OUTLOOK_CONTENT, now=now, detached=False)
