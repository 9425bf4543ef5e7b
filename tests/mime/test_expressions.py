"""Both ways of repeating a group match the same, and all expressions of the MIME layer work on this Python."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smime_engine.mime import expressions
from smime_engine.mime.canonical import is_clean
from smime_engine.mime.fields import FIELD, header_end

BODIES = [rb"ab?c", rb"(?!aX)a.", rb"\n[ \t][^\n]*+", rb"[^\r]{0,7}+(?<![ \t])\r\n(?!From )", rb"[^\"\\]|\\.", FIELD]


@pytest.mark.parametrize("body", BODIES)
@given(data=st.lists(st.sampled_from([*b'abcX\r\n \t:"\\', b"From ", b"ab", b"a: b\n"]), max_size=40))
def test_what_this_python_uses_matches_like_the_atomic_group(body, data):
    text = b"".join(bytes([piece]) if isinstance(piece, int) else piece for piece in data)
    used, atomic = (re.compile(repeat(body)).match(text) for repeat in (expressions.repeated, expressions.atomic))
    assert used is not None
    assert atomic is not None
    assert used.span() == atomic.span()


def test_text_and_octets_are_repeated_alike():
    assert expressions.repeated("a|b").encode() == expressions.repeated(b"a|b")


@pytest.mark.parametrize(
    "text", [b"x\r\n" + b"a" * 100, b"x\r\n" + b"a" * 77 + b"\r\n", b"x\r\nFrom y\r\n", b"x \r\ny"]
)
def test_what_is_not_clean_never_passes(text):
    assert not is_clean(b"Content-Type: text/plain\r\n\r\n" + text)


def test_garbage_ends_a_header():
    data = b"A: b\nfoo bar\nB: c\n"
    assert header_end(data, 0, len(data)) == 5
