"""CompressedData: round trips, and bombs that go off in the air."""

from __future__ import annotations

import tracemalloc
import zlib

import pytest
from asn1crypto import cms as independent
from hypothesis import given
from hypothesis import strategies as st

from smime_engine.asn1 import ber, oids
from smime_engine.cms.compressed import compress, compressed_pieces, decompress
from smime_engine.cms.opening_stream import decompress_stream
from smime_engine.errors import LimitExceeded, MalformedMessage, UnsupportedAlgorithm
from smime_engine.limits import Limits


def _around(compressed: bytes, oid: oids.Oid = oids.ID_ALG_ZLIB_COMPRESS) -> bytes:
    info = ber.encode(0x30, oids.ID_DATA.tlv, ber.encode(0xA0, ber.encode(0x04, compressed)))
    structure = ber.encode(0x30, b"\x02\x01\x00", ber.encode(0x30, oid.tlv), info)
    return ber.encode(0x30, oids.ID_CT_COMPRESSED_DATA.tlv, ber.encode(0xA0, structure))


def _streamed(data: bytes, size: int = 100, limits: Limits | None = None) -> bytes:
    written: list[bytes] = []
    pieces = (data[i : i + size] for i in range(0, len(data), size))
    decompress_stream(pieces, written.append, limits=limits or Limits())
    return b"".join(written)


@given(content=st.binary(max_size=3000), level=st.integers(-1, 9), cut=st.integers(1, 500))
def test_round_trip(content: bytes, level: int, cut: int) -> None:
    whole = compress(content, level=level, content_type=oids.ID_SIGNED_DATA)
    assert independent.ContentInfo.load(compress(content), strict=True)["content"].decompressed == content
    opened = decompress(whole)
    assert (opened.content, opened.content_type, opened.algorithm) == (content, oids.ID_SIGNED_DATA, "zlib")
    assert _streamed(whole) == content
    pieces = [content[i : i + cut] for i in range(0, len(content), cut)]
    segmented = b"".join(compressed_pieces(pieces, content_type=oids.ID_SIGNED_DATA, level=level))
    assert decompress(segmented).content == content
    assert _streamed(segmented, cut) == content


def test_bombs() -> None:
    bomb = compress(bytes(50_000_000), level=9)
    assert len(bomb) < 60_000
    for limits in (Limits(decompressed_size=1_000_000), Limits(compression_ratio=20)):
        tracemalloc.start()
        with pytest.raises(LimitExceeded):
            decompress(bomb, limits=limits)
        with pytest.raises(LimitExceeded):
            _streamed(bomb, limits=limits)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert peak < 20_000_000
    assert len(decompress(bomb).content) == 50_000_000  # zlib itself cannot exceed the usual ratio


@pytest.mark.parametrize(
    "compressed",
    [
        b"",
        b"rubbish",
        zlib.compress(b"content")[:-1],
        zlib.compress(b"content") + b"x",
        zlib.compress(b"content")[:-4] + bytes(4),
        zlib.compress(b"content")[2:-4],
    ],
)
def test_damaged_data(compressed: bytes) -> None:
    with pytest.raises(MalformedMessage):
        decompress(_around(compressed))
    for size in (1, 1000):
        with pytest.raises(MalformedMessage):
            _streamed(_around(compressed), size)


def test_other_algorithms_are_named() -> None:
    for attempt in (decompress, _streamed):
        with pytest.raises(UnsupportedAlgorithm, match=r"1\.2\.3"):
            attempt(_around(b"", oids.named("1.2.3")))


def test_cut_at_every_offset_and_trailing_octets() -> None:
    for whole in (compress(b"content"), b"".join(compressed_pieces([b"con", b"tent"]))):
        assert decompress(whole).content == _streamed(whole) == b"content"
        for end in range(len(whole)):
            for attempt in (decompress, _streamed):
                with pytest.raises(MalformedMessage):
                    attempt(whole[:end])
        for attempt in (decompress, _streamed):
            with pytest.raises(MalformedMessage):
                attempt(whole + b"\0")
