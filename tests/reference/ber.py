"""BER to DER the plain way: recursive, one function per idea, copies everywhere. No limits, no offsets in errors.

What `smime_engine.asn1.ber.to_der` must give, but for what it refuses.
"""

from __future__ import annotations

STRINGS = {0x24, 0x23, 0x27, 0x2C, *range(0x32, 0x3F)}


def to_der(data: bytes) -> bytes:
    """The one value in `data` as DER. Raises ValueError for anything else."""
    encoded, end = _value(data, 0)
    if end != len(data):
        raise ValueError("octets behind the value")
    return encoded


def header(data: bytes, offset: int) -> tuple[bytes, int | None, int]:
    """(identifier octets, length or None if indefinite, where the content begins)."""
    end = offset + 1
    if data[offset] & 0x1F == 0x1F:
        while data[end] & 0x80:
            end += 1
        end += 1
    tag = data[offset:end]
    first = data[end]
    if first < 0x80:
        return tag, first, end + 1
    if first == 0x80:
        return tag, None, end + 1
    start = end + 1 + first - 0x80
    return tag, int.from_bytes(data[end + 1 : start], "big"), start


def _value(data: bytes, offset: int) -> tuple[bytes, int]:
    tag, length, start = header(data, offset)
    if tag[0] in STRINGS and len(tag) == 1:
        octets, end = _string(data, offset)
        return _encode(bytes([tag[0] & ~0x20]), octets), end
    if not tag[0] & 0x20:
        if length is None or start + length > len(data):
            raise ValueError("a primitive value that does not end")
        return _encode(tag, data[start : start + length]), start + length
    parts, end = [], start
    while not _ends(data, end, start, length):
        part, end = _value(data, end)
        parts.append(part)
    return _encode(tag, b"".join(parts)), end if length is not None else end + 2


def _string(data: bytes, offset: int) -> tuple[bytes, int]:
    """Content octets of a string, whole or in segments (for a BIT STRING with its octet of unused bits)."""
    tag, length, start = header(data, offset)
    if not tag[0] & 0x20:
        assert length is not None
        return data[start : start + length], start + length
    segments, end = [], start
    while not _ends(data, end, start, length):
        segment, end = _string(data, end)
        segments.append(segment)
    if tag[0] == 0x23:
        unused = segments[-1][:1] if segments else b"\0"
        joined = unused + b"".join(segment[1:] for segment in segments)
    else:
        joined = b"".join(segments)
    return joined, end if length is not None else end + 2


def _ends(data: bytes, at: int, start: int, length: int | None) -> bool:
    return data[at : at + 2] == b"\0\0" if length is None else at == start + length


def _encode(tag: bytes, content: bytes) -> bytes:
    size = len(content)
    octets = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return tag + (bytes([size]) if size < 0x80 else bytes([0x80 + len(octets)]) + octets) + content
