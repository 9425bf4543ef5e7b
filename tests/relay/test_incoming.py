"""From the chunks of DATA to a message, and back to the chunks for the next hop."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from smime_smtp_relay.connection import stuffed_pieces
from smime_smtp_relay.incoming import IncomingMessage, has_bare_line_ends, with_normal_line_ends

WIRE = st.lists(st.sampled_from([b".", b"\r", b"\n", b"\r\n", b"a", b"\r\n.", b"..", b"xyz\r\n"]), max_size=12).map(
    b"".join
)


def reference(wire: bytes) -> tuple[bytes, bytes] | None:
    """Message and rest, line by line as RFC 5321 section 4.5.2 tells it; None without an end."""
    lines, position = [], 0
    while (end := wire.find(b"\r\n", position)) >= 0:
        line = wire[position : end + 2]
        position = end + 2
        if line == b".\r\n":
            return b"".join(lines), wire[position:]
        lines.append(line.removeprefix(b"."))
    return None


@given(WIRE, st.lists(st.integers(0, 30), max_size=6))
@example(b".\r\n", [])
@example(b"\r\n.\r\nrest", [1, 2, 3, 4])
def test_any_fragmentation_equals_the_line_by_line_reading(wire, cuts):
    incoming = IncomingMessage(1_000)
    bounds = [0, *sorted(min(cut, len(wire)) for cut in cuts), len(wire)]
    expected = reference(wire)
    for start, end in pairwise(bounds):
        rest = incoming.feed(wire[start:end]) if start < end else None
        if rest is not None:
            assert expected is not None
            message, behind = expected
            assert rest + wire[end:] == behind
            assert incoming.message() == message
            return
    assert expected is None


@given(WIRE.map(with_normal_line_ends))
def test_stuffing_and_taking_it_back(message):
    incoming = IncomingMessage(1_000)
    assert incoming.feed(b"".join(stuffed_pieces(message)) + b"NOOP\r\n") == b"NOOP\r\n"
    assert incoming.message() == message


def test_large_messages_go_out_in_pieces():
    message = b".line\r\n" * 200_000
    pieces = stuffed_pieces(message)
    assert max(map(len, pieces)) <= 256 * 1024
    assert b"".join(pieces) == b"..line\r\n" * 200_000 + b".\r\n"


@given(st.lists(st.sampled_from([b"\r", b"\n", b"a", b"\r\n"])).map(b"".join))
def test_normal_line_ends(message):
    normal = with_normal_line_ends(message)
    assert not has_bare_line_ends(normal)
    assert normal.endswith(b"\r\n") or not message
    if not has_bare_line_ends(message) and message.endswith(b"\r\n"):
        assert normal is message


@pytest.mark.parametrize(("limit", "fits"), [(5, False), (6, True)])
def test_the_limit_counts_the_message_without_its_end(limit, fits):
    incoming = IncomingMessage(limit)
    assert incoming.feed(b"1234\r\n.\r\n") == b""
    assert incoming.discarded is not fits


def test_after_the_limit_only_the_end_is_looked_for():
    incoming = IncomingMessage(10)
    for _ in range(100):
        assert incoming.feed(b"x" * 1000) is None
    assert incoming.discarded
    assert incoming.feed(b"\r") is None
    assert incoming.feed(b"\n.\r\nQUIT\r\n") == b"QUIT\r\n"
    assert incoming.received == 100_005
