"""Dates as header fields write them, whatever the machine's language is.

Standards: RFC 5322 section 3.3.
"""

from __future__ import annotations

from datetime import UTC, datetime

__all__ = ["MONTHS", "date_text"]

MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")


def date_text(moment: datetime) -> str:
    """An aware moment in UTC: `Mon, 01 Jun 2026 12:00:00 +0000`."""
    utc = moment.astimezone(UTC)
    day, month = _DAYS[utc.weekday()], MONTHS[utc.month - 1]
    return f"{day}, {utc.day:02d} {month} {utc.year:04d} {utc:%H:%M:%S} +0000"
