"""SignedData: take it apart into spans of the input. Judging signatures is `verification.py`'s work.

This is the general way, for every form; the usual one is recognised by `usual_signed_data.py` in half the time. The
content is a span of the input, never a copy; identifiers and attributes are left encoded. BER, as streaming writers
send it, is converted once; DER pays nothing for that.

Reads leniently what differs only in form: versions that do not fit the fields, unsorted SETs, digestAlgorithms that
lack a signer's. Does not read: SignedData of nested content (the caller parses `content` again), certificates.

Standards: RFC 5652 sections 3, 5.1, 5.2 (5.2.1 for PKCS #7 content that is no OCTET STRING), 5.3, 10.2; RFC 5940
(OCSP responses among the CRLs); RFC 8551 section 3.2.2 (certs-only).
"""

from __future__ import annotations

from smime_engine.asn1 import ber, oids
from smime_engine.cms.signed_data_types import SignedData, SignerInfo
from smime_engine.cms.usual_signed_data import usual_signed_data
from smime_engine.errors import LimitExceeded, MalformedMessage
from smime_engine.limits import DEFAULT_LIMITS, Limits

__all__ = ["SignedData", "SignerInfo", "parse_signed_data", "parse_signer_info"]

Octets = bytes | memoryview


def parse_signed_data(data: Octets, *, limits: Limits = DEFAULT_LIMITS) -> SignedData:
    """Take apart a ContentInfo that holds a SignedData, DER or BER, with nothing behind it.

    Raises MalformedMessage, LimitExceeded (`message_size`, `signers`, `certificates`, `crls`, `asn1_…`). Offsets count
    in `data`, or in its DER form when it is BER.
    """
    if len(data) > limits.message_size:
        raise LimitExceeded("message_size", limits.message_size)
    if type(data) is bytes and (usual := usual_signed_data(data, limits)) is not None:
        return usual
    try:
        return _parse(data, limits)
    except LimitExceeded:
        raise
    except MalformedMessage:
        converted = ber.to_der(data, limits)
        if converted is data:
            raise
        return _parse(converted, limits)


def parse_signer_info(data: Octets, start: int, end: int) -> SignerInfo:
    """Take apart the content data[start:end] of a SignerInfo, DER (a countersignature is one). MalformedMessage."""
    fields = ber.children(data, start, end)
    unsigned_attributes = _cut(data, fields.pop()) if fields and fields[-1][0] == 0xA1 else None
    signed_attributes = _cut(data, fields.pop(3)) if len(fields) == 6 and fields[3][0] == 0xA0 else None
    if len(fields) != 5:
        raise MalformedMessage("the fields of a SignerInfo", offset=start)
    version, sid, digest, algorithm, signature = fields
    if version[0] != 0x02 or digest[0] != 0x30 or algorithm[0] != 0x30 or signature[0] != 0x04:
        raise MalformedMessage("the fields of a SignerInfo", offset=start)
    tag, sid_start, sid_content, sid_end = sid
    if tag not in {0x30, 0x80}:
        raise MalformedMessage("a signer identifier", offset=sid_start)
    return SignerInfo(
        _version(data, version),
        bytes(data[sid_start:sid_end]) if tag == 0x30 else None,
        bytes(data[sid_content:sid_end]) if tag == 0x80 else None,
        bytes(data[digest[1] : digest[3]]),
        signed_attributes,
        bytes(data[algorithm[1] : algorithm[3]]),
        bytes(data[signature[2] : signature[3]]),
        unsigned_attributes,
    )


def _cut(data: Octets, field: ber.Element) -> bytes:
    return bytes(data[field[1] : field[3]])


def _parse(data: Octets, limits: Limits) -> SignedData:
    start, end = _signed_data_start(data), len(data)
    fields = ber.children(data, start, end, limits)
    crls = fields.pop(-2) if len(fields) > 4 and fields[-2][0] == 0xA1 else None
    certificates = fields.pop(3) if len(fields) == 5 and fields[3][0] == 0xA0 else None
    if len(fields) != 4:
        raise MalformedMessage("the fields of a SignedData", offset=start)
    version, digests, encapsulated, signers = fields
    if version[0] != 0x02 or digests[0] != 0x31 or encapsulated[0] != 0x30 or signers[0] != 0x31:
        raise MalformedMessage("the fields of a SignedData", offset=start)
    content_type, content = _encapsulated(data, encapsulated, limits)
    found_certificates, skipped = ((), 0) if certificates is None else _certificates(data, certificates, limits)
    found_crls, ocsp_responses, skipped_crls = ((), (), 0) if crls is None else _revocation(data, crls, limits)
    return SignedData(
        _version(data, version),
        content_type,
        content,
        _identifiers(data, digests, limits),
        found_certificates,
        found_crls,
        ocsp_responses,
        skipped + skipped_crls,
        _signers(data, signers, limits),
    )


def _signed_data_start(data: Octets) -> int:
    """Offset of the first field of the SignedData; all layers around it must end with the input."""
    end = len(data)
    start, content_end = ber.content(data, 0, end, 0x30, expected="a ContentInfo (SEQUENCE)")
    if content_end != end:
        raise MalformedMessage("the end of the input", offset=content_end)
    oid_end = start + len(oids.ID_SIGNED_DATA.tlv)
    if data[start:oid_end] != oids.ID_SIGNED_DATA.tlv:
        raise MalformedMessage("the content type id-signedData", offset=start)
    start, explicit_end = ber.content(data, oid_end, end, 0xA0, expected="the content of a ContentInfo, [0]")
    start, content_end = ber.content(data, start, explicit_end, 0x30, expected="a SignedData (SEQUENCE)")
    if content_end != end or explicit_end != end:
        raise MalformedMessage("the end of the SignedData", offset=content_end)
    return start


def _version(data: Octets, field: ber.Element) -> int:
    _, start, content_start, content_end = field
    if not 1 <= content_end - content_start <= 4:
        raise MalformedMessage("a version number", offset=start)
    return int.from_bytes(data[content_start:content_end], "big", signed=True)


def _encapsulated(data: Octets, field: ber.Element, limits: Limits) -> tuple[str, memoryview | None]:
    if data[field[2] : field[3]] == oids.ID_DATA.tlv:
        return oids.ID_DATA, None
    fields = ber.children(data, field[2], field[3], limits)
    if not 1 <= len(fields) <= 2 or fields[0][0] != 0x06:
        raise MalformedMessage("an EncapsulatedContentInfo", offset=field[1])
    _, oid_offset, oid_start, oid_end = fields[0]
    if data[oid_offset:oid_end] == oids.ID_DATA.tlv:
        content_type: str = oids.ID_DATA
    else:
        content_type = oids.decode_oid(data[oid_start:oid_end], offset=oid_start)
    if len(fields) == 1:
        return content_type, None
    tag, offset, start, end = fields[1]
    if tag != 0xA0:
        raise MalformedMessage("the encapsulated content, [0]", offset=offset)
    inner, content_start, content_end = ber.read_header(data, start, end)
    if content_end != end or inner == 0x24:  # a constructed OCTET STRING is BER: the conversion joins it
        raise MalformedMessage("an OCTET STRING that fills the content field", offset=start)
    # QUIRK: PKCS #7 had any type here (Authenticode and CTLs still do): the content is then what is inside of it.
    return content_type, memoryview(data)[content_start:content_end]


def _identifiers(data: Octets, field: ber.Element, limits: Limits) -> tuple[bytes, ...]:
    start, end = field[2], field[3]
    if end - start > 2 and data[start + 1] == end - start - 2 < 0x80:
        return (bytes(data[start:end]),)  # one, as nearly always
    found = ber.children(data, start, end, limits)
    if len(found) > limits.signers:
        raise LimitExceeded("signers", limits.signers, offset=field[1])
    return tuple([bytes(data[first:last]) for _, first, _, last in found])


def _certificates(data: Octets, field: ber.Element, limits: Limits) -> tuple[tuple[bytes, ...], int]:
    """CertificateSet -> X.509 certificates, number of others (extended, attribute and other kinds)."""
    found = ber.children(data, field[2], field[3], limits)
    if len(found) > limits.certificates:
        raise LimitExceeded("certificates", limits.certificates, offset=field[1])
    certificates = tuple([bytes(data[start:end]) for tag, start, _, end in found if tag == 0x30])
    return certificates, len(found) - len(certificates)


def _revocation(data: Octets, field: ber.Element, limits: Limits) -> tuple[tuple[bytes, ...], tuple[bytes, ...], int]:
    """RevocationInfoChoices -> CRLs, OCSP responses, number of others."""
    found = ber.children(data, field[2], field[3], limits)
    if len(found) > limits.crls:
        raise LimitExceeded("crls", limits.crls, offset=field[1])
    crls = []
    ocsp_responses = []
    for tag, start, content_start, end in found:
        if tag == 0x30:
            crls.append(bytes(data[start:end]))
        elif tag == 0xA1:
            parts = ber.children(data, content_start, end)
            if len(parts) == 2 and data[parts[0][1] : parts[0][3]] == oids.ID_RI_OCSP_RESPONSE.tlv:
                ocsp_responses.append(bytes(data[parts[1][1] : parts[1][3]]))
    return tuple(crls), tuple(ocsp_responses), len(found) - len(crls) - len(ocsp_responses)


def _signers(data: Octets, field: ber.Element, limits: Limits) -> tuple[SignerInfo, ...]:
    found = ber.children(data, field[2], field[3], limits)
    if len(found) > limits.signers:
        raise LimitExceeded("signers", limits.signers, offset=field[1])
    signers = []
    for tag, offset, start, end in found:
        if tag != 0x30:
            raise MalformedMessage("a SignerInfo (SEQUENCE)", offset=offset)
        signers.append(parse_signer_info(data, start, end))
    return tuple(signers)
