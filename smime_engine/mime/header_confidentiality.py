"""Header confidentiality policies: what an encrypted message shows outside (RFC 9788 section 3).

Does: the three policies that the standard names, as functions from a field's name and unfolded value to the value
that stands outside: the same, another one, or None for no field at all. Does not: move fields (`header_protection`).

A policy of one's own is any such function; it must give the same answer every time.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import datetime, timedelta, timezone

from smime_engine.mime.addresses import parse_addresses
from smime_engine.mime.dates import MONTHS, date_text

__all__ = ["HeaderConfidentialityPolicy", "hcp_baseline", "hcp_shy", "no_confidentiality"]

HeaderConfidentialityPolicy = Callable[[str, str], str | None]
"""(field name as written, unfolded value) -> the value outside, or None to leave the field out."""

OBSCURED = "[...]"

_DATE = re.compile(
    r"(?:(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun)\s*,)?\s*(\d{1,2})\s+([A-Za-z]{3})\s+(\d{4})\s+"
    r"(\d\d):(\d\d)(?::(\d\d))?\s+([+-])(\d\d)([0-5]\d)(?:\s*\(.*\))?\s*",
    re.ASCII,
)


def no_confidentiality(_name: str, value: str) -> str | None:
    """Everything stays readable outside, as in mail without header protection (RFC 9788 section 3.2.3)."""
    return value


def hcp_baseline(name: str, value: str) -> str | None:
    """Hides the subject, keywords and comments: the least that the standard recommends (RFC 9788 section 3.2.1)."""
    match name.lower():
        case "subject":
            return OBSCURED
        case "keywords" | "comments":
            return None
    return value


def hcp_shy(name: str, value: str) -> str | None:
    """Hides display names and the sender's time zone as well (RFC 9788 section 3.2.2).

    An address or date field that does not follow RFC 5322 stays as it is: half a repair would lose a recipient.
    """
    match name.lower():
        case "from":
            addresses = _bare_addresses(value)
            return addresses[0] if len(addresses) == 1 else value
        case "to" | "cc":
            return ", ".join(_bare_addresses(value)) or value
        case "date":
            return _utc(value) or value
    return hcp_baseline(name, value)


def _bare_addresses(value: str) -> tuple[str, ...]:
    found = parse_addresses(value)
    structured = any(mailbox.group is not None for mailbox in found.mailboxes)
    unreadable = len(found.defects) > sum(defect.name == "ADDRESS_IN_DISPLAY_NAME" for defect in found.defects)
    return () if structured or unreadable else found.addresses


def _utc(value: str) -> str | None:
    """The RFC 5322 date in UTC, or None where `value` is none."""
    found = _DATE.fullmatch(value)
    if found is None or found[2].title() not in MONTHS:
        return None
    offset = timedelta(hours=int(found[8]), minutes=int(found[9])) * (-1 if found[7] == "-" else 1)
    month = MONTHS.index(found[2].title()) + 1
    try:
        local = datetime(
            int(found[3]),
            month,
            int(found[1]),
            int(found[4]),
            int(found[5]),
            int(found[6] or 0),
            tzinfo=timezone(offset),
        )
        return date_text(local)
    except (ValueError, OverflowError):
        return None
