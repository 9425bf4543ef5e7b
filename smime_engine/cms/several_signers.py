"""Several signers: one SignedData by many, and a further signer for a SignedData that exists already.

What was signed before stays as it is, byte for byte: certificates, CRLs and SignerInfos of an existing SignedData are
taken over encoded, of whatever kind they are. Does not verify the signatures that are there.

Standards: RFC 5652 sections 5.1 and 5.3.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from smime_engine.asn1 import ber, oids
from smime_engine.cms.signed_data import parse_signed_data
from smime_engine.cms.signed_data_writer import encode_signed_data
from smime_engine.cms.signer import CmsSigner
from smime_engine.errors import LimitExceeded, MalformedMessage
from smime_engine.limits import DEFAULT_LIMITS, Limits

__all__ = ["add_signers", "encoded_parts", "sign_with"]

Octets = bytes | memoryview


def sign_with(
    signers: Sequence[CmsSigner],
    content: Octets,
    *,
    now: datetime,
    detached: bool = True,
    content_type: oids.Oid = oids.ID_DATA,
) -> bytes:
    """Sign `content` by all of `signers`, side by side -> DER ContentInfo; the content is inside unless `detached`."""
    return encode_signed_data(
        [signer.signer_info_of(content, now=now, content_type=content_type) for signer in signers],
        [signer.digest.identifier for signer in signers],
        [certificate for signer in signers for certificate in signer.certificates],
        content=None if detached else content,
        content_type=content_type,
    )


def add_signers(
    data: Octets,
    signers: Sequence[CmsSigner],
    *,
    now: datetime,
    content: Octets | None = None,
    limits: Limits = DEFAULT_LIMITS,
) -> bytes:
    """Add signers to a SignedData (DER or BER) -> DER; detached content has to be given, and stays detached.

    Raises MalformedMessage for what is no SignedData or has no content, LimitExceeded when there would be too many.
    """
    data = ber.to_der(data, limits)
    signed = parse_signed_data(data, limits=limits)
    signed_content = signed.content if content is None else content
    if signed_content is None:
        raise MalformedMessage("the content that is signed: it is detached and was not given")
    if len(signed.signers) + len(signers) > limits.signers:
        raise LimitExceeded("signers", limits.signers)
    content_type = oids.named(signed.content_type)
    certificates, crls, infos = encoded_parts(data)
    added = [signer.signer_info_of(signed_content, now=now, content_type=content_type) for signer in signers]
    return encode_signed_data(
        [*infos, *added],
        [*signed.digest_algorithms, *(signer.digest.identifier for signer in signers)],
        [*certificates, *(certificate for signer in signers for certificate in signer.certificates)],
        crls=crls,
        content=signed.content,
        content_type=content_type,
    )


def encoded_parts(data: Octets) -> tuple[list[bytes], list[bytes], list[bytes]]:
    """Encodings of all certificates, CRLs and SignerInfos, of whatever kind, in the order of the message.

    For DER that `parse_signed_data` has accepted.
    """
    start, end = ber.content(data, 0, len(data), 0x30, expected="a ContentInfo")
    _, (_, _, start, end) = ber.children(data, start, end)
    start, end = ber.content(data, start, end, 0x30, expected="a SignedData")
    fields = {tag: (first, last) for tag, _, first, last in ber.children(data, start, end)[3:]}
    certificates, crls, infos = (
        ber.elements(data, *fields[tag]) if tag in fields else [] for tag in (0xA0, 0xA1, 0x31)
    )
    return certificates, crls, infos
