"""Transfer encodings: lenient decoding, encoding that no relay touches."""

from __future__ import annotations

import base64
import quopri
import re
import time
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smime_engine.mime.transfer import (
    base64_lines,
    decode_base64,
    decode_quoted_printable,
    encode_base64,
    encode_quoted_printable,
)


@pytest.mark.parametrize(
    ("encoded", "octets"),
    [
        (b"", b""),
        (b"YWJj", b"abc"),
        (b"YWI=", b"ab"),
        (b"YW Jj\r\n\r\nZA==\r\n", b"abcd"),
        (b"YWI", b"ab"),
        (b"YWJjZ", b"abc"),
        (b"Y", b""),
        (b"=", b""),
        (b"====", b""),
        (b"YW!Jj\0\xff", b"abc"),
        (b"YWI=\r\n--\r\nlist footer\r\n", b"ab"),
        (b"YQ==YQ==", b"a"),
        (b"Y=Q=", b""),
        (b"-_", b""),
    ],
)
def test_lenient_base64(encoded, octets):
    assert decode_base64(encoded) == octets
    assert decode_base64(b"YW=" + encoded + b"YWJj", 3, 3 + len(encoded)) == octets


@given(
    st.lists(
        st.sampled_from([b"YWJj", b"=", b"==", b"\r\n", b" ", b"!", b"Y", b"-", b"\xff", b"YWJjZGVm" * 9]), max_size=9
    )
)
def test_lenient_base64_against_its_definition(pieces):
    encoded = b"".join(pieces)
    digits = re.sub(rb"[^A-Za-z0-9+/=]", b"", encoded).partition(b"=")[0]
    digits = digits[: len(digits) - (len(digits) % 4 == 1)]
    assert decode_base64(encoded) == base64.b64decode(digits + b"=" * (-len(digits) % 4))


_BIG = base64.encodebytes(bytes(range(256)) * 900).replace(b"\n", b"\r\n")


@given(
    st.lists(
        st.sampled_from(
            [
                _BIG[: 78 * 900],
                _BIG[: 78 * 841],
                _BIG.replace(b"\r\n", b"\n")[: 77 * 900],
                b"A" * 64 + b"\r\n",
                (b"B" * 64 + b"\r\n") * 1_100,
                (b"C" * 75 + b"\r\n") * 900,
                (b"D" * 74 + b"! \r\n") * 900,
                b"xyz",
                b"=",
                b"\r\n",
                b"\xff",
            ]
        ),
        max_size=5,
    )
)
def test_big_base64_against_its_definition(pieces):
    encoded = b"".join(pieces)
    digits = re.sub(rb"[^A-Za-z0-9+/=]", b"", encoded).partition(b"=")[0]
    digits = digits[: len(digits) - (len(digits) % 4 == 1)]
    assert decode_base64(encoded) == base64.b64decode(digits + b"=" * (-len(digits) % 4))


@given(st.binary(max_size=400))
def test_base64_lines(octets):
    assert encode_base64(octets) == base64.encodebytes(octets).replace(b"\n", b"\r\n")
    assert decode_base64(encode_base64(octets)) == octets


@given(st.lists(st.binary(max_size=150), max_size=6), st.integers(0, 3))
def test_base64_of_pieces_is_base64_of_the_whole(pieces, big):
    if big:
        pieces.insert(len(pieces) // 2, bytes(range(256)) * 300 * big)
    assert b"".join(base64_lines(pieces)) == encode_base64(b"".join(pieces))
    assert b"".join(base64_lines(map(memoryview, pieces))) == encode_base64(b"".join(pieces))


def test_base64_of_a_stream_needs_little_memory():
    tracemalloc.start()
    try:
        for _ in base64_lines(bytes(100_000) for _ in range(100)):
            pass
        assert tracemalloc.get_traced_memory()[1] < 1_000_000
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    ("encoded", "octets"),
    [
        (b"a=3Db", b"a=b"),
        (b"a=3db", b"a=b"),
        (b"soft =\r\nbreak", b"soft break"),
        (b"soft=\nbreak", b"softbreak"),
        (b"padded \t\r\nx ", b"padded\r\nx"),
        (b"soft= \t\r\nbreak", b"softbreak"),
        (b"=C3=BC \xfc", b"\xc3\xbc \xfc"),
        (b"=XY=", b"=XY"),
    ],
)
def test_lenient_quoted_printable(encoded, octets):
    assert decode_quoted_printable(encoded) == octets


@pytest.mark.parametrize(
    ("text", "encoded"),
    [
        (b"plain\r\n", b"plain\r\n"),
        (b"a=b", b"a=3Db"),
        (b"end \r\nend\t", b"end=20\r\nend=09"),
        (b"From me\r\nFrom you\r\n", b"=46rom me\r\n=46rom you\r\n"),
        (b".\r\nx\r\n.\r\n", b"=2E\r\nx\r\n=2E\r\n"),
        (b"bare\rCR\nLF", b"bare=0DCR=0ALF"),
        (b"\0\xfc\x1b", b"=00=FC=1B"),
        (b"x" * 77, b"x" * 75 + b"=\r\nxx"),
        (b"x" * 76, b"x" * 76),
        (b"x" * 73 + b"\xfc" * 2, b"x" * 73 + b"=\r\n=FC=FC"),
        (b"x" * 75 + b"From y", b"x" * 75 + b"=\r\n=46rom y"),
        (b"x" * 75 + b" \r\n", b"x" * 75 + b"=\r\n=20\r\n"),
        (b"x" * 76 + b".", b"x" * 75 + b"=\r\nx."),
    ],
)
def test_quoted_printable(text, encoded):
    assert encode_quoted_printable(text) == encoded


_PIECES = st.lists(
    st.sampled_from(
        [b"x", b"x" * 74, b"=", b" ", b"\t", b"\r\n", b"\n", b"\r", b"From ", b".", b"\xfc", b"\0", b"=\r\n"]
    ),
    max_size=20,
).map(b"".join)


@given(_PIECES)
def test_quoted_printable_is_read_back(text):
    encoded = encode_quoted_printable(text)
    assert decode_quoted_printable(encoded) == text
    assert quopri.decodestring(encoded) == text
    for line in encoded.split(b"\r\n"):
        assert len(line) <= 76
        assert not line.startswith(b"From ")
        assert not line.endswith((b" ", b"\t"))
        assert line != b"."
        assert re.fullmatch(rb"[\t -~]*", line)


@pytest.mark.parametrize("unit", [b"=", b"\xfc", b" ", b"\r", b"\n", b"x", b"From ", b"x" * 75 + b"="])
def test_time_is_linear(unit):
    def seconds(count):
        start = time.perf_counter()
        decode_quoted_printable(unit * count)
        encode_quoted_printable(unit * count)
        decode_base64(unit * count)
        return time.perf_counter() - start

    small = 20_000 // len(unit)
    assert seconds(8 * small) < 40 * seconds(small) + 0.3
