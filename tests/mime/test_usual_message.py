"""The usual message's quick way gives the octets of the careful way, or leaves the message to it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smime_engine.errors import LimitExceeded
from smime_engine.limits import Limits
from smime_engine.mime.build import split_message
from smime_engine.mime.usual_message import split_usual_message
from tests.mime.entities import entities

FIELDS = st.lists(
    st.sampled_from([
        b"From: a@example.org\r\n",
        b"MIME-Version: 1.0\r\n",
        b"Subject: a\r\n folded\r\n",
        b"X-Odd:nothing\r\n",
        b"X-Space : no field\r\n",
        b"X-Raw: \xff\r\n",
        b"content-odd: x\r\n",
        b"Content-Type: text/plain\r\n",
        b"Content-Transfer-Encoding: 8BIT\r\n",
        b"Content-Transfer-Encoding: base64\r\n",
        b"Content-Language: en\r\n",
        b"Bare: lf\n",
        b"From nobody\r\n",
        b"no field\r\n",
    ]),
    max_size=6,
)  # fmt: skip
BODIES = st.sampled_from([b"text\r\n", b"", b"no line end", b"x" * 77 + b"\r\n", b"a \r\n", b"a\nb\r\n", b"From a\r\n"])


def careful(message):
    split = split_message(message)
    return split.outer, b"".join(split.canonical())


@given(FIELDS.map(b"".join), BODIES)
def test_any_fields(header, body):
    message = header + b"\r\n" + body
    usual = split_usual_message(message)
    assert usual is None or usual == careful(message)


@given(entities(b"\r\n"))
def test_any_entity(entity):
    message = b"From: a@example.org\r\nMIME-Version: 1.0\r\n" + entity.octets()
    usual = split_usual_message(message)
    assert usual is None or usual == careful(message)


@pytest.mark.parametrize(
    "header",
    [
        b"From: a@b\r\nMIME-Version: 1.0\r\nContent-Type: text/plain\r\n",
        (
            b"MIME-Version: 1.0\r\nContent-Type: text/plain;\r\n\tcharset=utf-8\r\n"
            b"Content-Transfer-Encoding: 7bit\r\nTo: c\r\n"
        ),
    ],
)
def test_the_usual_message_is_recognised(header):
    message = header + b"\r\nHello.\r\n"
    assert split_usual_message(message) == careful(message)


def test_limits_are_left_to_the_careful_way():
    message = b"MIME-Version: 1.0\r\n" + b"A: b\r\n" * 50 + b"Content-Type: text/plain\r\n\r\nHello.\r\n"
    assert split_usual_message(message) is not None
    for limits in (Limits(header_fields=20), Limits(header_size=100), Limits(message_size=100)):
        assert split_usual_message(message, limits) is None
        with pytest.raises(LimitExceeded):
            split_message(message, limits=limits)
