"""ContentInfo: the outermost shell of every CMS object, and which object it holds.

Does: tell the content type of DER or BER without reading the content; put a shell around a bare content. Does not:
read any content.

Standards: RFC 5652 section 3.
"""

from __future__ import annotations

from smime_engine.asn1 import ber, oids
from smime_engine.errors import MalformedMessage

__all__ = ["content_type_of", "with_content_info"]


_KNOWN = {
    oid.tlv: oid
    for oid in (
        oids.ID_SIGNED_DATA,
        oids.ID_ENVELOPED_DATA,
        oids.ID_ENCRYPTED_DATA,
        oids.ID_CT_COMPRESSED_DATA,
        oids.ID_CT_AUTH_ENVELOPED_DATA,
    )
}
"""Encodings of 11 octets (PKCS #7's types) and of 13 (those of RFC 3274 and RFC 5083)."""


def content_type_of(data: bytes) -> str:
    """Dotted content type of a ContentInfo, DER or BER. Raises MalformedMessage when it is none."""
    if data[:1] != b"\x30" or len(data) < 4:
        raise MalformedMessage("a ContentInfo (SEQUENCE)", offset=0)
    # Indefinite or definite, short or long: the identifier stands right behind the length octets.
    length = data[1]
    start = 2 if length <= 0x80 else 2 + (length & 0x7F)
    known = _KNOWN.get(data[start : start + 11]) or _KNOWN.get(data[start : start + 13])
    if known is not None:
        return known
    if data[start : start + 1] != b"\x06":
        raise MalformedMessage("a content type (OBJECT IDENTIFIER)", offset=start)
    _, first, last = ber.read_header(data, start, len(data))
    return oids.decode_oid(data[first:last], offset=first)


def with_content_info(content_type: str, content: bytes) -> bytes:
    """The ContentInfo around a content that stands bare inside another CMS object (RFC 5652 section 5.2)."""
    return ber.encode(0x30, oids.named(content_type).tlv, ber.encode(0xA0, content))
