"""CMS as its RFCs write it down: the declarative schema, the plain version of what the engine walks by offsets.

The engine does not decode by it (decision 0031: that takes longer than walking, and copies contents), the tests do:
all that the engine writes must be read by it, give the values that the engine finds, and be written the same again.

AlgorithmIdentifier, Name and the CHOICE types are left encoded (TLV): the declarative layer has no optional TLV and no
CHOICE among tagged types. `[n] IMPLICIT SET OF` is a list, which keeps the order that it is read in.

Standards: RFC 5652 sections 3 to 8 and 10, RFC 5083 section 2.1, RFC 3274 section 1.1, RFC 9629 section 3.
"""

from __future__ import annotations

from typing import Annotated, TypeVar

from smime_engine.asn1 import der

T = TypeVar("T")


@der.sequence
class ContentInfo:
    content_type: der.ObjectIdentifier
    content: Annotated[der.TLV, der.Explicit(0)]


@der.sequence
class Attribute:
    type: der.ObjectIdentifier
    values: der.SetOf[der.TLV]


# --- SignedData, RFC 5652 section 5.1


@der.sequence
class EncapsulatedContentInfo:
    content_type: der.ObjectIdentifier
    content: Annotated[bytes | None, der.Explicit(0)]


@der.sequence
class SignerInfo:
    version: int
    signer_identifier: der.TLV
    digest_algorithm: der.TLV
    signed_attributes: Annotated[list[Attribute] | None, der.Implicit(0)]
    signature_algorithm: der.TLV
    signature: bytes
    unsigned_attributes: Annotated[list[Attribute] | None, der.Implicit(1)]


@der.sequence
class SignedData:
    version: int
    digest_algorithms: der.SetOf[der.TLV]
    encapsulated: EncapsulatedContentInfo
    certificates: Annotated[list[der.TLV] | None, der.Implicit(0)]
    crls: Annotated[list[der.TLV] | None, der.Implicit(1)]
    signer_infos: der.SetOf[SignerInfo]


# --- EnvelopedData, RFC 5652 section 6.1, and AuthEnvelopedData, RFC 5083 section 2.1


@der.sequence
class OriginatorInfo:
    certificates: Annotated[list[der.TLV] | None, der.Implicit(0)]
    crls: Annotated[list[der.TLV] | None, der.Implicit(1)]


@der.sequence
class EncryptedContentInfo:
    content_type: der.ObjectIdentifier
    algorithm: der.TLV
    encrypted_content: Annotated[bytes | None, der.Implicit(0)]


@der.sequence
class EnvelopedData:
    version: int
    originator: Annotated[OriginatorInfo | None, der.Implicit(0)]
    recipient_infos: der.SetOf[der.TLV]
    encrypted: EncryptedContentInfo
    unprotected_attributes: Annotated[list[Attribute] | None, der.Implicit(1)]


@der.sequence
class AuthEnvelopedData:
    version: int
    originator: Annotated[OriginatorInfo | None, der.Implicit(0)]
    recipient_infos: der.SetOf[der.TLV]
    encrypted: EncryptedContentInfo
    authenticated_attributes: Annotated[list[Attribute] | None, der.Implicit(1)]
    mac: bytes
    unauthenticated_attributes: Annotated[list[Attribute] | None, der.Implicit(2)]


# --- RecipientInfo, a CHOICE: RFC 5652 section 6.2, RFC 9629 section 3


@der.sequence
class KeyTransportRecipientInfo:
    version: int
    recipient: der.TLV
    algorithm: der.TLV
    encrypted_key: bytes


@der.sequence
class RecipientEncryptedKey:
    recipient: der.TLV
    encrypted_key: bytes


@der.sequence
class KeyAgreementRecipientInfo:
    version: int
    originator: Annotated[der.TLV, der.Explicit(0)]
    user_keying_material: Annotated[bytes | None, der.Explicit(1)]
    algorithm: der.TLV
    keys: list[RecipientEncryptedKey]


@der.sequence
class KekRecipientInfo:
    version: int
    identifier: der.TLV
    algorithm: der.TLV
    encrypted_key: bytes


@der.sequence
class OtherRecipientInfo:
    type: der.ObjectIdentifier
    value: der.TLV


@der.sequence
class KemRecipientInfo:
    version: int
    recipient: der.TLV
    kem: der.TLV
    ciphertext: bytes
    derivation: der.TLV
    key_size: int
    user_keying_material: Annotated[bytes | None, der.Explicit(0)]
    wrap: der.TLV
    encrypted_key: bytes


RECIPIENT_INFOS: dict[int, type] = {
    0x30: KeyTransportRecipientInfo,
    0xA1: KeyAgreementRecipientInfo,
    0xA2: KekRecipientInfo,
    0xA4: OtherRecipientInfo,
}
"""By first octet; [3], with its optional AlgorithmIdentifier in front, is beyond the declarative layer."""


# --- CompressedData, RFC 3274 section 1.1


@der.sequence
class CompressedData:
    version: int
    algorithm: der.TLV
    encapsulated: EncapsulatedContentInfo


def content_of(type_: type[T], data: bytes) -> T:
    """Read a ContentInfo and what is in it; both must be written again as they were read."""
    outer = der.decode(ContentInfo, data, expected="a ContentInfo")
    assert der.encode(outer) == data
    return read(type_, octets(outer.content))


def read(type_: type[T], data: bytes, *, tag: int = 0x30) -> T:
    """Read a SEQUENCE that stands there under another `tag`; it must be written again as it was read."""
    assert data[0] == tag
    sequence = b"\x30" + data[1:]
    value = der.decode(type_, sequence, expected=type_.__name__)
    assert der.encode(value) == sequence
    return value


def octets(value: der.TLV) -> bytes:
    """The encoding of what was left encoded."""
    return der.encode(value)
