"""Changing single header fields."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smime_engine.mime.edit import subject_has, with_fields_on_top, without_fields, without_subject_tags
from smime_engine.mime.encoded_words import decode_words
from smime_engine.mime.parse import parse_entity

MESSAGE = (
    b"From: a@b.c\r\nX-Encrypt : yes\r\n\tfolded\r\nSubject: [Encrypt] Hello\r\nx-encrypt: no\r\n\r\n"
    b"X-Encrypt: body\r\n"
)


def test_fields_are_removed_whole_and_nothing_else():
    assert without_fields(MESSAGE, ["X-ENCRYPT"]) == (
        b"From: a@b.c\r\nSubject: [Encrypt] Hello\r\n\r\nX-Encrypt: body\r\n"
    )
    assert without_fields(MESSAGE, ["Absent"]) is MESSAGE
    assert without_fields(MESSAGE, []) is MESSAGE


def test_fields_on_top():
    assert with_fields_on_top(b"A: b\r\n\r\n", [b"X: 1\r\n", b"Y: 2\r\n"]) == b"X: 1\r\nY: 2\r\nA: b\r\n\r\n"


@pytest.mark.parametrize(
    ("subject", "expected"),
    [
        (b"Subject: [encrypt] Hello", b"Subject: Hello"),
        (b"Subject: Hello [ENCRYPT] world", b"Subject: Hello world"),
        (b"Subject: [encrypt][sign]", b"Subject:"),
        (b"Subject: one\r\n [encrypt]\r\n two", b"Subject: one two"),
        (b"SUBJECT:[sign]x", b"Subject: x"),
        (b"Subject: =?utf-8?q?=5Bencrypt=5D_Gr=C3=BC=C3=9Fe?=", b"Subject: =?utf-8?q?Gr=C3=BC=C3=9Fe?="),
        ("Subject: [encrypt] Grüße".encode(), b"Subject: =?utf-8?q?Gr=C3=BC=C3=9Fe?="),
    ],
)
def test_tags_leave_the_subject(subject, expected):
    message = b"From: a\r\n" + subject + b"\r\nTo: b\r\n\r\n[encrypt]\r\n"
    edited = without_subject_tags(message, ["[encrypt]", "[sign]"])
    assert edited == b"From: a\r\n" + expected + b"\r\nTo: b\r\n\r\n[encrypt]\r\n"


def test_without_tags_the_message_is_the_same_object():
    assert without_subject_tags(MESSAGE, []) is MESSAGE
    assert without_subject_tags(MESSAGE, ["[sign]"]) is MESSAGE


@given(st.text(st.characters(exclude_categories=["Cc", "Cs", "Zl", "Zp"]), max_size=300))
def test_the_rest_of_a_subject_stays(text):
    message = b"Subject: " + f"[x] {text}".encode() + b"\r\n\r\n"
    (field,) = parse_entity(without_subject_tags(message, ["[x]"])).named("Subject")
    assert max(map(len, field.raw.split(b"\r\n"))) <= max(
        78, *(len(word.encode()) + 12 for word in text.split() or [""])
    )
    assert " ".join(decode_words(field.value).split()) == " ".join(text.replace("[x]", " ").replace("[X]", " ").split())


def test_time_is_linear():
    subject = b"[encrypt] " * 50_000
    edited = without_subject_tags(b"Subject: " + subject + b"\r\n\r\n", ["[encrypt]", "[" * 20])
    assert edited == b"Subject:\r\n\r\n"
    assert not subject_has("[" * 500_000, "[encrypt]")
