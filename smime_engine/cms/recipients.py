"""RecipientInfos: take each apart, whatever its kind. Getting keys out of them is the work of `opening.py`.

An info that cannot be read (an unknown kind, a known kind with fields that are wrong) becomes an `OtherRecipientInfo`:
it must not keep the other recipients from reading their mail. All algorithms stay encoded, so that an unsupported one
is noticed only where it is needed.

Hot file: 10,000 recipients parse in linear time, a few microseconds each. Plan: one `ber.children` call for each list
of siblings and NamedTuples, as in `signed_data.py`; names are decoded only for people (`descriptions`).

Standards: RFC 5652 sections 6.2 and 10.2.4, RFC 5753 section 7.2 (originator keys), RFC 9629 section 3 (KEM).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import NamedTuple

from smime_engine.asn1 import ber, oids
from smime_engine.crypto.digests import split_identifier
from smime_engine.crypto.encryption_algorithms import key_wrap_from_identifier
from smime_engine.crypto.key_management_algorithms import (
    kem_from_identifier,
    key_agreement_from_identifier,
    pbkdf2_from_identifier,
    rsa_scheme_from_identifier,
)
from smime_engine.errors import LimitExceeded, MalformedMessage, UnsupportedAlgorithm
from smime_engine.limits import DEFAULT_LIMITS, Limits
from smime_engine.names import readable_name

__all__ = [
    "KekRecipientInfo",
    "KemRecipientInfo",
    "KeyAgreementRecipientInfo",
    "KeyTransportRecipientInfo",
    "OriginatorKey",
    "OtherRecipientInfo",
    "PasswordRecipientInfo",
    "RecipientDescription",
    "RecipientEncryptedKey",
    "RecipientIdentifier",
    "RecipientInfo",
    "descriptions",
    "parse_recipient_info",
    "parse_recipient_infos",
]

Octets = bytes | memoryview


class RecipientIdentifier(NamedTuple):
    """Whose key: exactly one of the two is set."""

    issuer_and_serial: bytes | None
    """DER IssuerAndSerialNumber; what is inside is checked by whoever looks for it."""

    key_identifier: bytes | None
    """The octets of a subjectKeyIdentifier, also of the one inside of an rKeyId."""

    @property
    def text(self) -> str:
        """For people: issuer and serial number, or the key identifier in hex."""
        if self.issuer_and_serial is None:
            return f"key {(self.key_identifier or b'').hex()}"
        encoded = self.issuer_and_serial
        try:
            start, end = ber.content(encoded, 0, len(encoded), 0x30, expected="an IssuerAndSerialNumber")
            (_, first, _, last), (_, _, serial_start, serial_end) = ber.children(encoded, start, end)
            issuer = readable_name(encoded[first:last])
        except (MalformedMessage, ValueError):
            return f"#{encoded.hex()}"
        return f"serial {int.from_bytes(encoded[serial_start:serial_end], 'big', signed=True):x} of {issuer}"


class KeyTransportRecipientInfo(NamedTuple):
    """RSA: the content key is encrypted with the recipient's public key."""

    identifier: RecipientIdentifier
    algorithm: bytes
    encrypted_key: bytes


class OriginatorKey(NamedTuple):
    """The sender's half of a key agreement; exactly one of the two is set."""

    identifier: RecipientIdentifier | None
    """Names a certificate with a static key."""

    public_key: bytes | None
    """An ephemeral key: the octets of its BIT STRING (its algorithm is that of the recipient's key)."""


class RecipientEncryptedKey(NamedTuple):
    """One recipient of a key agreement."""

    identifier: RecipientIdentifier
    encrypted_key: bytes


class KeyAgreementRecipientInfo(NamedTuple):
    """Diffie-Hellman: one key of the originator, several recipients."""

    originator: OriginatorKey
    ukm: bytes
    """User keying material, empty for none."""

    algorithm: bytes
    keys: tuple[RecipientEncryptedKey, ...]


class KemRecipientInfo(NamedTuple):
    """A key-encapsulation mechanism (RFC 9629)."""

    identifier: RecipientIdentifier
    kem: bytes
    ciphertext: bytes
    derivation: bytes
    key_size: int
    """Octets of the key-encryption key."""

    ukm: bytes | None
    wrap: bytes
    encrypted_key: bytes


class KekRecipientInfo(NamedTuple):
    """A key-encryption key that both sides have from elsewhere."""

    key_identifier: bytes
    algorithm: bytes
    encrypted_key: bytes


class PasswordRecipientInfo(NamedTuple):
    """A password, or a key that was derived from one elsewhere."""

    derivation: bytes | None
    """DER KeyDerivationAlgorithmIdentifier."""

    algorithm: bytes
    encrypted_key: bytes


class OtherRecipientInfo(NamedTuple):
    """An info that cannot be used."""

    type: str
    """Dotted type of an OtherRecipientInfo, or empty."""

    error: MalformedMessage | None
    """What is wrong with an info of a known kind."""


RecipientInfo = (
    KeyTransportRecipientInfo
    | KeyAgreementRecipientInfo
    | KemRecipientInfo
    | KekRecipientInfo
    | PasswordRecipientInfo
    | OtherRecipientInfo
)


class RecipientDescription(NamedTuple):
    """One recipient, for reports, as far as it can be read without a key."""

    kind: str
    """`key-transport`, `key-agreement`, `kem`, `kek`, `password` or `other`."""

    identifier: str
    key_algorithm: str
    """Name such as `rsaes-pkcs1-v1_5`, `ecdh-sha256kdf` or `ml-kem-768`; the dotted OID when unknown."""


def parse_recipient_infos(
    data: Octets, start: int, end: int, *, limits: Limits = DEFAULT_LIMITS
) -> tuple[RecipientInfo, ...]:
    """Take apart the content data[start:end] of a RecipientInfos, DER. Raises LimitExceeded for too many recipients."""
    octets = bytes(data[start:end])
    elements = ber.children(octets, 0, len(octets), limits)
    if not elements:
        raise MalformedMessage("at least one recipient", offset=start)
    infos = tuple([_read(octets, tag, first, last) for tag, _, first, last in elements])
    count = len(infos) + sum([len(info.keys) - 1 for info in infos if info.__class__ is KeyAgreementRecipientInfo])
    if count > limits.recipients:
        raise LimitExceeded("recipients", limits.recipients, offset=start)
    return infos


def parse_recipient_info(encoding: bytes) -> RecipientInfo:
    """Take apart one RecipientInfo, DER. Never raises for its content: see `OtherRecipientInfo`."""
    try:
        tag, start, end = ber.read_header(encoding, 0, len(encoding))
    except MalformedMessage as error:
        return OtherRecipientInfo("", error)
    return _read(encoding, tag, start, end)


def _read(data: bytes, tag: int, start: int, end: int) -> RecipientInfo:
    try:
        return _READERS.get(tag, _unknown)(data, start, end)
    except MalformedMessage as error:
        return OtherRecipientInfo("", error)


def descriptions(info: RecipientInfo) -> tuple[RecipientDescription, ...]:
    """Describe an info for reports: one entry for each recipient in it."""
    if isinstance(info, KeyTransportRecipientInfo):
        name = _name(lambda: rsa_scheme_from_identifier(info.algorithm).name, info.algorithm)
        return (RecipientDescription("key-transport", info.identifier.text, name),)
    if isinstance(info, KeyAgreementRecipientInfo):
        name = _name(lambda: key_agreement_from_identifier(info.algorithm)[0].name, info.algorithm)
        return tuple(RecipientDescription("key-agreement", key.identifier.text, name) for key in info.keys)
    if isinstance(info, KemRecipientInfo):
        name = _name(lambda: kem_from_identifier(info.kem).name, info.kem)
        return (RecipientDescription("kem", info.identifier.text, name),)
    if isinstance(info, KekRecipientInfo):
        name = _name(lambda: key_wrap_from_identifier(info.algorithm).name, info.algorithm)
        return (RecipientDescription("kek", f"key {info.key_identifier.hex()}", name),)
    if isinstance(info, PasswordRecipientInfo):
        algorithm = info.derivation or info.algorithm
        name = _name(lambda: f"pbkdf2-hmac-{pbkdf2_from_identifier(algorithm).digest.name}", algorithm)
        return (RecipientDescription("password", "", name),)
    return (RecipientDescription("other", "", oids.name_of(info.type)),)


def _name(known: Callable[[], str], identifier: bytes) -> str:
    try:
        return known()
    except UnsupportedAlgorithm as error:
        return error.identifier
    except MalformedMessage:
        try:
            return oids.name_of(split_identifier(identifier)[0])
        except MalformedMessage:
            return ""


# ----------------------------------------------------------------------------------------------------------- the kinds


class _Fields:
    """The fields of a SEQUENCE, checked against a pattern of their tags."""

    __slots__ = ("data", "elements")

    def __init__(self, data: bytes, start: int, end: int, pattern: re.Pattern[bytes], expected: str) -> None:
        self.data = data
        self.elements = ber.children(data, start, end)
        tags = bytes(min(element[0], 0xFF) for element in self.elements)  # 0xFF: a long tag, in no pattern
        if not pattern.fullmatch(tags):
            raise MalformedMessage(f"the fields of {expected}", offset=start)

    def encoding(self, index: int) -> bytes:
        _, start, _, end = self.elements[index]
        return self.data[start:end]

    def content(self, index: int) -> bytes:
        _, _, start, end = self.elements[index]
        return self.data[start:end]


_KEY_AGREEMENT = re.compile(rb"\x02\xa0\xa1?\x30\x30", re.DOTALL)
_ENCRYPTED_KEY = re.compile(rb"[\x30\xa0]\x04", re.DOTALL)
_RECIPIENT_KEY_IDENTIFIER = re.compile(rb"\x04\x18?\x30?", re.DOTALL)
_ORIGINATOR_PUBLIC_KEY = re.compile(rb"\x30\x03", re.DOTALL)
_KEK = re.compile(rb"\x02\x30\x30\x04", re.DOTALL)
_PASSWORD = re.compile(rb"\x02\xa0?\x30\x04", re.DOTALL)
_OTHER = re.compile(rb"\x06.", re.DOTALL)
_KEM = re.compile(rb"\x02[\x30\x80]\x30\x04\x30\x02\xa0?\x30\x04", re.DOTALL)


def _key_transport(data: bytes, start: int, end: int) -> KeyTransportRecipientInfo:
    """The usual kind, therefore without `_Fields`: in half the time."""
    fields = ber.children(data, start, end)
    if len(fields) != 4 or fields[0][0] != 0x02 or fields[2][0] != 0x30 or fields[3][0] != 0x04:
        raise MalformedMessage("the fields of a KeyTransRecipientInfo", offset=start)
    tag, first, identifier_start, identifier_end = fields[1]
    if tag == 0x30:
        identifier = RecipientIdentifier(data[first:identifier_end], None)
    elif tag == 0x80:
        identifier = RecipientIdentifier(None, data[identifier_start:identifier_end])
    else:
        raise MalformedMessage("a recipient identifier", offset=first)
    _, algorithm_start, _, algorithm_end = fields[2]
    _, _, key_start, key_end = fields[3]
    return KeyTransportRecipientInfo(identifier, data[algorithm_start:algorithm_end], data[key_start:key_end])


def _key_agreement(data: bytes, start: int, end: int) -> KeyAgreementRecipientInfo:
    fields = _Fields(data, start, end, _KEY_AGREEMENT, "a KeyAgreeRecipientInfo")
    _, _, originator_start, originator_end = fields.elements[1]
    has_ukm = len(fields.elements) == 5
    _, _, keys_start, keys_end = fields.elements[-1]
    keys = ber.children(data, keys_start, keys_end)
    if not keys:
        raise MalformedMessage("at least one RecipientEncryptedKey", offset=keys_start)
    return KeyAgreementRecipientInfo(
        _originator(data, originator_start, originator_end),
        _explicit_octets(data, *fields.elements[2][2:]) if has_ukm else b"",
        fields.encoding(-2),
        tuple(_encrypted_key(data, *key) for key in keys),
    )


def _encrypted_key(data: bytes, tag: int, start: int, content_start: int, content_end: int) -> RecipientEncryptedKey:
    if tag != 0x30:
        raise MalformedMessage("a RecipientEncryptedKey (SEQUENCE)", offset=start)
    fields = _Fields(data, content_start, content_end, _ENCRYPTED_KEY, "a RecipientEncryptedKey")
    identifier_tag, _, first, last = fields.elements[0]
    if identifier_tag == 0xA0:  # rKeyId; date and other attribute help to find a key, and nobody needs that help
        key_id = _Fields(data, first, last, _RECIPIENT_KEY_IDENTIFIER, "a RecipientKeyIdentifier")
        return RecipientEncryptedKey(RecipientIdentifier(None, key_id.content(0)), fields.content(1))
    return RecipientEncryptedKey(_identifier(fields, 0), fields.content(1))


def _originator(data: bytes, start: int, end: int) -> OriginatorKey:
    elements = ber.children(data, start, end)
    if len(elements) != 1 or elements[0][0] not in {0x30, 0x80, 0xA1}:
        raise MalformedMessage("an originator identifier or key", offset=start)
    tag, first, content_start, content_end = elements[0]
    if tag == 0x30:
        return OriginatorKey(RecipientIdentifier(data[first:content_end], None), None)
    if tag == 0x80:
        return OriginatorKey(RecipientIdentifier(None, data[content_start:content_end]), None)
    fields = _Fields(data, content_start, content_end, _ORIGINATOR_PUBLIC_KEY, "an OriginatorPublicKey")
    bits = fields.content(1)
    if not bits.startswith(b"\0"):
        raise MalformedMessage("a public key of whole octets", offset=content_start)
    return OriginatorKey(None, bits[1:])


def _kek(data: bytes, start: int, end: int) -> KekRecipientInfo:
    fields = _Fields(data, start, end, _KEK, "a KEKRecipientInfo")
    _, _, first, last = fields.elements[1]
    identifier = _Fields(data, first, last, _RECIPIENT_KEY_IDENTIFIER, "a KEKIdentifier")
    return KekRecipientInfo(identifier.content(0), fields.encoding(2), fields.content(3))


def _password(data: bytes, start: int, end: int) -> PasswordRecipientInfo:
    fields = _Fields(data, start, end, _PASSWORD, "a PasswordRecipientInfo")
    derivation = ber.encode(0x30, fields.content(1)) if len(fields.elements) == 4 else None
    return PasswordRecipientInfo(derivation, fields.encoding(-2), fields.content(-1))


def _other(data: bytes, start: int, end: int) -> KemRecipientInfo | OtherRecipientInfo:
    fields = _Fields(data, start, end, _OTHER, "an OtherRecipientInfo")
    dotted = oids.decode_oid(fields.content(0))
    tag, _, first, last = fields.elements[1]
    if dotted == oids.ID_ORI_KEM and tag == 0x30:
        return _kem(data, first, last)
    return OtherRecipientInfo(dotted, None)


def _kem(data: bytes, start: int, end: int) -> KemRecipientInfo:
    fields = _Fields(data, start, end, _KEM, "a KEMRecipientInfo")
    key_size = int.from_bytes(fields.content(5)[:4], "big", signed=True)
    if not 1 <= key_size <= 65535:
        raise MalformedMessage("a key-encryption key of 1 to 65,535 octets", offset=fields.elements[5][1])
    has_ukm = len(fields.elements) == 9
    return KemRecipientInfo(
        identifier=_identifier(fields, 1),
        kem=fields.encoding(2),
        ciphertext=fields.content(3),
        derivation=fields.encoding(4),
        key_size=key_size,
        ukm=_explicit_octets(data, *fields.elements[6][2:]) if has_ukm else None,
        wrap=fields.encoding(-2),
        encrypted_key=fields.content(-1),
    )


def _unknown(data: bytes, start: int, end: int) -> OtherRecipientInfo:  # noqa: ARG001 - one of the readers
    return OtherRecipientInfo("", MalformedMessage("a recipient info of a known kind", offset=0))


_READERS: dict[int, Callable[[bytes, int, int], RecipientInfo]] = {
    0x30: _key_transport,
    0xA1: _key_agreement,
    0xA2: _kek,
    0xA3: _password,
    0xA4: _other,
}


def _identifier(fields: _Fields, index: int) -> RecipientIdentifier:
    if fields.elements[index][0] == 0x80:
        return RecipientIdentifier(None, fields.content(index))
    return RecipientIdentifier(fields.encoding(index), None)


def _explicit_octets(data: bytes, start: int, end: int) -> bytes:
    first, last = ber.content(data, start, end, 0x04, expected="an OCTET STRING as user keying material")
    if last != end:
        raise MalformedMessage("the end of the user keying material", offset=last)
    return data[first:last]
