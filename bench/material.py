"""What the scenarios work on: users with keys made at run time, and messages of a given size."""

from __future__ import annotations

import hashlib
import os
from functools import cache

from tests import pki

__all__ = ["BENCH_TIME", "entity", "message", "size", "user"]

BENCH_TIME = pki.MOMENT


def size(full: int, *, quick: int) -> int:
    """How large: `full` to measure, `quick` to see only that the scenario runs (`python -m bench --quick`)."""
    return quick if "BENCH_QUICK" in os.environ else full


@cache
def user(kind: str) -> pki.Credential:
    """A user two steps below a root, the usual case: message carries its own and one intermediate certificate."""
    return pki.authority("Bench Root").subordinate("Bench CA").issue("Alice", "alice@example.org", kind=kind)


def entity(octets: int) -> bytes:
    """A text part of about `octets` bytes, already in canonical form: what most mail looks like when it gets here."""
    head = b"Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 7bit\r\n\r\n"
    return head + _lines(octets)


def message(octets: int) -> bytes:
    """A whole message around `entity`."""
    head = (
        b"Date: Mon, 01 Jun 2026 12:00:00 +0000\r\nFrom: Alice <alice@example.org>\r\nTo: Bob <bob@example.net>\r\n"
        b"Subject: Quarterly figures\r\nMessage-ID: <bench@example.org>\r\nMIME-Version: 1.0\r\n"
    )
    return head + entity(octets)


@cache
def _lines(octets: int) -> bytes:
    """Lines of 74 characters and CRLF, all different: nothing compresses, caches or repeats."""
    count = max(1, octets // 76)
    seed = hashlib.shake_256(b"bench").digest(count * 37)
    return b"".join(seed[at : at + 37].hex().encode() + b"\r\n" for at in range(0, count * 37, 37))
