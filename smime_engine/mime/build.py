"""Composition of S/MIME messages around pieces that exist already (RFC 8551 section 3, RFC 1847).

Does: split a message into what stays outside and the entity that is signed or encrypted; put `multipart/signed`,
`application/pkcs7-mime` and `application/pkcs7-signature` around content and CMS. Outer fields keep their order,
folding and octets; line ends become CRLF. Does not: sign, encrypt, or change the entity (`canonical` does).

Hot file. Goal: split, frame and join 4 kB in 6 µs; 25 MB of base64 with CRLF at the speed of two passes over memory,
and no second copy of the result. Plan: frames are `bytes` made once per signer; content stays a view of the message;
one join, or for big results one growing buffer whose octets are handed out without a copy.
"""

from __future__ import annotations

import io
import re
from binascii import hexlify
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import pybase64

from smime_engine.errors import LimitExceeded
from smime_engine.limits import DEFAULT_LIMITS, Limits
from smime_engine.mime import transfer
from smime_engine.mime.canonical import canonical_entity, is_clean_in_two, with_crlf
from smime_engine.mime.expressions import repeated
from smime_engine.mime.fields import FIELD, behind_empty_line, check_header, header_end, named_fields

__all__ = [
    "MIME_VERSION",
    "ClearSignedFrame",
    "OpaqueFrame",
    "SplitMessage",
    "boundary_from",
    "split_message",
]

Octets = bytes | bytearray | memoryview

_SMALL = 256 * 1024
"""Octets of CMS up to which one join is faster than a growing buffer."""

_FILE_NAMES = {
    "signed-data": "smime.p7m",
    "enveloped-data": "smime.p7m",
    "authEnveloped-data": "smime.p7m",
    "certs-only": "smime.p7c",
    "compressed-data": "smime.p7z",
    "signed-receipt": "smime.p7m",
}
"""`smime-type` -> file name (RFC 8551 section 3.2.1)."""

MIME_VERSION = b"MIME-Version: 1.0\r\n"
DEFAULT_TYPE = b"Content-Type: text/plain\r\n"

_CONTENT = rb"[Cc][Oo][Nn][Tt][Ee][Nn][Tt]-"
_RUNS_OF_FIELDS = re.compile(
    rb"(%b)(%b)" % (repeated(rb"(?!%b)%b" % (_CONTENT, FIELD)), repeated(rb"(?=%b)%b" % (_CONTENT, FIELD)))
).match
"""Fields of the message, then fields of the content: most messages have one or two such pairs of runs."""


class SplitMessage(NamedTuple):
    """A message in two: fields that stay outside, and the MIME entity that gets protected."""

    outer: bytes
    """Every field but `Content-*`, as in the message, with CRLF; a MIME-Version is among them."""

    content_header: bytes
    """The `Content-*` fields as in the message, and the empty line behind them."""

    message: bytes
    body_start: int

    @property
    def inner(self) -> bytes:
        """The entity as one object; copies the body."""
        return b"".join((self.content_header, memoryview(self.message)[self.body_start :]))

    def canonical(self, limits: Limits = DEFAULT_LIMITS) -> tuple[bytes | memoryview, ...]:
        """The entity in the form to sign, in pieces: a big clean body is a view of the message."""
        header = self.content_header
        if len(self.message) > _SMALL and is_clean_in_two(header, self.message, self.body_start):
            return header, memoryview(self.message)[self.body_start :]
        return (canonical_entity(header + self.message[self.body_start :], limits=limits),)


def split_message(message: bytes, *, limits: Limits = DEFAULT_LIMITS) -> SplitMessage:
    """Split an RFC 5322 message; raises LimitExceeded and nothing else.

    A mailbox file's From line is dropped. A message without Content-Type is text (RFC 2045 section 5.2) and gets that
    field, for the signed entity must say what it is.
    """
    if len(message) > limits.message_size:
        raise LimitExceeded("message_size", limits.message_size)
    start = _behind_envelope_line(message, limits)
    stop, outer, content = _sorted_fields(message, start, limits)
    return SplitMessage(outer, content, message, behind_empty_line(message, stop, len(message)))


def _behind_envelope_line(message: bytes, limits: Limits) -> int:
    if message.startswith((b"From ", b">From ")):
        line_end = message.find(b"\n") + 1
        if header_end(message, 0, line_end, limits) == 0:
            return line_end
    return 0


def _sorted_fields(message: bytes, start: int, limits: Limits) -> tuple[int, bytes, bytes]:
    """End of the header, the fields that stay outside, and those of the content with the empty line behind them."""
    limit = min(len(message), start + limits.header_size + 1)
    outer = content = b""
    stop = start
    while (found := _RUNS_OF_FIELDS(message, stop, limit)) and found.end() > stop:
        outer += found[1]
        content += found[2]
        stop = found.end()
    check_header(message, start, stop, limits)
    if b"mime-version" not in outer.lower() or not named_fields(outer, b"mime-version"):
        outer = _with_line_end(outer) + MIME_VERSION
    if content[:13].lower() != b"content-type:" and not named_fields(content, b"content-type"):
        content = DEFAULT_TYPE + content
    return stop, with_crlf(_with_line_end(outer)), with_crlf(_with_line_end(content)) + b"\r\n"


def _with_line_end(fields: bytes) -> bytes:
    """Fields whose last line ends properly, though the message may have ended in it."""
    return fields if fields.endswith(b"\n") or not fields else fields + b"\r\n"


def boundary_from(digest: bytes, content: Sequence[Octets] = ()) -> bytes:
    """A boundary made from the content's digest, so that equal input gives equal output; never occurs in `content`.

    `=_` occurs in no base64 and no quoted-printable text (RFC 2045 section 6.8), 60 hexadecimal digits keep the field
    within a line, and the search skips by the length of what it seeks. Of a view the whole object is searched: views
    cannot be, and a needless hit only makes another boundary.
    """
    boundary = b"=_" + hexlify(digest[:30])
    number = 0
    while True:
        for piece in content:
            if boundary in (piece if isinstance(piece, bytes) else _searchable(piece)):
                break
        else:
            return boundary
        number += 1
        boundary = b"=_%d_" % number + hexlify(digest[:28])


def _searchable(piece: bytearray | memoryview) -> bytes | bytearray:
    whole = piece.obj if isinstance(piece, memoryview) else piece
    return whole if isinstance(whole, bytes | bytearray) else bytes(piece)


class ClearSignedFrame:
    """The constant octets of `multipart/signed`, made once for a `micalg` (RFC 8551 section 3.5.3).

    `micalg` is the digest's name there, such as `sha-256`; several are separated by commas.
    """

    __slots__ = ("_begin", "_middle")

    def __init__(self, micalg: str) -> None:
        quoted = f'"{micalg}"' if "," in micalg else micalg
        self._begin = (
            'Content-Type: multipart/signed; protocol="application/pkcs7-signature";\r\n'
            f'\tmicalg={quoted};\r\n\tboundary="'
        ).encode("ascii")
        self._middle = (
            b"\r\nContent-Type: application/pkcs7-signature; name=smime.p7s\r\n"
            b"Content-Transfer-Encoding: base64\r\n"
            b"Content-Disposition: attachment; filename=smime.p7s\r\n\r\n"
        )

    def compose(self, outer: bytes, content: Sequence[Octets], signature: bytes, boundary: bytes) -> bytes:
        """The message: `outer` fields (empty, or ending in CRLF), signed `content` in pieces, CMS `signature`."""
        return b"".join(
            (
                outer,
                self._begin,
                boundary,
                _PROLOGUE,
                boundary,
                b"\r\n",
                *content,
                b"\r\n--",
                boundary,
                self._middle,
                pybase64.encodebytes(signature).replace(b"\n", b"\r\n"),
                b"\r\n--",
                boundary,
                b"--\r\n",
            )
        )

    def around(self, outer: bytes, signature: bytes, boundary: bytes) -> tuple[bytes, bytes]:
        """What stands before and behind the content, for contents that are larger than memory."""
        everything = self.compose(outer, (), signature, boundary)
        size = len(outer) + len(self._begin) + 2 * len(boundary) + len(_PROLOGUE) + 2
        return everything[:size], everything[size:]


_PROLOGUE = b'"\r\n\r\nThis is an S/MIME signed message.\r\n\r\n--'
"""Between the two boundaries of the header and of the first part: what readers without MIME show."""


class OpaqueFrame:
    """The constant octets of `application/pkcs7-mime` for one `smime-type`, in the standards' spelling."""

    __slots__ = ("header",)

    def __init__(self, smime_type: str) -> None:
        name = _FILE_NAMES[smime_type]
        self.header = (
            f"Content-Type: application/pkcs7-mime; smime-type={smime_type};\r\n\tname={name}\r\n"
            "Content-Transfer-Encoding: base64\r\n"
            f"Content-Disposition: attachment; filename={name}\r\n\r\n"
        ).encode("ascii")

    def compose(self, outer: bytes, cms: Iterable[Octets]) -> bytes:
        """The message: `outer` fields (empty, or ending in CRLF), and a CMS object in pieces as base64.

        Pieces may come as they are made; nothing holds them all at once.
        """
        if isinstance(cms, Sequence) and sum(map(len, cms)) <= _SMALL:
            return b"".join((outer, self.header, transfer.encode_base64(b"".join(cms))))
        # BytesIO hands out its octets without a copy, where a join would hold the result twice for a moment.
        buffer = io.BytesIO()
        buffer.write(outer)
        buffer.write(self.header)
        buffer.writelines(transfer.base64_lines(cms))
        return buffer.getvalue()
