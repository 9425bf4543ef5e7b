"""Values of attributes: times, ESS, time stamps, countersignatures. Allowed: MalformedMessage."""

from __future__ import annotations

import contextlib
from datetime import UTC, datetime

from smime_engine.asn1 import ber, oids
from smime_engine.cms.attributes import decode_time, encode_time, parse_attributes
from smime_engine.cms.ess import (
    ReceiptRequest,
    SecurityLabel,
    decode_content_hint,
    decode_equivalent_labels,
    decode_list_history,
    decode_receipt_request,
    decode_security_label,
    encode_receipt_request,
    encode_security_label,
)
from smime_engine.cms.signed import SignerInfo
from smime_engine.cms.timestamp import timestamp_token, verify_timestamp
from smime_engine.cms.unsigned import countersignatures
from smime_engine.errors import MalformedMessage

_NOW = datetime(2026, 1, 1, tzinfo=UTC)
_READERS = (
    decode_time,
    decode_receipt_request,
    decode_security_label,
    decode_equivalent_labels,
    decode_list_history,
    decode_content_hint,
    timestamp_token,
)


def fuzz(data: bytes) -> None:
    """Every reader of a value takes any octets."""
    for read in _READERS:
        with contextlib.suppress(MalformedMessage):
            read(data)
    with contextlib.suppress(MalformedMessage):
        parse_attributes(data, 0, len(data))
    with contextlib.suppress(MalformedMessage):
        countersignatures(SignerInfo(1, b"", None, b"", None, b"", b"", data))
    assert verify_timestamp(b"signature", data).findings


def seeds() -> list[bytes]:
    """One value of every kind."""
    request = ReceiptRequest(b"4711", ("alice@example.org",), ("bob@example.org",))
    label = encode_security_label(SecurityLabel("1.2.3.4", 3, "for few", (("1.2.3.9", b"\x05\x00"),)))
    history = ber.encode(0x30, ber.encode(0x30, b"\x04\x01\x07", b"\x18\x0f20260101000000Z", b"\x80\x00"))
    info = ber.encode(0x30, b"\x02\x01\x01\x30\x00\x30\x00\x30\x00\x04\x00")
    attribute = ber.encode(0x30, oids.ID_COUNTERSIGNATURE.tlv, ber.encode(0x31, info))
    return [
        encode_time(_NOW),
        encode_time(_NOW.replace(year=2051)),
        encode_receipt_request(request),
        label,
        ber.encode(0x30, label, label),
        history,
        ber.encode(0x30, b"\x0c\x01x", oids.ID_DATA.tlv),
        attribute,
        ber.encode(0xA1, attribute),
        ber.encode(0x30, b"\x30\x03\x02\x01\x00", ber.encode(0x30, oids.ID_SIGNED_DATA.tlv, b"\xa0\x02\x30\x00")),
    ]
