"""Encoded words (RFC 2047): decoding for display, encoding, hostile ones."""

from __future__ import annotations

import email.header
import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smime_engine.mime.encoded_words import decode_words, encode_words


@pytest.mark.parametrize(
    ("encoded", "text"),
    [
        ("plain", "plain"),
        # RFC 2047 section 8
        ("=?ISO-8859-1?Q?a?=", "a"),
        ("=?ISO-8859-1?Q?a?= b", "a b"),
        ("=?ISO-8859-1?Q?a?= =?ISO-8859-1?Q?b?=", "ab"),
        ("=?ISO-8859-1?Q?a?=  \r\n  =?ISO-8859-1?Q?b?=", "ab"),
        ("=?ISO-8859-1?Q?a_b?=", "a b"),
        ("=?ISO-8859-1?Q?a?= =?ISO-8859-2?Q?_b?=", "a b"),
        ("=?US-ASCII*EN?Q?Keith_Moore?= <moore@cs.utk.edu>", "Keith Moore <moore@cs.utk.edu>"),
        # a character cut between two words, as many senders do
        ("=?utf-8?q?Gr=C3?= =?utf-8?q?=BC=C3=9Fe?=", "Grüße"),
        ("=?utf-8?b?R3LD?= =?utf-8?b?vMOfZQ==?=", "Grüße"),
        ("=?utf-8?B?R3LDvMOfZQ?=", "Grüße"),
        ("=?iso-2022-jp?b?GyRCRnxLXBsoQg==?=", "日本"),
        ("=?windows-1252?q?=80?=", "€"),
        ("=?utf-8?q?=ff?=", "ÿ"),
        ("=?nonsense?q?=e9?=", "é"),
        ("=?utf-7?q?+ADw-script+AD4-?=", "+ADw-script+AD4-"),
        ("=?punycode?q?a-b?=", "a-b"),
        ("=?utf-8?q?=zz=4?=", "=zz=4"),
        ("=?utf-8?b?****?=", ""),
        ("=?utf-8?x?a?=", "=?utf-8?x?a?="),
        ("=?utf-8?q?no end", "=?utf-8?q?no end"),
        ("x=?utf-8?q?a?=y", "xay"),
        ("=?utf-8?q?a=0D=0ABcc:_x?=", "a\ufffd\ufffdBcc: x"),
    ],
)
def test_decoding(encoded, text):
    assert decode_words(encoded) == text


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=200))
def test_written_words_are_read_back(text):
    words = encode_words(text)
    if not text.isascii():
        assert all(len(word) <= 75 and word.isascii() for word in words)
        assert decode_words(" ".join(words)) == re.sub(r"[\x00-\x08\n-\x1f\x7f]", "\ufffd", text)
        theirs = email.header.decode_header("\r\n ".join(words))
        assert "".join(part.decode(charset or "ascii") for part, charset in theirs) == text


@given(
    st.lists(
        st.sampled_from(["=?", "utf-8", "?q?", "?b?", "?=", "=C3", "=A9", " ", "YQ==", "*", "é", "?", "="]), max_size=15
    )
)
def test_never_fails(pieces):
    decode_words("".join(pieces))


@pytest.mark.parametrize("unit", ["=?", "?", "=?a?q?", "=?utf-8?q?a?= ", "=?utf-8?q?a?=", "=?utf-8?b?YQ==?= x ", " "])
def test_time_is_linear(unit):
    def seconds(count):
        start = time.perf_counter()
        decode_words("=?" + unit * count)
        return time.perf_counter() - start

    small = 20_000 // len(unit)
    assert seconds(8 * small) < 40 * seconds(small) + 0.3
