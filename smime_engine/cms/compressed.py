"""CompressedData: a content made smaller with zlib; neither signed nor encrypted.

Reads and makes it. A few kilobytes can stand for gigabytes, so that the output is limited while it grows: in octets
(`limits.decompressed_size`) and in relation to the input (`limits.compression_ratio`).

Standards: RFC 3274, RFC 1950 (zlib), RFC 8551 section 3.6.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import NamedTuple

from smime_engine.asn1 import ber, oids
from smime_engine.cms.encrypted_content import structure_in
from smime_engine.crypto.digests import split_identifier
from smime_engine.errors import LimitExceeded, MalformedMessage, UnsupportedAlgorithm
from smime_engine.limits import DEFAULT_LIMITS, Limits

__all__ = [
    "Compressed",
    "Decompressed",
    "check_algorithm",
    "compress",
    "compressed_pieces",
    "decompress",
    "decompressed_pieces",
    "parse_compressed_data",
]

Octets = bytes | bytearray | memoryview

_ALGORITHM = ber.encode(0x30, oids.ID_ALG_ZLIB_COMPRESS.tlv)
_STEP = 1024 * 1024


class Compressed(NamedTuple):
    """A CompressedData as it stands."""

    algorithm: bytes
    content_type: str
    compressed: memoryview


@dataclass(frozen=True, slots=True, kw_only=True)
class Decompressed:
    """A content that was compressed."""

    content: bytes = field(repr=False)
    content_type: str
    """Dotted type of the content: `oids.ID_DATA` for mail."""

    algorithm: str
    compressed_size: int
    """Octets of the compressed content."""


def parse_compressed_data(data: bytes | memoryview, *, limits: Limits = DEFAULT_LIMITS) -> Compressed:
    """Take apart a ContentInfo with a CompressedData, DER or BER. Raises MalformedMessage, LimitExceeded."""
    if len(data) > limits.message_size:
        raise LimitExceeded("message_size", limits.message_size)
    return ber.der_or_converted(data, partial(_parse, limits=limits), limits)


def decompress(data: bytes | memoryview, *, limits: Limits = DEFAULT_LIMITS) -> Decompressed:
    """Decompress a ContentInfo with a CompressedData, DER or BER.

    Raises MalformedMessage for damaged data, LimitExceeded for too much output, UnsupportedAlgorithm for what is not
    zlib.
    """
    found = parse_compressed_data(data, limits=limits)
    check_algorithm(found.algorithm)
    return Decompressed(
        content=b"".join(decompressed_pieces((found.compressed,), limits=limits)),
        content_type=found.content_type,
        algorithm="zlib",
        compressed_size=len(found.compressed),
    )


def check_algorithm(identifier: bytes) -> None:
    """Refuse what is not zlib, by name. Raises UnsupportedAlgorithm."""
    oid, _ = split_identifier(identifier)
    if oid != oids.ID_ALG_ZLIB_COMPRESS:
        raise UnsupportedAlgorithm(oids.name_of(oid), purpose="compression")


def decompressed_pieces(compressed: Iterable[Octets], *, limits: Limits = DEFAULT_LIMITS) -> Iterator[bytes]:
    """Decompress zlib data that comes in pieces, in bounded memory; see `decompress` for what is raised."""
    decompressor = zlib.decompressobj()
    taken = given = 0
    for piece in compressed:
        taken += len(piece)
        left: Octets = piece
        while left and not decompressor.eof:
            try:
                output = decompressor.decompress(left, _STEP)
            except zlib.error:
                raise MalformedMessage("zlib data") from None
            given += len(output)
            if given > limits.decompressed_size:
                raise LimitExceeded("decompressed_size", limits.decompressed_size)
            if given > limits.compression_ratio * max(taken, 64):  # the first octets of a stream say nothing yet
                raise LimitExceeded("compression_ratio", limits.compression_ratio)
            yield output
            left = decompressor.unconsumed_tail
        if decompressor.unused_data or (left and decompressor.eof):
            raise MalformedMessage("the end of the zlib data")
    if not decompressor.eof:
        raise MalformedMessage("complete zlib data")


def compress(content: Octets, *, content_type: oids.Oid = oids.ID_DATA, level: int = -1) -> bytes:
    """Compress -> DER ContentInfo. `level` is zlib's, -1 to 9."""
    compressed = ber.encode(0x04, zlib.compress(content, level))
    info = ber.encode(0x30, content_type.tlv, ber.encode(0xA0, compressed))
    structure = ber.encode(0x30, b"\x02\x01\x00", _ALGORITHM, info)
    return ber.encode(0x30, oids.ID_CT_COMPRESSED_DATA.tlv, ber.encode(0xA0, structure))


def compressed_pieces(
    content: Iterable[Octets], *, content_type: oids.Oid = oids.ID_DATA, level: int = -1
) -> Iterator[bytes]:
    """Compress a content that comes in pieces, in bounded memory -> BER ContentInfo, in pieces."""
    compressor = zlib.compressobj(level)
    yield b"".join((b"\x30\x80", oids.ID_CT_COMPRESSED_DATA.tlv, b"\xa0\x80\x30\x80\x02\x01\x00", _ALGORITHM))
    yield b"\x30\x80" + content_type.tlv + b"\xa0\x80\x24\x80"
    for piece in content:
        segment = compressor.compress(piece)
        if segment:
            yield ber.encode(0x04, segment)
    yield ber.encode(0x04, compressor.flush()) + 6 * b"\0\0"


def _parse(data: bytes | memoryview, *, limits: Limits) -> Compressed:
    fields = structure_in(data, oids.ID_CT_COMPRESSED_DATA, limits, expected="a CompressedData")
    if [field[0] for field in fields] != [0x02, 0x30, 0x30]:
        raise MalformedMessage("the fields of a CompressedData", offset=0)
    _, start, _, end = fields[1]
    algorithm = bytes(data[start:end])
    _, _, start, end = fields[2]
    inner = ber.children(data, start, end)
    if [field[0] for field in inner] != [0x06, 0xA0]:
        raise MalformedMessage("content type and compressed content", offset=start)
    _, _, type_start, type_end = inner[0]
    _, _, start, end = inner[1]
    first, last = ber.content(data, start, end, 0x04, expected="an OCTET STRING with the compressed content")
    if last != end:
        raise MalformedMessage("the end of the compressed content", offset=last)
    return Compressed(algorithm, oids.decode_oid(data[type_start:type_end]), memoryview(data)[first:last])
