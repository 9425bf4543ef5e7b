"""Content transfer encodings (RFC 2045 section 6): base64, quoted-printable, and the three that change nothing.

Does: decode leniently, as mail needs it (junk between base64 digits, missing padding, white space at line ends that
a relay added), and encode so that no relay has a reason to touch the text: lines of at most 76 characters, CRLF, no
trailing white space, no line `.` and none that begins with `From `. Does not: uuencode and other `x-` encodings;
their octets are handed out as they are.

Hot file for big messages. Goal: a 25 MB part costs no more than one pass of base64 in C and one copy. Plan: chunks
that fit the second-level cache, `pybase64` for the digits, `bytes.replace` for the line ends.
"""

from __future__ import annotations

import re
from binascii import Error as Base64Error
from binascii import a2b_qp
from collections.abc import Iterable, Iterator

import pybase64

__all__ = ["base64_lines", "decode_base64", "decode_quoted_printable", "encode_base64", "encode_quoted_printable"]

Octets = bytes | bytearray | memoryview

_LINE = 57
"""Octets that make one line of 76 base64 digits."""

_WIDTH = 76
"""Characters of the longest line (RFC 2045 sections 6.7 and 6.8)."""

_CHUNK = _LINE * 1024
_JUNK = bytes(set(range(256)) - set(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"))

_TRAILING_SPACE = re.compile(rb"[ \t]++(?=\r?\n|\Z)")
_UNSAFE = re.compile(rb"[^\t\r\n -~]|[ \t](?=\r\n|\Z)|\r(?!\n)|(?<!\r)\n")
_LONE_DOT = re.compile(rb"(?<=\n)\.(?=\r\n|\Z)")
_LONG_LINE = re.compile(rb"[^\r\n]{77,}+")


def decode_base64(data: bytes, start: int = 0, end: int | None = None) -> bytes:
    """The octets that `data[start:end]` stands for; junk is skipped, the first padding ends it. Never fails."""
    end = len(data) if end is None else end
    padding = data.find(b"=", start, end)
    if padding >= 0:
        end = min(padding + 1 + data.startswith(b"=", padding + 1), end)
    try:
        return pybase64.b64decode(memoryview(data)[start:end])
    except (Base64Error, ValueError):
        pass
    digits = data[start:end].translate(None, _JUNK)
    if len(digits) % 4 == 1:  # six bits are no octet
        digits = digits[:-1]
    return pybase64.b64decode(digits + b"=" * (-len(digits) % 4), validate=True)


def encode_base64(octets: Octets) -> bytes:
    """Base64 in lines of 76 digits, each with CRLF."""
    if len(octets) <= _CHUNK:
        return pybase64.encodebytes(octets).replace(b"\n", b"\r\n")
    return b"".join(base64_lines((octets,)))


def base64_lines(pieces: Iterable[Octets]) -> Iterator[bytes]:
    """Base64 of the concatenated `pieces` in lines of 76 digits with CRLF, in blocks of about 80 kB.

    For contents that exist in pieces (a CMS header, a big ciphertext, a tag) or come as a stream: nothing is joined.
    """
    rest = b""
    for piece in pieces:
        octets = memoryview(piece)
        start = 0
        if rest:
            start = min(_LINE - len(rest), len(octets))
            rest += octets[:start]
            if len(rest) < _LINE:
                continue
            yield pybase64.encodebytes(rest).replace(b"\n", b"\r\n")
        whole = start + (len(octets) - start) // _LINE * _LINE
        for position in range(start, whole, _CHUNK):
            chunk = octets[position : min(position + _CHUNK, whole)]
            yield pybase64.encodebytes(chunk).replace(b"\n", b"\r\n")
        rest = bytes(octets[whole:])
    if rest:
        yield pybase64.encodebytes(rest).replace(b"\n", b"\r\n")


def decode_quoted_printable(encoded: bytes) -> bytes:
    """The octets that `encoded` stands for; white space at line ends is removed (RFC 2045 section 6.7, rule 3)."""
    return a2b_qp(_TRAILING_SPACE.sub(b"", encoded))


def encode_quoted_printable(text: bytes) -> bytes:
    """Quoted-printable of a text with CRLF line ends; a bare CR or LF is encoded like any control character."""
    encoded = _UNSAFE.sub(_escaped, text.replace(b"=", b"=3D"))
    encoded = _LONE_DOT.sub(b"=2E", encoded.replace(b"\nFrom ", b"\n=46rom "))
    return _LONG_LINE.sub(_with_soft_breaks, _protect_start(encoded))


def _escaped(found: re.Match[bytes]) -> bytes:
    return b"=%02X" % ord(found[0])


def _protect_start(text: bytes) -> bytes:
    """Without the two line beginnings that mailbox files and SMTP change: `From `, and a dot alone on its line."""
    if text.startswith((b"From ", b".\r\n")) or text == b".":
        return b"=%02X" % text[0] + text[1:]
    return text


def _with_soft_breaks(found: re.Match[bytes]) -> bytes:
    line = found[0]
    pieces = []
    position = 0
    while True:
        room = _WIDTH - 2 * line.startswith(b"From ", position)  # what protecting it will add
        if len(line) - position <= room:
            break
        cut = position + room - 1
        escape = line.rfind(b"=", cut - 2, cut)
        if escape > position:
            cut = escape
        pieces.append(_protect_start(line[position:cut]))
        position = cut
    pieces.append(_protect_start(line[position:]))
    return b"=\r\n".join(pieces)
