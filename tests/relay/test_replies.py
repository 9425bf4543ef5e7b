"""Replies as values, and the trace field."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smime_smtp_relay.replies import Reply, passed_on
from smime_smtp_relay.trace import Arrival, hop_count, new_identifier, received_field


@pytest.mark.parametrize(
    ("code", "text", "wire"),
    [
        (250, "2.1.0 ok", b"250 2.1.0 ok"),
        (250, "ok", b"250 2.0.0 ok"),
        (550, "2.0.0 contradiction", b"550 5.0.0 2.0.0 contradiction"),
        (550, "5.1.1 one\n5.1.1 two\nthree", b"550-5.1.1 one\r\n550-5.1.1 two\r\n550 5.1.1 three"),
        (421, "gone", b"451 4.3.0 gone"),
        (421, "4.3.2 gone", b"451 4.3.2 gone"),
        (354, "go", b"451 4.3.0 the next hop answered 354 go"),
        (250, "", b"250 2.0.0 "),
        (550, "5.1.1", b"550 5.1.1 "),
    ],
)
def test_what_the_next_hop_said_becomes_our_reply(code, text, wire):
    assert passed_on(code, text).encode() == wire


@given(st.integers(200, 599), st.text(), st.booleans())
def test_no_text_breaks_the_protocol(code, text, utf8):
    lines = passed_on(code, text).encode(utf8=utf8).split(b"\r\n")
    for line in lines:
        assert len(line) <= 4 * 512 if utf8 else len(line) <= 512
        assert line[:3] == lines[0][:3]
        assert line[3:4] == (b" " if line is lines[-1] else b"-")
        assert not set(line) & {0, 10, 13}
        assert utf8 or line.isascii()


def test_reply_for_people():
    reply = Reply.of(550, "5.7.1 no\n5.7.1 never")
    assert str(reply) == "550 5.7.1 no / never"
    assert not reply.positive
    assert not reply.temporary
    assert Reply.of(451, "later").temporary


def arrival(**changes: object) -> Arrival:
    values = {
        "client": "192.0.2.1",
        "greeting": "client.example",
        "protocol": "ESMTP",
        "utf8": False,
        "recipients": ("bob@example.net",),
        "identifier": "ID",
    }
    return Arrival(**(values | changes))  # type: ignore[arg-type]


def test_received_field():
    now = datetime(2026, 6, 1, 12, 0, tzinfo=UTC)
    assert received_field(arrival(client="2001:db8::1"), hostname="gw.example", now=now) == (
        b"Received: from client.example ([IPv6:2001:db8::1])\r\n"
        b"\tby gw.example with ESMTP id ID\r\n"
        b"\tfor <bob@example.net>;\r\n"
        b"\tMon, 01 Jun 2026 12:00:00 +0000\r\n"
    )
    several = received_field(arrival(recipients=("a@b.c", "d@e.f")), hostname="gw", now=now)
    assert b"for <" not in several


@given(st.text())
def test_a_greeting_cannot_break_the_field(greeting):
    field = received_field(arrival(greeting=greeting), hostname="gw", now=datetime.now(UTC))
    assert field.count(b"\r\n") == 4
    assert field.isascii()


@pytest.mark.parametrize(
    ("message", "hops"),
    [
        (b"", 0),
        (b"Received: a\r\nRECEIVED: b\r\n\r\nReceived: c\r\n", 2),
        (b"Subject: x\r\n Received: folded\r\nReceived: d\r\n", 1),
        (b"\r\n\r\nReceived: body\r\n", 0),
    ],
)
def test_hops_are_counted_in_the_header_alone(message, hops):
    assert hop_count(message) == hops


def test_identifiers_differ():
    assert len({new_identifier() for _ in range(100)}) == 100
