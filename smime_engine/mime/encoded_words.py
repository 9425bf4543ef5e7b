"""Encoded words: text outside ASCII in header fields (RFC 2047).

Does: decode for display, joining what was cut between two words, and encode. Does not: decode inside addresses or
quoted strings by itself; callers hand in what may hold encoded words, after they have found the field's structure,
so that no encoded comma, quote or angle bracket can change that structure.
"""

from __future__ import annotations

import re

from smime_engine.mime import charsets, transfer

__all__ = ["decode_words", "encode_words"]

_WORD = re.compile(r"=\?([!-)+->@-~*]{1,60})\?([bBqQ])\?([!->@-~ ]*+)\?=")
_BETWEEN = re.compile(r"[ \t\r\n]*\Z")
_HEX = re.compile(rb"=([0-9A-Fa-f]{2})")
_CONTROLS = re.compile(r"[\x00-\x08\n-\x1f\x7f]")
_PLAIN_OCTETS = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789!*+-/")
"""What may stand unencoded in a word inside a phrase (RFC 2047 section 5, rule 3), the strictest place."""

_ROOM = 75 - len("=?utf-8?q??=")


def decode_words(text: str) -> str:
    """`text` with all its encoded words decoded; what is no proper word stays as it is. Never fails.

    Control characters that were encoded become U+FFFD: no line end can be smuggled into a field this way.
    """
    if "=?" not in text:
        return text
    pieces: list[str] = []
    pending = b""  # octets of neighbouring words of one character set: a character may be cut between two words
    pending_charset = ""
    position = 0
    for found in _WORD.finditer(text):
        between = text[position : found.start()]
        charset = found[1].partition("*")[0].lower()  # RFC 2231 section 5: a language may follow the star
        joins = bool(position) and _BETWEEN.match(between) is not None
        if not joins or charset != pending_charset:
            pieces.append(_text(pending, pending_charset))
            pending = b""
        if not joins:
            pieces.append(between)
        pending += _octets(found[2], found[3])
        pending_charset = charset
        position = found.end()
    pieces.append(_text(pending, pending_charset))
    pieces.append(text[position:])
    return "".join(pieces)


def _octets(encoding: str, encoded: str) -> bytes:
    octets = encoded.encode("ascii")
    if encoding in "qQ":
        return _HEX.sub(lambda found: bytes.fromhex(found[1].decode("ascii")), octets.replace(b"_", b" "))
    return transfer.decode_base64(octets)


def _text(octets: bytes, charset: str) -> str:
    return _CONTROLS.sub("\ufffd", charsets.decode(octets, charset)) if octets else ""


def encode_words(text: str) -> list[str]:
    """Encoded words (each at most 75 characters) that together express `text`; ASCII text comes back as it is.

    Every word holds whole characters. The caller joins the words with a space or a fold: readers remove it.
    """
    if text.isascii():
        return [text]
    words: list[str] = []
    word = ""
    for character in text:
        encoded = "".join(
            chr(octet) if octet in _PLAIN_OCTETS else "_" if octet == 0x20 else f"={octet:02X}"
            for octet in character.encode("utf-8", "replace")
        )
        if len(word) + len(encoded) > _ROOM:
            words.append(word)
            word = ""
        word += encoded
    words.append(word)
    return [f"=?utf-8?q?{word}?=" for word in words]
