"""Signed receipts: the recipient of a signed message says, signed, that it verified the message.

A receipt is a SignedData over a Receipt, which names the message by the sender's identifier and signature; its signed
attribute msgSigDigest names the message's signed attributes by their digest. Make one, and check one against the
message that asked for it.

Does not: decide whether to send one (`ReceiptRequest.wants_from` says who is asked), build the mail around it, or check
the path of the recipient's certificate.

Standards: RFC 2634 sections 2.4 (creating), 2.6 (checking), 2.8 (Receipt), 2.12 (msgSigDigest).
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from smime_engine.asn1 import ber, oids
from smime_engine.asn1.der import ObjectIdentifier, decode, encode, sequence
from smime_engine.certificate import Certificate
from smime_engine.cms.attributes import decode_octets
from smime_engine.cms.ess import decode_receipt_request
from smime_engine.cms.signed import parse_signed_data, signer_certificates, verify_signer
from smime_engine.cms.signed_data import SignerInfo
from smime_engine.cms.signer import CmsSigner
from smime_engine.cms.signer_check import SignerCheck
from smime_engine.crypto.signature_algorithms import digest_from_identifier
from smime_engine.crypto.signing import digest as compute_digest
from smime_engine.errors import MalformedMessage
from smime_engine.limits import DEFAULT_LIMITS, Limits
from smime_engine.problems import Finding, Problem

__all__ = ["ReceiptCheck", "create_receipt", "verify_receipt"]


class ReceiptCheck(NamedTuple):
    """What is wrong with a receipt, and who signed it."""

    findings: tuple[Finding, ...]
    """Problems of the receipt and of its signature; not those of the recipient's certificate path."""

    signer: SignerCheck
    identifier: bytes
    """The signedContentIdentifier that the receipt names."""

    @property
    def problems(self) -> tuple[Problem, ...]:
        """The findings' problems."""
        return tuple(finding.problem for finding in self.findings)


def create_receipt(
    signer: SignerInfo,
    check: SignerCheck,
    receipt_signer: CmsSigner,
    *,
    now: datetime,
    content_type: oids.Oid = oids.ID_DATA,
) -> bytes:
    """Make the receipt for a message that was signed by `signer` and verified with `check` -> DER ContentInfo.

    The caller has made sure that the message, whose content is of `content_type`, is valid and that a receipt is
    wanted. Raises MalformedMessage when it has no proper receipt request, UnsupportedAlgorithm for an unknown digest.
    """
    request = decode_receipt_request(check.value_of(oids.ID_AA_RECEIPT_REQUEST) or b"")
    receipt = _Receipt(
        version=1,
        content_type=ObjectIdentifier(content_type),
        identifier=request.identifier,
        signature=signer.signature,
    )
    named = receipt_signer.with_attributes((oids.ID_AA_MSG_SIG_DIGEST, ber.encode(0x04, _attributes_digest(signer))))
    return named.sign(encode(receipt), now=now, detached=False, content_type=oids.ID_CT_RECEIPT)


def verify_receipt(
    data: bytes,
    signer: SignerInfo,
    check: SignerCheck,
    *,
    content_type: oids.Oid = oids.ID_DATA,
    pool: Sequence[Certificate] = (),
    limits: Limits = DEFAULT_LIMITS,
) -> ReceiptCheck:
    """Check a receipt (DER or BER ContentInfo) against the message that asked for it: its parts, and its `check`.

    `pool` may hold the recipient's certificate. Raises MalformedMessage for what is no receipt, and when the message
    has no receipt request.
    """
    request = decode_receipt_request(check.value_of(oids.ID_AA_RECEIPT_REQUEST) or b"")
    body = parse_signed_data(data, limits=limits)
    if body.content_type != oids.ID_CT_RECEIPT or body.content is None or len(body.signers) != 1:
        raise MalformedMessage("a SignedData over a Receipt by one signer")
    receipt = decode(_Receipt, body.content, expected="a Receipt")
    known = (*(Certificate.parse(certificate) for certificate in body.certificates), *pool)
    candidates = signer_certificates(body.signers[0], known)
    own = verify_signer(body, body.signers[0], certificate=candidates, limits=limits)
    findings = list(own.findings)
    for name, found, expected in (
        ("content type", receipt.content_type.dotted_string, str(content_type)),
        ("content identifier", receipt.identifier, request.identifier),
        ("signature", receipt.signature, signer.signature),
        ("digest of the signed attributes", _octets(own), _attributes_digest(signer)),
    ):
        if found != expected:
            findings.append(Finding(problem=Problem.RECEIPT_MISMATCH, detail=name))
    return ReceiptCheck(tuple(findings), own, receipt.identifier)


@sequence
class _Receipt:
    """Receipt ::= SEQUENCE { version ESSVersion, contentType, signedContentIdentifier, originatorSignatureValue }."""

    version: int
    content_type: ObjectIdentifier
    identifier: bytes
    signature: bytes


def _octets(check: SignerCheck) -> bytes:
    value = check.value_of(oids.ID_AA_MSG_SIG_DIGEST)
    return b"" if value is None else decode_octets(value)


def _attributes_digest(signer: SignerInfo) -> bytes:
    """msgSigDigest: the digest of the message's signed attributes, by the message's own digest algorithm."""
    field = signer.signed_attributes
    if field is None:
        raise MalformedMessage("signed attributes in the message that asks for a receipt")
    return compute_digest(digest_from_identifier(signer.digest_algorithm), b"\x31" + field[1:])
