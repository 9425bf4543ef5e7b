"""The trace field that a relay puts on top of a message (RFC 5321 section 4.4), and the look at how many there are.

Does: write one `Received` field; count them for loop detection (section 6.3). Does not: change anything else of the
message: a field above the signed entity is outside of every S/MIME signature.
"""

from __future__ import annotations

import re
import secrets
from base64 import b32encode
from dataclasses import dataclass
from datetime import datetime
from email.utils import format_datetime

__all__ = ["Arrival", "hop_count", "new_identifier", "received_field"]

_HEADER_END = b"\r\n\r\n"
_UNSAFE = re.compile(r"[^A-Za-z0-9.:_\-\[\]]")


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrival:
    """How a message came in."""

    client: str
    """IP address of the client."""
    greeting: str
    """What the client called itself in EHLO or HELO."""
    protocol: str
    """The transmission type, such as ESMTPS."""
    utf8: bool
    """Whether the client asked for SMTPUTF8."""
    recipients: tuple[str, ...]
    identifier: str
    """Ours, for the log and the trace field."""


def new_identifier() -> str:
    """A short name for one message, unique enough for logs."""
    return b32encode(secrets.token_bytes(10)).decode("ascii")


def received_field(arrival: Arrival, *, hostname: str, now: datetime) -> bytes:
    """One `Received` field with CRLF; `for` is named only where there is one recipient, so that no Bcc shows."""
    client = f"[IPv6:{arrival.client}]" if ":" in arrival.client else f"[{arrival.client}]"
    lines = [
        f"Received: from {_UNSAFE.sub('?', arrival.greeting)[:255] or 'unknown'} ({client})",
        f"by {hostname} with {arrival.protocol} id {arrival.identifier}",
    ]
    if len(arrival.recipients) == 1 and (arrival.utf8 or arrival.recipients[0].isascii()):
        lines.append(f"for <{arrival.recipients[0]}>")
    return ("\r\n\t".join(lines) + f";\r\n\t{format_datetime(now)}\r\n").encode("utf-8")


def hop_count(message: bytes) -> int:
    """How many `Received` fields the header has."""
    end = message.find(_HEADER_END)
    header = message[: end if end >= 0 else len(message)].lower()
    return header.count(b"\r\nreceived:") + header.startswith(b"received:")
