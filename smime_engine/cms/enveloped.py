"""EnvelopedData and AuthEnvelopedData: take apart and open. Making them is the work of `sealing.py`.

    opened = open_envelope(data, DecryptionKeys(ring=ring))

Reads DER and BER, streamed too, any mixture of recipients, all tried by identifier and none by position. An AEAD cipher
in EnvelopedData is refused, as is any other in AuthEnvelopedData: nothing would check the tag (RFC 5084 section 1.4).
Authenticated attributes are part of what the tag protects. EnvelopedData has no integrity at all: whoever intercepts it
can change it (EFAIL), which `integrity` tells and policy may refuse.

Does not: read the content, verify the originator's certificates, or say who sent anything: encryption names no sender.

Standards: RFC 5652 section 6, RFC 5083, RFC 5084, RFC 8551 sections 3.3 and 3.4.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import partial
from typing import NamedTuple

from smime_engine.asn1 import ber, oids
from smime_engine.certificate import Certificate
from smime_engine.cms.attributes import parse_attributes
from smime_engine.cms.encrypted_content import (
    SEGMENTED_CONTENT,
    EncryptedContentInfo,
    cipher_findings,
    decrypt_with,
    parse_encrypted_content_info,
    structure_in,
)
from smime_engine.cms.opening import Candidate, DecryptionKeys, candidates
from smime_engine.cms.recipients import RecipientDescription, RecipientInfo, descriptions, parse_recipient_infos
from smime_engine.crypto.encryption_algorithms import ContentEncryption, content_encryption_from_identifier
from smime_engine.errors import LimitExceeded, MalformedMessage
from smime_engine.limits import DEFAULT_LIMITS, Limits
from smime_engine.problems import Finding

__all__ = [
    "AUTH_ENVELOPED_DATA",
    "ENVELOPED_DATA",
    "Envelope",
    "OpenedEnvelope",
    "associated_data",
    "check_cipher",
    "keys_with_certificates",
    "open_envelope",
    "originator_certificates",
    "parse_envelope",
]

Octets = bytes | memoryview

ENVELOPED_DATA = "enveloped-data"
AUTH_ENVELOPED_DATA = "auth-enveloped-data"


class Envelope(NamedTuple):
    """An EnvelopedData or AuthEnvelopedData, encoded fields as in the message (DER)."""

    kind: str
    """`enveloped-data` or `auth-enveloped-data`."""

    version: int
    certificates: tuple[bytes, ...]
    """X.509 certificates of the originator, not parsed."""

    recipients: tuple[RecipientInfo, ...]
    encrypted: EncryptedContentInfo
    authenticated_attributes: bytes
    """Content of the SET OF, as it stands; empty for none (DER knows no empty one)."""

    tag: bytes
    """AuthEnvelopedData: the authentication tag."""

    other_attributes: bytes
    """Content of the unprotected or unauthenticated attributes; empty for none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenedEnvelope:
    """A message that was decrypted."""

    kind: str
    """`enveloped-data`, `auth-enveloped-data` or `encrypted-data`."""

    content: bytes = field(repr=False)
    content_type: str
    """Dotted type of the content: `oids.ID_DATA` for mail."""

    cipher: str
    """Name of the content cipher, `+cek-hkdf-sha256` behind it where RFC 9709 is used."""

    integrity: bool
    """Whether a changed content would have been noticed."""

    findings: tuple[Finding, ...]
    recipient_infos: tuple[RecipientInfo, ...]
    candidate: Candidate | None = field(repr=False)
    """What decrypted; None for EncryptedData."""

    @property
    def opened_with(self) -> RecipientDescription | None:
        """The recipient whose key decrypted; None for EncryptedData. Computed at each access, as `recipients` is."""
        return None if self.candidate is None else self.candidate.description

    @property
    def recipients(self) -> tuple[RecipientDescription, ...]:
        """All recipients in the order of the message; computed at each access (names are decoded)."""
        return tuple(entry for info in self.recipient_infos for entry in descriptions(info))


def parse_envelope(data: Octets, *, limits: Limits = DEFAULT_LIMITS) -> Envelope:
    """Take apart a ContentInfo with an EnvelopedData or AuthEnvelopedData, DER or BER, with nothing behind it.

    Raises MalformedMessage, LimitExceeded (`message_size`, `recipients`, `asn1_…`). Offsets count in `data`, or in its
    DER form when it is BER.
    """
    if len(data) > limits.message_size:
        raise LimitExceeded("message_size", limits.message_size)
    return ber.der_or_converted(data, partial(_parse, limits=limits), limits, octet_strings=SEGMENTED_CONTENT)


def open_envelope(data: Octets, keys: DecryptionKeys, *, limits: Limits = DEFAULT_LIMITS) -> OpenedEnvelope:
    """Decrypt an EnvelopedData or AuthEnvelopedData with whatever key fits.

    Raises MalformedMessage, LimitExceeded, UnsupportedAlgorithm; NoMatchingKey when no key fits any recipient;
    DecryptionFailed for everything that goes wrong after a private key was used.
    """
    envelope = parse_envelope(data, limits=limits)
    encryption = content_encryption_from_identifier(envelope.encrypted.algorithm)
    check_cipher(envelope.kind, encryption)
    associated = associated_data(envelope.authenticated_attributes, envelope.encrypted.content_type, limits=limits)
    found = candidates(envelope.recipients, keys_with_certificates(keys, envelope.certificates), encryption, limits)
    content, candidate = decrypt_with(
        ((candidate, candidate.recover()) for candidate in found),
        encryption,
        envelope.encrypted,
        several=len(found) > 1,
        tag=envelope.tag,
        associated=associated,
    )
    return _report(envelope, encryption, content, candidate)


def check_cipher(kind: str, encryption: ContentEncryption) -> None:
    """Refuse AEAD outside of AuthEnvelopedData, and everything else there."""
    if encryption.cipher.authenticates is (kind == AUTH_ENVELOPED_DATA):
        return
    wanted = "an authenticating" if kind == AUTH_ENVELOPED_DATA else "no authenticating"
    raise MalformedMessage(f"{wanted} cipher in {kind}, not {encryption.name}")


def associated_data(attributes: bytes, content_type: str, *, limits: Limits = DEFAULT_LIMITS) -> bytes:
    """What the tag protects besides the content: the authenticated attributes as a DER SET OF (RFC 5083 section 2.2).

    Raises MalformedMessage where they name another content type than the content has.
    """
    if not attributes:
        return b""
    entries, _ = parse_attributes(attributes, 0, len(attributes), limits=limits)
    for type_, values in entries:
        if type_ == oids.ID_CONTENT_TYPE.tlv and values != (oids.named(content_type).tlv,):
            raise MalformedMessage(f"the content type {content_type} among the authenticated attributes")
    return ber.encode_set(0x31, ber.elements(attributes, 0, len(attributes), limits))


def keys_with_certificates(keys: DecryptionKeys, encoded: tuple[bytes, ...]) -> DecryptionKeys:
    """Add the originator's certificates, which static key agreement needs; unreadable ones are left out."""
    if not encoded:
        return keys
    readable = []
    for der in encoded:
        try:
            readable.append(Certificate.parse(der))
        except MalformedMessage:
            continue
    return replace(keys, certificates=(*keys.certificates, *readable))


# Tags of the fields: version, originatorInfo?, recipientInfos, encryptedContentInfo, unprotectedAttrs?
_ENVELOPED_FIELDS = [
    [0x02, *originator, 0x31, 0x30, *attributes] for originator in ((), (0xA0,)) for attributes in ((), (0xA1,))
]
# …, authAttrs?, mac, unauthAttrs?
_AUTH_ENVELOPED_FIELDS = [[*start, 0x04, *end] for start in _ENVELOPED_FIELDS for end in ((), (0xA2,))]


def _parse(data: Octets, *, limits: Limits) -> Envelope:
    kind, fields = _fields(data, limits)
    tags = [field[0] for field in fields]
    authenticated = kind == AUTH_ENVELOPED_DATA
    if tags not in (_AUTH_ENVELOPED_FIELDS if authenticated else _ENVELOPED_FIELDS):
        raise MalformedMessage(f"the fields of {kind}", offset=0)
    by_tag = dict(zip(tags, fields, strict=True))
    _, _, start, end = by_tag[0x02]
    attributes = _content(data, by_tag.get(0xA1))
    _, _, recipients_start, recipients_end = by_tag[0x31]
    _, _, encrypted_start, encrypted_end = by_tag[0x30]
    return Envelope(
        kind,
        int.from_bytes(data[start : min(end, start + 9)], "big", signed=True),
        originator_certificates(data[by_tag[0xA0][1] : by_tag[0xA0][3]], limits) if 0xA0 in by_tag else (),
        parse_recipient_infos(data, recipients_start, recipients_end, limits=limits),
        parse_encrypted_content_info(data, encrypted_start, encrypted_end, limits=limits),
        attributes if authenticated else b"",
        _content(data, by_tag.get(0x04)),
        _content(data, by_tag.get(0xA2)) if authenticated else attributes,
    )


def _fields(data: Octets, limits: Limits) -> tuple[str, list[ber.Element]]:
    """Which of the two structures it is (the OIDs differ in length, so that one look at the octets tells)."""
    if oids.ID_CT_AUTH_ENVELOPED_DATA.tlv in bytes(data[:20]):
        type_, expected = oids.ID_CT_AUTH_ENVELOPED_DATA, "an AuthEnvelopedData"
        return AUTH_ENVELOPED_DATA, structure_in(data, type_, limits, expected=expected)
    return ENVELOPED_DATA, structure_in(data, oids.ID_ENVELOPED_DATA, limits, expected="an EnvelopedData")


def _content(data: Octets, element: ber.Element | None) -> bytes:
    return b"" if element is None else bytes(data[element[2] : element[3]])


def originator_certificates(info: Octets, limits: Limits) -> tuple[bytes, ...]:
    """X.509 certificates of an OriginatorInfo with its tag [0], DER; other kinds and CRLs are of no use here."""
    start, end = ber.content(info, 0, len(info), 0xA0, expected="an OriginatorInfo, [0]")
    found: list[bytes] = []
    for tag, _, first, last in ber.children(info, start, end, limits):
        if tag == 0xA0:
            found += ber.elements(info, first, last, limits)
    if len(found) > limits.certificates:
        raise LimitExceeded("certificates", limits.certificates, offset=start)
    return tuple(der for der in found if der[0] == 0x30)


def _report(envelope: Envelope, encryption: ContentEncryption, content: bytes, candidate: Candidate) -> OpenedEnvelope:
    return OpenedEnvelope(
        kind=envelope.kind,
        content=content,
        content_type=envelope.encrypted.content_type,
        cipher=encryption.name,
        integrity=encryption.cipher.authenticates,
        findings=cipher_findings(encryption),
        recipient_infos=envelope.recipients,
        candidate=candidate,
    )
