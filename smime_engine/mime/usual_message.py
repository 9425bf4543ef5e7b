"""The usual message, split and found clean in one step; all others go through `build.split_message`.

Hot file. Goal: 4 kB in 13 µs, half of what the careful way takes. Plan: one regular expression finds the three runs of
fields (message, content, message) that nearly every message has; what it does not recognise, or what has to be changed
before it can be signed, is left to the careful way, which gives the same octets (`tests/mime/test_usual_message.py`).

Does not: change anything, or say what is wrong.

Standards: RFC 5322 section 2.2, RFC 8551 section 3.1.
"""

from __future__ import annotations

import re

from smime_engine.limits import DEFAULT_LIMITS, Limits
from smime_engine.mime.canonical import lines_of_text_are_clean

__all__ = ["split_usual_message"]

_LARGEST = 65_536
"""Octets; above that the careful way, which hands out views instead of copies, is the faster one."""

# A dot runs up to the LF, twice as fast as a class of octets does; that no CR stands alone is counted afterwards.
_LINE = rb".*(?<=\r)\n(?:[ \t].*(?<=\r)\n)*"
_FIELD = rb"[!-9;-~]+:" + _LINE
_NAMES_CONTENT = rb"[Cc](?i:ontent-)"
_USUAL = re.compile(
    rb"((?:(?!" + _NAMES_CONTENT + rb")" + _FIELD + rb")+)"
    rb"(Content-Type:" + _LINE + rb"(?:(?=" + _NAMES_CONTENT + rb")" + _FIELD + rb")*)"
    rb"((?:(?!" + _NAMES_CONTENT + rb")" + _FIELD + rb")*)\r\n"
).match
_UNUSUAL_CONTENT = re.compile(rb"[Mm8Bb](?i:ultipart/|essage/|bit|inary)").search
"""What has parts (their labels count), or a label that relays re-encode by: `multipart/`, `message/`, `8bit`, `binary`.
The first letter as a class makes the search four times faster; the words that only it finds go the careful way too."""


def split_usual_message(message: bytes, limits: Limits = DEFAULT_LIMITS) -> tuple[bytes, bytes] | None:
    """(fields that stay outside, the entity to sign), or None for a message that is not the usual one."""
    if len(message) > _LARGEST or len(message) > limits.message_size:
        return None
    found = _USUAL(message)
    # A field has four octets at least: below that nothing needs counting.
    if found is None or found.end() > 4 * limits.header_fields or found.end() > limits.header_size:
        return None
    if message.count(b"\r", 0, found.end()) != message.count(b"\n", 0, found.end()):
        return None
    before, content, behind = found.groups()
    outer = before + behind if behind else before
    if b"MIME-Version:" not in outer or _UNUSUAL_CONTENT(content):
        return None
    inner = message[found.start(2) :] if not behind else content + message[found.end(3) :]
    return (outer, inner) if lines_of_text_are_clean(inner) else None
