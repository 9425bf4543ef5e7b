"""Read BER that comes in pieces: headers and small values in memory, contents of any size passed on as they come.

    reader = StreamReader(chunks)
    reader.enter(0x30, expected="a ContentInfo")
    oid = reader.value(limit)

Does no I/O: `chunks` is any iterable of octets. Memory is bounded by the largest chunk and by the limits given for
single values; time is linear. A parser built on this raises MalformedMessage (LimitExceeded is one) for every fault.

Standards: X.690 sections 8.1.3 (lengths), 8.1.5 (end-of-contents), 8.7.3 (segments of an OCTET STRING).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from smime_engine.asn1 import ber
from smime_engine.errors import LimitExceeded, MalformedMessage
from smime_engine.limits import DEFAULT_LIMITS, Limits

__all__ = ["StreamReader"]

Octets = bytes | bytearray | memoryview

_END_OF_CONTENTS = b"\0\0"
_LONGEST_HEADER = 10  # identifier and length of what S/MIME has: tags of one octet, lengths of 8
_PIECE = 256 * 1024  # a larger chunk of the source is passed on in pieces of this size


class StreamReader:
    """A cursor on BER that is not in memory. Values are entered and left; inside, values are read in their order."""

    def __init__(self, chunks: Iterable[Octets], *, limits: Limits = DEFAULT_LIMITS) -> None:
        self._chunks = iter(chunks)
        self._buffer = memoryview(b"")
        self._position = 0
        self._ends: list[int | None] = []  # of the values that are open; None: indefinite length
        self._limits = limits

    @property
    def position(self) -> int:
        """Octets read so far."""
        return self._position

    def enter(self, tag: int, *, expected: str) -> None:
        """Enter a constructed value that must have this tag."""
        found, length = self._header()
        if found != tag:
            raise MalformedMessage(expected, offset=self._position)
        self._open(length)

    def leave(self) -> None:
        """Leave the innermost open value, which must be at its end."""
        if not self.at_end():
            raise MalformedMessage("the end of the value", offset=self._position)
        if self._ends.pop() is None:
            self._take(2)

    def at_end(self) -> bool:
        """Whether the innermost open value (without one: the input) is at its end."""
        if not self._ends:
            return not self._peek(1)
        end = self._ends[-1]
        return self._peek(2) == _END_OF_CONTENTS if end is None else self._position == end

    def next_tag(self) -> int:
        """Tag of the next value; 0 at the end."""
        return 0 if self.at_end() or not (octet := self._peek(1)) else octet[0]

    def value(self, limit: int) -> bytes:
        """Read the whole next value, of at most `limit` octets -> its DER."""
        octets = self._raw_value(limit)
        return bytes(ber.to_der(octets, self._limits))

    def octets(self, primitive: int, *, expected: str) -> Iterator[memoryview]:
        """Pass on the content of an OCTET STRING with the tag `primitive`, or the same tag constructed of segments."""
        tag, length = self._header()
        if tag == primitive and length is not None:
            yield from self._pieces(length)
            return
        if tag != primitive | 0x20:
            raise MalformedMessage(expected, offset=self._position)
        depth = len(self._ends)
        self._open(length)
        while len(self._ends) > depth:
            if self.at_end():
                self.leave()
                continue
            tag, length = self._header()
            if tag == 0x24:
                self._open(length)
            elif tag == 0x04 and length is not None:
                yield from self._pieces(length)
            else:
                raise MalformedMessage("a segment of the OCTET STRING", offset=self._position)

    # ------------------------------------------------------------------------------------------------------- the octets

    def _open(self, length: int | None) -> None:
        if len(self._ends) >= self._limits.asn1_depth:
            raise LimitExceeded("asn1_depth", self._limits.asn1_depth, offset=self._position)
        self._ends.append(None if length is None else self._position + length)

    def _header(self) -> tuple[int, int | None]:
        """Read identifier and length (None: indefinite), which must fit into the enclosing value."""
        start = self._peek(_LONGEST_HEADER)
        if len(start) < 2 or start[0] & 0x1F == 0x1F or not start[0]:
            raise MalformedMessage("an identifier and a length", offset=self._position)
        size = start[1] - 0x80
        if size < 0:
            length, header = start[1], 2
        elif size == 0:
            if not start[0] & 0x20:
                raise MalformedMessage("a definite length of a primitive value", offset=self._position)
            self._take(2)
            return start[0], None
        else:
            header = 2 + size
            length = int.from_bytes(start[2:header], "big")
        if header > len(start):
            raise MalformedMessage("a length of at most 8 octets", offset=self._position)
        end = next((end for end in reversed(self._ends) if end is not None), None)
        if end is not None and self._position + header + length > end:
            raise MalformedMessage("a value that ends inside the enclosing one", offset=self._position)
        self._take(header)
        return start[0], length

    def _raw_value(self, limit: int) -> bytes:
        """The octets of the next value, header included."""
        found = bytearray()
        depth = len(self._ends)
        for _ in range(self._limits.asn1_elements):
            before = self._peek(_LONGEST_HEADER)
            position = self._position
            if len(self._ends) > depth and self.at_end():
                if self._ends[-1] is None:
                    found += _END_OF_CONTENTS
                self.leave()
            else:
                tag, length = self._header()
                found += before[: self._position - position]
                if tag & 0x20 and length is None:
                    self._open(None)
                else:
                    if len(found) + (length or 0) > limit:
                        raise LimitExceeded("envelope_head", limit, offset=position)
                    found += self._take(length or 0)
            if len(found) > limit:
                raise LimitExceeded("envelope_head", limit, offset=position)
            if len(self._ends) == depth:
                return bytes(found)
        raise LimitExceeded("asn1_elements", self._limits.asn1_elements, offset=self._position)

    def _pieces(self, length: int) -> Iterator[memoryview]:
        while length:
            if not self._buffer and not self._fill():
                raise MalformedMessage(f"{length:,} octets more", offset=self._position)
            size = min(length, len(self._buffer), _PIECE)
            piece, self._buffer = self._buffer[:size], self._buffer[size:]
            self._position += size
            length -= size
            yield piece

    def _fill(self) -> bool:
        """Take the next chunk that is not empty; False at the end."""
        for chunk in self._chunks:
            if chunk:
                self._buffer = memoryview(bytes(self._buffer) + chunk if self._buffer else chunk)
                return True
        return False

    def _peek(self, size: int) -> bytes:
        """The next octets, fewer at the end of the input."""
        while len(self._buffer) < size and self._fill():
            pass
        return bytes(self._buffer[:size])

    def _take(self, size: int) -> bytes:
        if len(self._buffer) >= size:
            taken, self._buffer = bytes(self._buffer[:size]), self._buffer[size:]
            self._position += size
            return taken
        return b"".join(self._pieces(size))
