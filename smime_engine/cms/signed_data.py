"""SignedData: take it apart into spans of the input. Judging signatures is `verification.py`'s work.

Hot file. Goal: under 10 µs for one signer with a certificate. Plan: one `ber.children` call for each list of siblings,
no copies of the content (a memoryview of the input), algorithm identifiers and attributes left encoded, NamedTuples
instead of dataclasses (creating a frozen dataclass of eight fields takes as long as three such calls). BER, as
streaming writers send it, is converted once; DER pays nothing for that.

Reads leniently what differs only in form: versions that do not fit the fields, unsorted SETs, digestAlgorithms that
lack a signer's. Does not read: SignedData of nested content (the caller parses `content` again), certificates.

Standards: RFC 5652 sections 3, 5.1, 5.2 (5.2.1 for PKCS #7 content that is no OCTET STRING), 5.3, 10.2; RFC 5940
(OCSP responses among the CRLs); RFC 8551 section 3.2.2 (certs-only).
"""

from __future__ import annotations

from functools import partial
from struct import Struct
from typing import NamedTuple

from smime_engine.asn1 import ber, oids
from smime_engine.errors import LimitExceeded, MalformedMessage
from smime_engine.limits import DEFAULT_LIMITS, Limits

__all__ = ["SignedData", "SignerInfo", "parse_signed_data", "parse_signer_info"]

Octets = bytes | memoryview


class SignerInfo(NamedTuple):
    """One signer; everything as encoded in the message (DER)."""

    version: int
    issuer_and_serial: bytes | None
    """DER IssuerAndSerialNumber, None when the signer is named by key identifier."""

    subject_key_identifier: bytes | None
    """The identifier's octets, None when the signer is named by issuer and serial number."""

    digest_algorithm: bytes
    signed_attributes: bytes | None
    """The whole field, with its tag [0]; None without signed attributes."""

    signature_algorithm: bytes
    signature: bytes
    unsigned_attributes: bytes | None
    """The whole field, with its tag [1]; None without unsigned attributes."""


class SignedData(NamedTuple):
    """A SignedData; certs-only when `signers` is empty and there is no content."""

    version: int
    content_type: str
    """Dotted type of the content: `oids.ID_DATA` for mail."""

    content: memoryview | None
    """The embedded content; None when it is detached. A span of the input unless that was BER."""

    digest_algorithms: tuple[bytes, ...]
    certificates: tuple[bytes, ...]
    """X.509 certificates in the order of the message, not parsed."""

    crls: tuple[bytes, ...]
    ocsp_responses: tuple[bytes, ...]
    """DER OCSPResponse values (RFC 5940)."""

    skipped: int
    """Certificates and revocation values of kinds that nobody uses for mail (attribute certificates, SCVP …)."""

    signers: tuple[SignerInfo, ...]


def parse_signed_data(data: Octets, *, limits: Limits = DEFAULT_LIMITS) -> SignedData:
    """Take apart a ContentInfo that holds a SignedData, DER or BER, with nothing behind it.

    Raises MalformedMessage, LimitExceeded (`message_size`, `signers`, `certificates`, `crls`, `asn1_…`). Offsets count
    in `data`, or in its DER form when it is BER.
    """
    if len(data) > limits.message_size:
        raise LimitExceeded("message_size", limits.message_size)
    return ber.der_or_converted(data, partial(_parse, limits=limits), limits)


def parse_signer_info(data: Octets, start: int, end: int) -> SignerInfo:
    """Take apart the content data[start:end] of a SignerInfo, DER (a countersignature is one). MalformedMessage."""
    fields = ber.children(data, start, end)
    tags = tuple([field[0] for field in fields])
    if tags not in _SIGNER_FIELDS:
        raise MalformedMessage("the fields of a SignerInfo", offset=start)
    version, (sid_tag, sid_start, sid_content, sid_end), (_, digest_start, _, digest_end), *rest = fields
    signed_attributes = unsigned_attributes = None
    if tags[3] == 0xA0:
        _, first, _, last = rest.pop(0)
        signed_attributes = bytes(data[first:last])
    if tags[-1] == 0xA1:
        _, first, _, last = rest.pop()
        unsigned_attributes = bytes(data[first:last])
    (_, algorithm_start, _, algorithm_end), (_, _, signature_start, signature_end) = rest
    return SignerInfo(
        _version(data, version),
        bytes(data[sid_start:sid_end]) if sid_tag == 0x30 else None,
        bytes(data[sid_content:sid_end]) if sid_tag == 0x80 else None,
        bytes(data[digest_start:digest_end]),
        signed_attributes,
        bytes(data[algorithm_start:algorithm_end]),
        bytes(data[signature_start:signature_end]),
        unsigned_attributes,
    )


# version, sid, digestAlgorithm, signedAttrs [0] OPTIONAL, signatureAlgorithm, signature, unsignedAttrs [1] OPTIONAL
_SIGNER_FIELDS = frozenset(
    (0x02, sid, 0x30, *signed, 0x30, 0x04, *unsigned)
    for sid in (0x30, 0x80)
    for signed in ((), (0xA0,))
    for unsigned in ((), (0xA1,))
)


# SEQUENCE, id-signedData, [0], SEQUENCE, all lengths in two octets: what nearly every mail begins with.
_OUTER = Struct(">BBH11sBBHBBH")


def _parse(data: Octets, *, limits: Limits) -> SignedData:
    end = len(data)
    if end > _OUTER.size:
        outer = _OUTER.unpack_from(data)
        usual = (0x30, 0x82, end - 4, oids.ID_SIGNED_DATA.tlv, 0xA0, 0x82, end - 19, 0x30, 0x82, end - 23)
        # Above 279 octets none of these lengths would fit into fewer octets, as DER demands.
        start = _OUTER.size if outer == usual and end > 279 else _signed_data_start(data)
    else:
        start = _signed_data_start(data)
    fields = ber.children(data, start, end, limits)
    tags = tuple([field[0] for field in fields])
    if tags not in _FIELDS:
        raise MalformedMessage("the fields of a SignedData", offset=start)
    content_type, content = _encapsulated(data, fields[2], limits)
    certificates, skipped = _certificates(data, fields[3], limits) if tags[3] == 0xA0 else ((), 0)
    crls, ocsp_responses, skipped_crls = _revocation(data, fields[-2], limits) if tags[-2] == 0xA1 else ((), (), 0)
    return SignedData(
        _version(data, fields[0]),
        content_type,
        content,
        _identifiers(data, fields[1], limits),
        certificates,
        crls,
        ocsp_responses,
        skipped + skipped_crls,
        _signers(data, fields[-1], limits),
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


# version, digestAlgorithms, encapContentInfo, certificates [0] OPTIONAL, crls [1] OPTIONAL, signerInfos
_FIELDS = frozenset((0x02, 0x31, 0x30, *optional, 0x31) for optional in ((), (0xA0,), (0xA1,), (0xA0, 0xA1)))


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
    found = ber.children(data, field[2], field[3], limits)
    if len(found) > limits.signers:
        raise LimitExceeded("signers", limits.signers, offset=field[1])
    return tuple([bytes(data[start:end]) for _, start, _, end in found])


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
    if any(tag != 0x30 for tag, _, _, _ in found):
        raise MalformedMessage("SignerInfos (SEQUENCE)", offset=field[1])
    return tuple([parse_signer_info(data, start, end) for _, _, start, end in found])
