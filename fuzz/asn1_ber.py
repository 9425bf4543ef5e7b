"""BER: `to_der` gives DER or `MalformedMessage`; what it gives is stable, and can be walked to the last leaf."""

from __future__ import annotations

import contextlib

from smime_engine.asn1 import ber, oids
from smime_engine.errors import MalformedMessage


def fuzz(data: bytes) -> None:
    with contextlib.suppress(MalformedMessage):
        ber.octets(data, 0xA0, 0, len(data))
    with contextlib.suppress(MalformedMessage):
        oids.decode_oid(data)
    with contextlib.suppress(MalformedMessage):
        ber.children(data, 0, len(data))
    try:
        converted = ber.to_der(data)
    except MalformedMessage:
        return
    if ber.to_der(converted) is not converted:
        raise AssertionError("the result is not DER")
    if len(converted) > 2 * len(data) + 2:
        raise AssertionError("the result outgrew the input")
    _walk(converted)


def _walk(data: bytes) -> None:
    """Visit every value without recursion."""
    pending = [(0, len(data))]
    while pending:
        for tag, start, content_start, content_end in ber.children(data, *pending.pop()):
            if data[start] & 0x20:
                pending.append((content_start, content_end))
            elif tag == 0x06:
                with contextlib.suppress(MalformedMessage):
                    oids.decode_oid(data[content_start:content_end])


def seeds() -> list[bytes]:
    streamed = _indefinite(0x24, ber.encode(0x04, b"Hello, "), _indefinite(0x24, ber.encode(0x04, b"world")))
    bits = _indefinite(0x23, b"\x03\x02\x00\xff", b"\x03\x02\x04\xf0")
    content = _indefinite(0x30, oids.ID_DATA.tlv, _indefinite(0xA0, streamed))
    signed = _indefinite(
        0x30, b"\x02\x01\x01", b"\x31\x00", content, b"\xa0\x80" + bits + b"\x00\x00", b"\x31\x80\x00\x00"
    )
    return [
        _indefinite(0x30, oids.ID_SIGNED_DATA.tlv, _indefinite(0xA0, signed)),
        ber.to_der(_indefinite(0x30, oids.ID_SIGNED_DATA.tlv, _indefinite(0xA0, signed))),
        b"\x30\x84\x00\x00\x00\x0c\x02\x82\x00\x01\x05\x2c\x05\x04\x01a\x04\x00",
        _indefinite(0xA0, _indefinite(0x24, ber.encode(0x04, b"x" * 300) * 3)),
        b"\xbf\x81\x48\x80\x9f\x1f\x81\x01a\x00\x00",
    ]


def _indefinite(tag: int, *parts: bytes) -> bytes:
    return bytes((tag, 0x80)) + b"".join(parts) + b"\x00\x00"
