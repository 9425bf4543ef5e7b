"""Random ASN.1 values, each with its DER and one of its many BER encodings: the oracle of the BER tests.

Plain and recursive on purpose: nothing of the engine is used here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from hypothesis import strategies as st

STRING_TAGS = (0x03, 0x04, 0x0C, 0x13, 0x14, 0x16, 0x17, 0x18, 0x1A, 0x1E)
PRIMITIVE_TAGS = (0x01, 0x02, 0x05, 0x06, 0x0A, 0x80, 0x81, 0x9F1F, 0x9F8148, 0x5F7F)
CONSTRUCTED_TAGS = (0x30, 0x31, 0xA0, 0xA1, 0xA3, 0x28, 0xBF1F, 0xBF8148, 0x7F7F)


class Encoded(NamedTuple):
    """One value in both forms."""

    ber: bytes
    der: bytes


def length_octets(length: int, padding: int = 0) -> bytes:
    """A length, minimal or (padding > 0) in the long form with that many needless octets."""
    if length < 0x80 and not padding:
        return bytes([length])
    octets = length.to_bytes(max(1, (length.bit_length() + 7) // 8) + max(0, padding - 1), "big")
    return bytes([0x80 + len(octets)]) + octets


def tag_octets(tag: int) -> bytes:
    """Identifier octets of a tag given as one integer."""
    return tag.to_bytes((tag.bit_length() + 7) // 8, "big")


def der(tag: int, content: bytes) -> bytes:
    """One value with a minimal length."""
    return tag_octets(tag) + length_octets(len(content)) + content


@dataclass
class Style:
    """Draws how one value is written in BER."""

    draw: st.DrawFn

    def primitive(self, tag: int, content: bytes) -> bytes:
        padding = self.draw(st.sampled_from((0, 0, 0, 1, 3)))
        return tag_octets(tag) + length_octets(len(content), padding) + content

    def constructed(self, tag: int, content: bytes) -> bytes:
        if self.draw(st.booleans()):
            return tag_octets(tag) + b"\x80" + content + b"\0\0"
        return self.primitive(tag, content)

    def string(self, tag: int, content: bytes, depth: int = 0) -> bytes:
        """Primitive, or in segments, which may be in segments."""
        if depth > 2 or self.draw(st.booleans()):
            return self.primitive(tag if depth == 0 or tag == 0x03 else 0x04, content)
        outer = 0x20 | (tag if depth == 0 or tag == 0x03 else 0x04)
        pieces = self._bits(content) if tag == 0x03 else self._pieces(content)
        return self.constructed(outer, b"".join(self.string(tag, piece, depth + 1) for piece in pieces))

    def _pieces(self, content: bytes) -> list[bytes]:
        cuts = sorted(self.draw(st.lists(st.integers(0, len(content)), max_size=4)))
        return [content[a:b] for a, b in zip([0, *cuts], [*cuts, len(content)], strict=True)]

    def _bits(self, content: bytes) -> list[bytes]:
        """Segments of a BIT STRING: each has its octet of unused bits, which only the last may use."""
        *whole, last = self._pieces(content[1:])
        if content[0] and not last:  # the last segment must hold the bits that remain
            return [content]
        return [b"\0" + piece for piece in whole if piece] + [content[:1] + last]


@st.composite
def _leaves(draw: st.DrawFn) -> Encoded:
    content = draw(st.binary(max_size=40) | st.sampled_from((b"x" * 127, b"x" * 128, b"x" * 300)))
    style = Style(draw)
    if draw(st.booleans()):
        tag = draw(st.sampled_from(PRIMITIVE_TAGS))
        return Encoded(style.primitive(tag, content), der(tag, content))
    tag = draw(st.sampled_from(STRING_TAGS))
    if tag == 0x03:
        content = bytes([draw(st.integers(0, 7)) if content else 0]) + content
    return Encoded(style.string(tag, content), der(tag, content))


@st.composite
def _branches(draw: st.DrawFn, inner: st.SearchStrategy[Encoded]) -> Encoded:
    parts = draw(st.lists(inner, max_size=5))
    tag = draw(st.sampled_from(CONSTRUCTED_TAGS))
    return Encoded(
        Style(draw).constructed(tag, b"".join(part.ber for part in parts)),
        der(tag, b"".join(part.der for part in parts)),
    )


def encodings() -> st.SearchStrategy[Encoded]:
    """Random values, nested, each in DER and in BER of a random style."""
    return st.recursive(_leaves(), _branches, max_leaves=25)
