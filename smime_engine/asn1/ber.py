"""Turn BER into DER once, and walk it (`tlv.py`, re-exported here).

All that reads structure reads DER. Whatever a peer streamed as BER (RFC 5652 section 2 allows it everywhere but in
signed attributes and certificates) goes through `to_der` first, in linear time and without recursion:

    signed_data = der_or_converted(data, parse)    # parse(data); only if that fails parse(to_der(data))

`to_der` changes how lengths and strings are written, nothing else: indefinite and over-long lengths become minimal,
constructed strings become primitive. It does not sort SETs (signed attributes may have been signed unsorted: see
`encode_set`), does not normalise values (BOOLEAN, times, DEFAULTs) and does not look into OCTET STRINGs.

Standards: X.690 (02/2021) sections 8.1.3.6 and 8.1.5 (indefinite length, end-of-contents), 8.6.4, 8.7.3 and 8.23.3
(constructed strings), 10.1 and 10.2 (what DER allows of it).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from smime_engine.asn1.tlv import (
    Element,
    Octets,
    children,
    content,
    elements,
    encode,
    encode_length,
    encode_set,
    long_tag,
    read_header,
    tag_octets,
)
from smime_engine.errors import LimitExceeded, MalformedMessage
from smime_engine.limits import DEFAULT_LIMITS, Limits

__all__ = [
    "Element",
    "Octets",
    "children",
    "content",
    "der_or_converted",
    "elements",
    "encode",
    "encode_length",
    "encode_set",
    "octets",
    "read_header",
    "to_der",
]

T = TypeVar("T")
OctetsT = TypeVar("OctetsT", bound=Octets)


def octets(data: Octets, tag: int, start: int, end: int, limits: Limits = DEFAULT_LIMITS) -> Octets:
    """Content octets of an OCTET STRING, whatever its tagging, primitive or constructed.

    For a value whose type the caller knows (`tag`, `start`, `end` as in `Element`). The case that needs it:
    EncryptedContentInfo's `[0] IMPLICIT OCTET STRING`, which streaming writers send as 0xA0 around segments; from its
    encoding alone it cannot be told from an EXPLICIT tag, therefore `to_der` leaves it. Primitive content is returned
    as a memoryview of `data`, segments (nested, of definite or indefinite length) are joined once.
    """
    if not _identifier(tag) & 0x20:
        return memoryview(data)[start:end]
    conversion = _Conversion(data, limits)
    conversion.convert_segments(start, end)
    return conversion.joined()


def to_der(
    data: OctetsT, limits: Limits = DEFAULT_LIMITS, *, octet_strings: frozenset[tuple[int, ...]] = frozenset()
) -> OctetsT | bytes:
    """Rewrite one BER value as DER: minimal definite lengths and primitive strings. Linear time, no recursion.

    Returns the very same object when nothing has to change. `octet_strings` are places of IMPLICIT OCTET STRINGs whose
    segments shall be joined on the way (their tag loses its constructed bit): paths of tags from the outermost value to
    the string, both included. Raises MalformedMessage for anything that is not exactly one BER value, LimitExceeded
    for `asn1_depth`, `asn1_elements` and `message_size`.
    """
    if len(data) > limits.message_size:
        raise LimitExceeded("message_size", limits.message_size)
    if not octet_strings and _is_der(data, limits):
        return data
    conversion = _Conversion(data, limits, octet_strings)
    conversion.convert_value()
    joined = conversion.joined()
    return data if joined == data else joined


def der_or_converted(
    data: Octets,
    parse: Callable[[Octets], T],
    limits: Limits = DEFAULT_LIMITS,
    *,
    octet_strings: frozenset[tuple[int, ...]] = frozenset(),
) -> T:
    """Parse as DER; where that fails, convert BER to DER (see `to_der`) and parse again.

    The usual input, DER, pays nothing. Offsets of an error from the second attempt count in the converted value.
    """
    try:
        return parse(data)
    except LimitExceeded:
        raise
    except MalformedMessage:
        converted = to_der(data, limits, octet_strings=octet_strings)
        if converted is data:
            raise
        return parse(converted)


# Constructed string types -> tags that their segments may have (X.690 sections 8.6.4, 8.7.3, 8.23.3). QUIRK: segments
# of character strings are OCTET STRINGs; old encoders repeat the string's own tag, so both are read.
_SEGMENTS = {0x20 | tag: (0x04, tag) for tag in (0x07, 0x0C, *range(0x12, 0x1F))} | {0x24: (0x04,), 0x23: (0x03,)}
_NO_SEGMENTS: tuple[int, ...] = ()
_WORTH_A_VIEW = 256  # a memoryview costs about 200 bytes: shorter spans are copied


class _Frame:
    """One constructed value that is being converted."""

    __slots__ = ("indefinite", "limit", "path", "segments", "slot", "string", "tag", "unused", "written")

    def __init__(
        self, tag: int, limit: int, *, indefinite: bool, segments: tuple[int, ...], slot: int, written: int
    ) -> None:
        self.tag = tag
        self.limit = limit  # offset that the content must not pass; its end, where the length is definite
        self.indefinite = indefinite
        self.segments = segments  # tags of the segments, where this is a string
        self.string: _Frame | None = None  # the outermost string, where this is a string inside a string
        self.slot = slot  # where in the output the header goes, once the length is known
        self.written = written  # output length before the content
        self.unused = 0  # unused bits of the last segment of a BIT STRING
        self.path: tuple[int, ...] = ()


class _Conversion:
    """The state of one conversion: input, output pieces, open constructed values."""

    __slots__ = ("count", "data", "frames", "limits", "output", "paths", "span_end", "span_start", "written")

    def __init__(self, data: Octets, limits: Limits, paths: frozenset[tuple[int, ...]] = frozenset()) -> None:
        self.data = memoryview(data)
        self.limits = limits
        self.paths = paths
        self.output: list[Octets] = []
        self.written = 0  # octets in `output` and in the open span
        self.span_start = self.span_end = 0  # input that is copied as it stands, not yet in `output`
        self.count = 0
        self.frames: list[_Frame] = []

    def joined(self) -> bytes:
        self._end_span()
        return b"".join(self.output)

    def convert_value(self) -> None:
        """Convert the whole input, which must be one value."""
        end = len(self.data)
        offset = self._value(0, end, None)
        if self.frames:
            offset = self._siblings(offset)
        if offset != end:
            raise MalformedMessage("the end of the input", offset=offset)

    def convert_segments(self, start: int, end: int) -> None:
        """Convert the segments of one OCTET STRING, which fill data[start:end], to its content."""
        outermost = _Frame(0x24, end, indefinite=False, segments=(0x04,), slot=-1, written=0)
        outermost.string = outermost
        self.frames.append(outermost)
        self._siblings(start)

    def _siblings(self, offset: int) -> int:
        """Convert until the last open value is closed; return the offset behind it."""
        data = self.data
        frames = self.frames
        while frames:
            frame = frames[-1]
            limit = frame.limit
            if frame.indefinite:
                if offset + 2 <= limit and data[offset] == 0 and data[offset + 1] == 0:
                    offset += 2
                    self._close(frames.pop())
                    continue
            elif offset == limit:
                self._close(frames.pop())
                continue
            behind = self._octet_segments(offset, limit) if frame.segments and frame.segments[0] == 0x04 else offset
            offset = behind if behind != offset else self._value(offset, limit, frame)
        return offset

    def _octet_segments(self, offset: int, limit: int) -> int:
        """Copy the run of segments with two octets of length that begins here; return the offset behind it.

        The hot loop of streamed contents, 150,000 segments of 1,000 octets: the general way takes 2.5 times as long.
        It stops at anything else, which `_value` then judges.
        """
        data, output = self.data, self.output
        self._end_span()
        left = first_left = self.limits.asn1_elements - self.count
        while left > 0 and offset + 4 <= limit and data[offset] == 0x04 and data[offset + 1] == 0x82:
            start = offset + 4
            offset = start + (data[offset + 2] << 8 | data[offset + 3])
            if offset > limit:
                raise MalformedMessage("a segment that ends inside its string", offset=start)
            output.append(data[start:offset])
            self.written += offset - start
            left -= 1
        self.count += first_left - left
        return offset

    def _value(self, offset: int, limit: int, parent: _Frame | None) -> int:
        """Convert a primitive value, or open a constructed one; return the offset where reading goes on."""
        self.count += 1
        if self.count > self.limits.asn1_elements:
            raise LimitExceeded("asn1_elements", self.limits.asn1_elements, offset=offset)
        tag, content_start, content_end, minimal = _ber_header(self.data, offset, limit)
        if self.data[offset] & 0x20:
            self._open(tag, offset, content_end, limit, parent)
            return content_start
        if parent is not None and parent.segments:
            self._segment(tag, offset, content_start, content_end, parent)
        elif minimal:
            self._copy(offset, content_end)
        else:
            self._write(tag_octets(tag) + encode_length(content_end - content_start))
            self._copy(content_start, content_end)
        return content_end

    def _open(self, tag: int, offset: int, content_end: int, limit: int, parent: _Frame | None) -> None:
        if len(self.frames) >= self.limits.asn1_depth:
            raise LimitExceeded("asn1_depth", self.limits.asn1_depth, offset=offset)
        indefinite = content_end < 0
        segments = _SEGMENTS.get(tag, _NO_SEGMENTS)
        frame = _Frame(
            tag, limit if indefinite else content_end, indefinite=indefinite, segments=segments, slot=-1, written=0
        )
        if parent is not None and parent.segments:
            if tag & ~0x20 not in parent.segments:
                raise MalformedMessage(f"a segment of the string, tag 0x{parent.segments[0]:02X}", offset=offset)
            frame.string = parent.string or parent
            frame.segments = parent.segments
        else:
            if self.paths:
                frame.path = (*parent.path, tag) if parent is not None else (tag,)
                if frame.path in self.paths:
                    frame.segments = (0x04,)
            self._write(b"")  # the header's place
            frame.slot = len(self.output) - 1
            frame.written = self.written
        self.frames.append(frame)

    def _close(self, frame: _Frame) -> None:
        if frame.string is not None:
            return
        tag = frame.tag
        length = self.written - frame.written
        unused = b""
        if frame.segments:
            tag = _as_primitive(tag)
            if frame.segments[0] == 0x03:
                unused = bytes((frame.unused,))
        header = tag_octets(tag) + encode_length(length + len(unused)) + unused
        self.output[frame.slot] = header
        self.written += len(header)

    def _segment(self, tag: int, offset: int, start: int, end: int, parent: _Frame) -> None:
        if tag not in parent.segments:
            raise MalformedMessage(f"a segment of the string, tag 0x{parent.segments[0]:02X}", offset=offset)
        if tag == 0x03:
            string = parent.string or parent
            unused = self.data[start] if start < end else 8
            if unused > 7 or string.unused or (unused and end - start == 1):
                raise MalformedMessage("whole octets in all segments but the last of a BIT STRING", offset=start)
            string.unused = unused
            start += 1
        self._copy(start, end)

    def _copy(self, start: int, end: int) -> None:
        """Copy input[start:end]; neighbours in the input become one piece of output."""
        if start != self.span_end:
            self._end_span()
            self.span_start = start
        self.span_end = end
        self.written += end - start

    def _write(self, piece: bytes) -> None:
        self._end_span()
        self.output.append(piece)
        self.written += len(piece)

    def _end_span(self) -> None:
        start, end = self.span_start, self.span_end
        if start != end:
            piece = self.data[start:end]
            self.output.append(piece if end - start > _WORTH_A_VIEW else bytes(piece))
            self.span_start = end


def _is_der(data: Octets, limits: Limits) -> bool:
    """Whether `to_der` has nothing to do. False for malformed input too: the conversion then says what is wrong."""
    offset, end = 0, len(data)
    ends: list[int] = []
    for _ in range(limits.asn1_elements):
        content_start = offset + 2
        if content_start > end:
            return False
        tag, length = data[offset], data[offset + 1]
        if length >= 0x80 or tag & 0x1F == 0x1F:
            try:
                _, content_start, content_end = read_header(data, offset, end)
            except MalformedMessage:
                return False
        else:
            content_end = content_start + length
        if content_end > end or tag in _NEVER_DER:
            return False
        if tag & 0x20:
            if len(ends) >= limits.asn1_depth:
                return False
            ends.append(end)
            offset, end = content_start, content_end
        else:
            offset = content_end
        while ends and offset == end:
            end = ends.pop()
        if not ends:
            return offset == end
    return False


_NEVER_DER = frozenset(_SEGMENTS) | {0x00, 0x20}


def _ber_header(data: memoryview, offset: int, end: int) -> tuple[int, int, int, bool]:
    """Read any BER header -> (tag, content_start, content_end, whether it is DER). content_end is -1 if indefinite."""
    if offset + 2 > end:
        raise MalformedMessage("an identifier and a length", offset=offset)
    tag = data[offset]
    content_start = offset + 1
    if tag & 0x1F == 0x1F:
        tag, content_start = long_tag(data, offset, end)
        if content_start >= end:
            raise MalformedMessage("a length", offset=content_start)
    elif not tag & 0xDF:
        raise MalformedMessage("a value, not end-of-contents octets", offset=offset)
    length = data[content_start]
    content_start += 1
    minimal = True
    if length >= 0x80:
        size = length - 0x80
        first = content_start
        if not size:
            if not data[offset] & 0x20:
                raise MalformedMessage("a definite length of a primitive value", offset=first - 1)
            return tag, content_start, -1, False
        content_start += size
        if content_start > end or size == 0x7F:
            raise MalformedMessage("a length inside the enclosing value", offset=first - 1)
        length = int.from_bytes(data[first:content_start], "big")
        minimal = length >= 0x80 and data[first] != 0
    content_end = content_start + length
    if content_end > end:
        raise MalformedMessage("a value that ends inside the enclosing one", offset=content_start)
    return tag, content_start, content_end, minimal


def _identifier(tag: int) -> int:
    """First identifier octet: class, constructed bit, short number."""
    while tag > 0xFF:
        tag >>= 8
    return tag


def _as_primitive(tag: int) -> int:
    first, *rest = tag_octets(tag)
    return int.from_bytes(bytes((first & 0xDF, *rest)), "big")
