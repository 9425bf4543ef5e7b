"""DATA in chunks: the first octet says where to cut; the result equals reading line by line, and goes out as it is."""

from __future__ import annotations

from smime_smtp_relay.connection import stuffed_pieces
from smime_smtp_relay.incoming import IncomingMessage, has_bare_line_ends, with_normal_line_ends


def fuzz(data: bytes) -> None:
    size = 1 + (data[0] if data else 0) % 9
    wire = data[1:]
    incoming = IncomingMessage(1 << 20)
    for start in range(0, len(wire), size):
        rest = incoming.feed(wire[start : start + size])
        if rest is not None:
            _compare(wire, incoming.message(), rest + wire[start + size :])
            return
    if b"\r\n.\r\n" in b"\r\n" + wire:
        raise AssertionError("the end was missed")


def _compare(wire: bytes, message: bytes, rest: bytes) -> None:
    end = (b"\r\n" + wire).index(b"\r\n.\r\n")
    if rest != wire[end + 3 :]:
        raise AssertionError("another end was found")
    lines = wire[:end].split(b"\r\n")
    if message != b"\r\n".join(line.removeprefix(b".") for line in lines):
        raise AssertionError("dots were stuffed otherwise")
    normal = with_normal_line_ends(message)
    if has_bare_line_ends(normal):
        raise AssertionError("bare line ends are left")
    again = IncomingMessage(1 << 20)
    again.feed(b"".join(stuffed_pieces(normal)))
    if again.message() != normal:
        raise AssertionError("the message changes on its way out")


def seeds() -> list[bytes]:
    return [
        b"\x00From: a\r\n\r\n.dot\r\n..two\r\n.\r\nQUIT\r\n",
        b"\x03.\r\nrest",
        b"\x05\r\n.\r\n",
        b"\x08a\n.\r\nb\r.\r\nc\r\n.\n\r\n.\r\n",
    ]
