"""One object identifier: its dotted form, its DER encoding, its name. The table of all that are known is `oids.py`.

Standards: X.660 (the tree), X.690 section 8.19 (the encoding).
"""

from __future__ import annotations

import re
from typing import Self

from smime_engine.errors import MalformedMessage

__all__ = ["Oid", "decode_oid", "encode_oid"]

_LONGEST_ENCODING = 128  # content octets. Registered identifiers have fewer than 25; ASN.1 itself sets no bound.
_DOTTED = re.compile(r"[012](?:\.(?:0|[1-9][0-9]{0,299})){1,128}", re.ASCII)
_NOT_AN_OID = "not an object identifier: expected numbers joined by dots, such as 1.2.840.113549.1.7.2"


class Oid(str):
    """An object identifier in dotted form, which knows its encoding (`tlv`: tag, length and content) and `name`."""

    __slots__ = ("name", "tlv")
    name: str
    tlv: bytes

    def __new__(cls, dotted: str, name: str) -> Self:
        """Encode `dotted`. Raises ValueError as `encode_oid` does."""
        self = super().__new__(cls, dotted)
        content = encode_oid(dotted)
        self.tlv = bytes((0x06, len(content))) + content
        self.name = name
        return self


def encode_oid(dotted: str) -> bytes:
    """Encode "1.2.840" -> content octets (without tag and length). Raises ValueError for what is no such identifier."""
    if not _DOTTED.fullmatch(dotted):
        raise ValueError(_NOT_AN_OID)
    first, second, *rest = map(int, dotted.split("."))
    content = b"".join(map(_encode_arc, (first * 40 + second, *rest)))
    if (first < 2 and second > 39) or len(content) >= _LONGEST_ENCODING:
        raise ValueError(_NOT_AN_OID)
    return content


def decode_oid(content: bytes | memoryview, *, offset: int = 0) -> str:
    """Decode content octets (without tag and length) -> dotted form.

    Raises MalformedMessage for an empty, cut, padded or absurdly long encoding; `offset` says where `content` begins.
    A long encoding is refused before anything is computed: turning a giant arc into decimal takes quadratic time.
    """
    if not 0 < len(content) < _LONGEST_ENCODING or content[-1] & 0x80:
        raise MalformedMessage("an object identifier", offset=offset)
    arcs: list[int] = []
    value = 0
    for position, octet in enumerate(content):
        if value == 0 and octet == 0x80:
            raise MalformedMessage("an object identifier without padding", offset=offset + position)
        value = value << 7 | octet & 0x7F
        if not octet & 0x80:
            arcs.append(value)
            value = 0
    first = min(arcs[0] // 40, 2)
    return ".".join(map(str, (first, arcs[0] - 40 * first, *arcs[1:])))


def _encode_arc(arc: int) -> bytes:
    octets = [arc & 0x7F]
    while arc := arc >> 7:
        octets.append(0x80 | arc & 0x7F)
    return bytes(reversed(octets))
