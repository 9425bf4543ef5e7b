"""The plain way to split a SET OF Attribute: one `ber.children` for each list. `cms.attributes` must find the same."""

from __future__ import annotations

from smime_engine.asn1 import ber
from smime_engine.errors import MalformedMessage


def parse_attributes(data: bytes, start: int, end: int) -> tuple[list[tuple[bytes, tuple[bytes, ...]]], bool]:
    entries = []
    encodings = []
    for tag, offset, content_start, content_end in ber.children(data, start, end):
        if tag != 0x30:
            raise MalformedMessage("an attribute (SEQUENCE)", offset=offset)
        fields = ber.children(data, content_start, content_end)
        if [field[0] for field in fields] != [0x06, 0x31] or fields[0][2] == fields[0][3]:
            raise MalformedMessage("an attribute type and a SET of values", offset=content_start)
        (_, type_start, _, type_end), (_, _, values_start, values_end) = fields
        entries.append((data[type_start:type_end], tuple(ber.elements(data, values_start, values_end))))
        encodings.append(data[offset:content_end])
    return entries, encodings == sorted(encodings)
