"""Unsigned attributes: put them on a signer, take them off, and countersignatures, which are one of them.

Anybody can add or remove an unsigned attribute: what is not here proves nothing, and what is here proves what its own
signature says. A countersignature is a signature over a signature; it can have countersignatures itself.

Standards: RFC 5652 sections 5.3 and 11.4.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from smime_engine.asn1 import ber, oids
from smime_engine.certificate import Certificate
from smime_engine.cms.attributes import Attribute, encode_attribute, parse_attributes
from smime_engine.cms.several_signers import encoded_parts
from smime_engine.cms.signed_data import SignerInfo, parse_signed_data, parse_signer_info
from smime_engine.cms.signed_data_writer import encode_signed_data
from smime_engine.cms.signer import CmsSigner
from smime_engine.cms.signer_check import ContentDigests, SignerCheck
from smime_engine.cms.verification import Verification
from smime_engine.errors import LimitExceeded, MalformedMessage
from smime_engine.limits import DEFAULT_LIMITS, Limits

__all__ = ["add_unsigned_attributes", "countersign", "countersignatures", "unsigned_values", "verify_countersignature"]

Octets = bytes | memoryview


def unsigned_values(signer: SignerInfo, type_: oids.Oid, *, limits: Limits = DEFAULT_LIMITS) -> tuple[bytes, ...]:
    """DER of all values of all unsigned attributes of one type. Raises MalformedMessage."""
    return tuple(value for found, values in _attributes(signer, limits) if found == type_.tlv for value in values)


def add_unsigned_attributes(
    data: Octets,
    attributes: Sequence[tuple[oids.Oid, bytes]],
    *,
    index: int = 0,
    certificates: Sequence[bytes] = (),
    limits: Limits = DEFAULT_LIMITS,
) -> bytes:
    """Add unsigned attributes (type, DER value) to the signer at `index` -> DER; nothing that is signed changes.

    `certificates` (DER) are added to those of the message. Raises MalformedMessage for what is no SignedData,
    IndexError where it has no such signer.
    """
    data = ber.to_der(data, limits)
    signed = parse_signed_data(data, limits=limits)
    held = [encode_attribute(type_, value) for type_, value in attributes]
    held += [_encoded(attribute) for attribute in _attributes(signed.signers[index], limits)]
    kept_certificates, crls, infos = encoded_parts(data)
    start, end = ber.content(infos[index], 0, len(infos[index]), 0x30, expected="a SignerInfo")
    fields = [infos[index][first:last] for tag, first, _, last in ber.children(infos[index], start, end) if tag != 0xA1]
    infos[index] = ber.encode(0x30, *fields, ber.encode_set(0xA1, held))
    return encode_signed_data(
        infos,
        signed.digest_algorithms,
        [*kept_certificates, *certificates],
        crls=crls,
        content=signed.content,
        content_type=oids.named(signed.content_type),
    )


# -------------------------------------------------------------------------------------------------- countersignatures


def countersign(
    data: Octets, signers: Sequence[CmsSigner], *, now: datetime, index: int = 0, limits: Limits = DEFAULT_LIMITS
) -> bytes:
    """Countersign the signature of the signer at `index` by each of `signers` -> DER. Raises as above."""
    data = ber.to_der(data, limits)
    signature = parse_signed_data(data, limits=limits).signers[index].signature
    infos = [signer.signer_info_of(signature, now=now, content_type=None) for signer in signers]
    attributes = [(oids.ID_COUNTERSIGNATURE, info) for info in infos]
    certificates = [certificate for signer in signers for certificate in signer.certificates]
    return add_unsigned_attributes(data, attributes, index=index, certificates=certificates, limits=limits)


def countersignatures(signer: SignerInfo, *, limits: Limits = DEFAULT_LIMITS) -> tuple[SignerInfo, ...]:
    """The countersignatures of a signer (or of a countersignature), taken apart.

    Raises MalformedMessage, LimitExceeded for more than `limits.signers`.
    """
    values = unsigned_values(signer, oids.ID_COUNTERSIGNATURE, limits=limits)
    if len(values) > limits.signers:
        raise LimitExceeded("signers", limits.signers)
    found = []
    for value in values:
        start, end = ber.content(value, 0, len(value), 0x30, expected="a SignerInfo (SEQUENCE)")
        found.append(parse_signer_info(value, start, end))
    return tuple(found)


def verify_countersignature(
    signer: SignerInfo,
    countersigner: SignerInfo,
    *,
    certificate: Certificate | Sequence[Certificate] | None = None,
    limits: Limits = DEFAULT_LIMITS,
) -> SignerCheck:
    """Verify one of `countersignatures(signer)`; `certificate` as in `verify_signer`. Never raises.

    Does not check `signer`'s own signature.
    """
    verification = Verification(None, countersigner, ContentDigests(signer.signature), limits)
    verification.attributes()
    verification.signature_of_any((certificate,) if isinstance(certificate, Certificate) else certificate or ())
    return verification.result()


def _attributes(signer: SignerInfo, limits: Limits) -> list[Attribute]:
    field = signer.unsigned_attributes
    if field is None:
        return []
    _, start, end = ber.read_header(field, 0, len(field))
    if end != len(field):
        raise MalformedMessage("the end of the unsigned attributes", offset=end)
    entries, _ = parse_attributes(field, start, end, limits=limits)
    return entries


def _encoded(attribute: Attribute) -> bytes:
    type_, values = attribute
    return ber.encode(0x30, type_, ber.encode_set(0x31, values))
