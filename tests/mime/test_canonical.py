"""The form to sign: what is clean stays the same object, everything else gets clean and keeps its content."""

from __future__ import annotations

import base64
import contextlib
import email.policy
import re
import time
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smime_engine.errors import LimitExceeded
from smime_engine.mime.canonical import canonical_entity, is_clean, lines_are_clean, with_crlf
from smime_engine.mime.parse import parse_entity
from tests.mime import entities
from tests.reference import canonical as reference

BASE64 = base64.encodebytes(bytes(range(256)) * 600).replace(b"\n", b"\r\n")
TEXT = b"Content-Type: text/plain\r\n\r\n"


@pytest.mark.parametrize(
    ("entity", "clean"),
    [
        (b"", True),
        (b"\r\n", True),
        (TEXT + b"one\r\ntwo", True),
        (TEXT + b"one\r\n\r\ntwo\r\n", True),
        (TEXT + b"x" * 76 + b"\r\n", True),
        (TEXT + b"x" * 77 + b"\r\n", False),
        (TEXT + b"x" * 77, False),
        (TEXT + b"space \r\n", False),
        (TEXT + b"tab\t\r\n", False),
        (TEXT + b"space at the end ", False),
        (TEXT + b"From me\r\n", False),
        (TEXT + b"x\r\nFrom me", False),
        (TEXT + b">From me", True),
        (TEXT + b"From", True),
        (b"From me\r\n", False),
        (TEXT + b"bare\nLF\r\n", False),
        (TEXT + b"bare\rCR\r\n", False),
        (TEXT + b"two\r\r\n", False),
        (TEXT + b"\n\r\n", False),
        (TEXT + b"NUL\0\r\n", False),
        (TEXT + b"8-bit \xfc\r\n", False),
        (TEXT + b"escape \x1b$B\r\n", True),
        (TEXT + BASE64, True),
        (TEXT + BASE64[:-1], False),
        (TEXT + BASE64 + b" ", False),
        (TEXT + BASE64.replace(b"\r\n", b"\n"), False),
        (TEXT + BASE64.replace(b"\r\n", b" \r\n"), False),
        (TEXT + BASE64 + b"\xff" + BASE64, False),
        (TEXT + BASE64 + b"From me\r\n" + BASE64, False),
        (b"Content-Transfer-Encoding: 8bit\r\n\r\nx\r\n", False),
        (b"content-transfer-encoding:\r\n Binary\r\n\r\nx\r\n", False),
        (TEXT + b"Content-Transfer-Encoding: 8bit\r\n\r\nx\r\n", True),
        (b"Content-Type: multipart/mixed\r\n\r\nContent-Transfer-Encoding: 8bit\r\n\r\nx\r\n", False),
    ],
)
def test_clean_or_not(entity, clean):
    assert reference.is_clean(entity) is clean
    assert is_clean(entity) is clean


@given(entities.entities(b"\r\n"))
def test_fast_and_plain_version_agree(part):
    octets = part.octets()
    assert is_clean(octets) == reference.is_clean(octets)


_BLOCKS = st.lists(
    st.sampled_from(
        [
            BASE64,
            BASE64[: 78 * 64],
            BASE64[: 78 * 64] + b"A" * 76 + b"\r\n",
            base64.b64encode(b"\0" * 48 * 200).replace(b"A" * 64, b"A" * 64 + b"\r\n"),
            b"some text\r\n" * 900,
            b"A" * 76 + b"\r\n",
            b"A" * 77 + b"\r\n",
            b"A" * 75 + b" \r\n",
            b"=" * 76 + b"\r\n",
            b"From " + b"A" * 71 + b"\r\n",
            b"A" * 75 + b"\n\r\n",
            b"encoding: 8bit\r\n",
            b"end",
        ]
    ),
    max_size=6,
).map(b"".join)


@given(st.sampled_from([TEXT, b"Content-Type: multipart/mixed; boundary=b\r\n\r\n"]), _BLOCKS)
def test_fast_and_plain_version_agree_on_big_contents(header, body):
    assert is_clean(header + body) == reference.is_clean(header + body)


@pytest.mark.parametrize("octet", [b"\xff", b"\n", b"\r", b"\0"])
def test_one_bad_octet_anywhere_is_found(octet):
    for position in range(0, 2 * 78 * 840 + 200, 997):
        body = BASE64[:position] + octet + BASE64[position + 1 :]
        assert is_clean(TEXT + body) == reference.is_clean(TEXT + body)


def test_clean_entity_is_the_same_object():
    entity = TEXT + b"nothing to do\r\n"
    assert canonical_entity(entity) is entity


@pytest.mark.parametrize("line_end", [b"\r\n", b"\n"], ids=["CRLF", "LF"])
@given(data=st.data())
def test_canonical_form_keeps_the_content(line_end, data):
    part = data.draw(entities.entities(line_end))
    octets = part.octets(line_end)
    before = parse_entity(octets)
    canonical = canonical_entity(octets)
    assert canonical_entity(canonical) is canonical
    after = parse_entity(canonical)
    without_unbreakable_words = re.sub(rb"z{90}|y{77}", b"z", canonical)
    assert lines_are_clean(without_unbreakable_words, 0, labels=False)
    assert not {part.transfer_encoding for part in after.walk()} & {"8bit", "binary"}
    _same_content(before, after)


def _same_content(before, after):
    if after.content_type.value == "message/global":
        assert with_crlf(bytes(before.body)) == bytes(after.decoded())
        return
    if before.content_type.type != "multipart" or before.parts:
        assert after.content_type.value == before.content_type.value
    assert len(before.parts) == len(after.parts)
    for first, second in zip(before.parts, after.parts, strict=True):
        _same_content(first, second)
    if before.parts:
        return
    old, new = bytes(before.decoded()), bytes(after.decoded())
    if before.transfer_encoding not in {"base64", "binary"}:
        old = with_crlf(old)
    assert new == old


def _leaf(entity: bytes) -> bytes:
    return canonical_entity(b"Content-Type: " + entity)


def test_text_becomes_quoted_printable():
    fields = "text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\nX-Kept:\tas it is\r\n\r\n"
    assert _leaf((fields + "Viele Grüße an alle, die das lesen \r\n").encode()) == (
        b"Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n"
        b"X-Kept:\tas it is\r\n\r\nViele Gr=C3=BC=C3=9Fe an alle, die das lesen=20\r\n"
    )


def test_binary_becomes_base64():
    result = _leaf(b"application/pdf\r\nContent-Transfer-Encoding: binary\r\n\r\n%PDF\0\n\r\n")
    assert result == b"Content-Type: application/pdf\r\nContent-Transfer-Encoding: base64\r\n\r\nJVBERgAKDQo=\r\n"


def test_mostly_foreign_text_becomes_base64():
    result = _leaf("text/plain; charset=utf-8\r\n\r\nПривет, как дела?\r\n".encode())
    assert b"Content-Transfer-Encoding: base64\r\n\r\n" in result


def test_only_the_leaf_that_needs_it_changes():
    clean = b"Content-Type: text/html; charset=us-ascii\r\nContent-transfer-encoding:  7bit\r\n\r\n<p>\r\n"
    entity = (
        b"Content-Type: multipart/alternative; boundary=b\r\n\r\npreamble\r\n--b\r\n"
        + clean
        + b"\r\n--b\r\nContent-Type: text/plain\r\n\r\nFrom here\r\n--b--\r\n"
    )
    result = canonical_entity(entity)
    assert clean in result
    assert b"\r\n\r\n=46rom here\r\n--b--\r\n" in result
    assert result.startswith(b"Content-Type: multipart/alternative; boundary=b\r\n\r\npreamble\r\n--b\r\n")


def test_inside_of_a_signed_part_only_line_ends_change():
    inner = b"--s\nContent-Type: text/plain\n\nFrom me, with  \n--s\nContent-Type: application/x\n\nMA==\n--s--\n"
    entity = b"Content-Type: multipart/signed; boundary=s\n\n" + inner
    assert canonical_entity(entity) == entity.replace(b"\n", b"\r\n")


def test_8bit_label_without_8bit_content_is_replaced():
    entity = (
        b"Content-Type: multipart/mixed; boundary=b\r\nContent-Transfer-Encoding: 8bit\r\n\r\n--b\r\n\r\nx\r\n--b--\r\n"
    )
    assert canonical_entity(entity) == entity.replace(b"8bit", b"7bit")


def test_unusable_boundary_is_replaced():
    body = "--bé\r\n\r\nfirst\r\n--bé\r\n\r\nsecond\r\n--bé--\r\n"
    entity = f'Content-Type: multipart/mixed; boundary="bé"\r\n\r\n{body}'.encode()
    result = canonical_entity(entity)
    assert is_clean(result)
    assert [bytes(part.body) for part in parse_entity(result).parts] == [b"first", b"second"]


def test_soft_break_never_makes_a_boundary_line():
    line = b"x" * 75 + b"--b"
    entity = b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\n" + line + b"\r\n--b--\r\n"
    result = parse_entity(canonical_entity(entity))
    assert [bytes(part.decoded()) for part in result.parts] == [line]


def test_address_outside_ascii_turns_a_forwarded_message_into_message_global():
    message = "From: jürgen@müller.example\r\nSubject: Grüße\r\n\r\nHallo\r\n".encode()
    result = canonical_entity(b"Content-Type: message/rfc822\r\n\r\n" + message)
    assert result.startswith(b"Content-Type: message/global\r\nContent-Transfer-Encoding: base64\r\n\r\n")
    assert bytes(parse_entity(result).decoded()) == message


def test_display_name_outside_ascii_becomes_encoded_words():
    message = (
        "From: Jürgen <j@example.org>\r\nTo: Team: Änne <a@x>, b@x;, c@x\r\nSubject: Grüße an alle\r\n\r\nHallo\r\n"
    )
    result = canonical_entity(b"Content-Type: message/rfc822\r\n\r\n" + message.encode())
    assert b"From: =?utf-8?q?J=C3=BCrgen?= <j@example.org>\r\n" in result
    assert b"Subject: =?utf-8?q?Gr=C3=BC=C3=9Fe?= an alle\r\n" in result
    inner = email.message_from_bytes(bytes(parse_entity(result).body), policy=email.policy.default)
    assert [(group.display_name, [str(a) for a in group.addresses]) for group in inner["To"].groups] == [
        ("Team", ["Änne <a@x>", "b@x"]),
        (None, ["c@x"]),
    ]


def test_parameters_outside_ascii_become_rfc_2231():
    result = _leaf(
        "application/pdf\r\nContent-Disposition: attachment; filename=Übersicht.pdf; size=3\r\n\r\nabc\r\n".encode()
    )
    assert b"Content-Disposition: attachment;\r\n\tfilename*=utf-8''%C3%9Cbersicht.pdf;\r\n\tsize=3\r\n" in result


def test_long_fields_are_folded_where_they_have_spaces():
    result = _leaf(b"text/plain\r\nX-Long: " + b"word " * 40 + b"\r\n\r\n")
    assert is_clean(result)
    assert parse_entity(result).named("X-Long")[0].value == ("word " * 40).strip()


def test_checking_25_megabytes_is_fast_and_copies_nothing():
    body = BASE64[: 78 * 2000] * 160
    entity = TEXT + body
    tracemalloc.start()
    try:
        assert is_clean(entity)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 1_000_000
    start = time.perf_counter()
    assert is_clean(entity)
    assert time.perf_counter() - start < 1.0  # 7 ms on an idle machine


@pytest.mark.parametrize(
    "unit",
    [
        b"From \r\n",
        b"=",
        b"\xff",
        b"\r",
        b"\n",
        b" ",
        b"\0",
        b"--b",
        b"--b\r\n",
        b"x" * 75 + b"=",
        b" \r\n",
        b"(",
        b'"',
    ],
)
def test_time_is_linear(unit):
    header = b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\n"

    def seconds(count):
        entity = header + unit * count
        start = time.perf_counter()
        with contextlib.suppress(LimitExceeded):
            canonical_entity(entity)
        return time.perf_counter() - start

    small = 300_000 // len(unit)
    assert seconds(8 * small) < 40 * seconds(small) + 0.3
