"""Walk DER by offsets and write it: identifiers, lengths, lists of siblings.

Hot file. Goal: the outer layers of a SignedData are walked in a few microseconds. Plan: plain integer offsets into the
input, one function call per list of siblings, tuples instead of objects, no copies. What peers streamed as BER is
turned into DER first: see `ber.py`, which re-exports everything here.

Standards: X.690 (02/2021) sections 8.1.2 and 8.1.3 (tags, lengths), 10.1 (DER lengths), 11.6 (order of a SET OF).
"""

from __future__ import annotations

from collections.abc import Iterable

from smime_engine.errors import LimitExceeded, MalformedMessage
from smime_engine.limits import DEFAULT_LIMITS, Limits

__all__ = [
    "Element",
    "Octets",
    "children",
    "content",
    "elements",
    "encode",
    "encode_length",
    "encode_set",
    "long_tag",
    "read_header",
    "tag_octets",
]

Octets = bytes | memoryview

Element = tuple[int, int, int, int]
"""(tag, start, content_start, content_end): offsets into the data that was walked.

`tag` is the identifier as written: one octet (0x30 SEQUENCE, 0xA0 [0] constructed …), or, for tag numbers above 30, all
its octets as one big-endian integer (0xBF1F is [31] constructed).
"""

_LONGEST_TAG = 5  # identifier octets: 28 bits of tag number, far above anything registered


def read_header(data: Octets, offset: int, end: int) -> tuple[int, int, int]:
    """Read the identifier and the length at `offset` -> (tag, content_start, content_end), as DER.

    Nothing at or after `end` is read or allowed. Raises MalformedMessage for anything that is not DER: an indefinite
    length, a length longer than needed, a value that ends behind `end`.
    """
    content_start = offset + 2
    if content_start > end:
        raise MalformedMessage("an identifier and a length", offset=offset)
    tag = data[offset]
    length = data[offset + 1]
    if length >= 0x80 or tag & 0x1F == 0x1F:
        # Two octets of length, as the outer layers of a message have them, are worth a path of their own: -35 %.
        if length != 0x82 or tag & 0x1F == 0x1F or offset + 4 > end or not data[content_start]:
            return _long_header(data, offset, end)
        length = data[content_start] << 8 | data[content_start + 1]
        content_start += 2
    content_end = content_start + length
    if content_end > end:
        raise MalformedMessage("a value that ends inside the enclosing one", offset=content_start)
    return tag, content_start, content_end


def _long_header(data: Octets, offset: int, end: int) -> tuple[int, int, int]:
    tag, content_start = long_tag(data, offset, end) if data[offset] & 0x1F == 0x1F else (data[offset], offset + 1)
    if content_start >= end:
        raise MalformedMessage("a length", offset=content_start)
    length = data[content_start]
    content_start += 1
    if length >= 0x80:
        first = content_start
        content_start += length - 0x80
        if content_start > end:
            raise MalformedMessage("a length inside the enclosing value", offset=first - 1)
        length = int.from_bytes(data[first:content_start], "big")
        if length < 0x80 or data[first] == 0:
            raise MalformedMessage("a definite length in as few octets as possible (DER)", offset=first - 1)
    content_end = content_start + length
    if content_end > end:
        raise MalformedMessage("a value that ends inside the enclosing one", offset=content_start)
    return tag, content_start, content_end


def content(data: Octets, offset: int, end: int, tag: int, *, expected: str) -> tuple[int, int]:
    """Read a header that must have this `tag` -> (content_start, content_end); `expected` is the error's text."""
    found, content_start, content_end = read_header(data, offset, end)
    if found != tag:
        raise MalformedMessage(expected, offset=offset)
    return content_start, content_end


def children(data: Octets, start: int, end: int, limits: Limits = DEFAULT_LIMITS) -> list[Element]:
    """List the values that stand one after the other in data[start:end], which they must fill exactly. One level, DER.

    Raises MalformedMessage as `read_header` does, LimitExceeded for more than `limits.asn1_elements`.
    """
    if end - start > 2 * limits.asn1_elements:  # else there cannot be too many: each takes two octets
        _count(data, start, end, limits.asn1_elements)
    found: list[Element] = []
    offset = start
    try:
        while offset < end:
            tag = data[offset]
            length = data[offset + 1]
            if length < 0x80 and tag & 0x1F != 0x1F:
                content_start = offset + 2
                content_end = content_start + length
            else:
                tag, content_start, content_end = read_header(data, offset, end)
            found.append((tag, offset, content_start, content_end))
            offset = content_end
    except IndexError:
        raise MalformedMessage("an identifier and a length", offset=offset) from None
    if offset != end and found:  # only the last value can have gone too far, since the loop ends there
        read_header(data, found[-1][1], end)
    return found


def _count(data: Octets, offset: int, end: int, allowed: int) -> None:
    for _ in range(allowed):
        _, _, offset = read_header(data, offset, end)
        if offset == end:
            return
    raise LimitExceeded("asn1_elements", allowed, offset=offset)


def elements(data: Octets, start: int, end: int, limits: Limits = DEFAULT_LIMITS) -> list[bytes]:
    """Split data[start:end] into the complete encodings of its values, in their order (for a SET OF, sorted or not)."""
    return [bytes(data[first:last]) for _, first, _, last in children(data, start, end, limits)]


def encode_length(length: int) -> bytes:
    """Encode a length in as few octets as possible (X.690 section 10.1)."""
    if length < 0x80:
        return bytes((length,))
    size = (length.bit_length() + 7) >> 3
    return bytes((0x80 | size,)) + length.to_bytes(size, "big")


def encode(tag: int, *parts: Octets) -> bytes:
    """Encode one value; its content is the parts, joined. `tag` as in `Element`."""
    length = sum(map(len, parts))
    if length < 0x80 and tag < 0x100:
        return b"".join((bytes((tag, length)), *parts))
    return b"".join((tag_octets(tag), encode_length(length), *parts))


def encode_set(tag: int, encodings: Iterable[bytes]) -> bytes:
    """Encode a SET OF from complete encodings of its elements, in DER order, in O(n log n).

    Octet-wise order is the order of X.690 section 11.6: no encoding is a prefix of a different one, so that the
    padding with zeros, which that section asks for, never decides.
    """
    return encode(tag, *sorted(encodings))


def long_tag(data: Octets, offset: int, end: int) -> tuple[int, int]:
    """Read identifier octets of a tag number above 30 -> (tag, offset behind them) (X.690 section 8.1.2.4)."""
    position = offset + 1
    last = min(end, offset + _LONGEST_TAG)
    while position < last and data[position] & 0x80:
        position += 1
    if position >= last:
        raise MalformedMessage(f"an identifier of at most {_LONGEST_TAG} octets", offset=offset)
    if data[offset + 1] == 0x80 or data[offset + 1] < 0x1F:
        raise MalformedMessage("a tag number in as few octets as possible", offset=offset)
    return int.from_bytes(data[offset : position + 1], "big"), position + 1


def tag_octets(tag: int) -> bytes:
    """Identifier octets of a `tag` as in `Element`."""
    return tag.to_bytes((tag.bit_length() + 7) >> 3 or 1, "big")
