"""Regular expressions that repeat a group without giving anything back, on every Python that we run on.

QUIRK: in Python before 3.11.5 (Debian 12 has 3.11.2) a possessive group, `(?:…)*+`, that fails in the middle of its
body goes on from there instead of from where that body began (gh-106052). A line that is too long would count as short,
and a line that is no field as part of a header. There the same is said by an atomic group, which is correct, and slower
on large contents. Possessive repetition of a single character is correct everywhere and needs nothing.
"""

from __future__ import annotations

import re
from typing import AnyStr

__all__ = ["atomic", "possessive", "repeated"]


def possessive(body: AnyStr) -> AnyStr:
    """`(?:body)*+`."""
    if isinstance(body, bytes):
        return b"(?:%b)*+" % body
    return f"(?:{body})*+"


def atomic(body: AnyStr) -> AnyStr:
    """`(?>(?:body)*)`: the same language, and a stack as deep as there are repetitions."""
    if isinstance(body, bytes):
        return b"(?>(?:%b)*)" % body
    return f"(?>(?:{body})*)"


_POSSESSIVE_IS_CORRECT = re.compile("(?:ab?c)*+").match("abcab").end() == len("abc")  # type: ignore[union-attr]


def repeated(body: AnyStr) -> AnyStr:
    """`body` as often as possible, none of it ever given back."""
    return possessive(body) if _POSSESSIVE_IS_CORRECT else atomic(body)
