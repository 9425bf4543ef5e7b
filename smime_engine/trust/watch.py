"""What expires soon: certificates of users, intermediates and roots, and revocation lists.

Does: collect and sort, and write Prometheus text. Does not: find the certificates, or renew anything. Outlook warns 30
days before the end; that is the default here too.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum
from hashlib import sha1

from smime_engine.certificate import Certificate
from smime_engine.trust.collection import TrustCollection
from smime_engine.trust.crl import RevocationList

__all__ = ["WARNING_DAYS", "Expiry", "State", "Watched", "expiries", "prometheus_text"]

WARNING_DAYS = 30
"""Days before the end from which something is reported as expiring."""


class Watched(Enum):
    """What it is that expires; the value is its name in reports."""

    USER = "user"
    INTERMEDIATE = "intermediate"
    ROOT = "root"
    CRL = "crl"


class State(Enum):
    """How it stands."""

    GOOD = "good"
    EXPIRING = "expiring"
    EXPIRED = "expired"


@dataclass(frozen=True, slots=True, kw_only=True)
class Expiry:
    """When one thing ends."""

    kind: Watched
    name: str
    """Subject of a certificate, issuer of a list."""

    thumbprint: str
    """SHA-1 of the DER in hexadecimal capitals, as Windows and Exchange show certificates."""

    expires: datetime
    days: int
    """Whole days that are left, rounded down: negative when it has expired."""

    state: State


def expiries(
    *,
    now: datetime,
    users: Iterable[Certificate] = (),
    collection: TrustCollection | None = None,
    crls: Iterable[RevocationList] = (),
    days: int = WARNING_DAYS,
) -> tuple[Expiry, ...]:
    """Everything that was given, the first to end first. `now` is aware."""
    found = [_of_certificate(Watched.USER, certificate, now, days) for certificate in users]
    if collection is not None:
        found += [_of_certificate(Watched.INTERMEDIATE, each, now, days) for each in collection.intermediates]
        found += [_of_certificate(Watched.ROOT, each, now, days) for each in collection.anchors]
    found += [
        _expiry(Watched.CRL, crl.issuer, crl.der, crl.next_update, now, days)
        for crl in crls
        if crl.next_update is not None
    ]
    return tuple(sorted(found, key=lambda expiry: (expiry.expires, expiry.kind.value, expiry.name)))


def prometheus_text(found: Iterable[Expiry]) -> str:
    """Gauges in Prometheus' text format (version 0.0.4): the end of each thing, and counts by kind and state."""
    listed = tuple(found)
    lines = [
        "# HELP smime_expiry_timestamp_seconds When a certificate or revocation list ends.",
        "# TYPE smime_expiry_timestamp_seconds gauge",
    ]
    for expiry in listed:
        labels = _labels(kind=expiry.kind.value, name=expiry.name, thumbprint=expiry.thumbprint)
        lines.append(f"smime_expiry_timestamp_seconds{labels} {int(expiry.expires.timestamp())}")
    lines += [
        "# HELP smime_expiry_count Certificates and revocation lists by state.",
        "# TYPE smime_expiry_count gauge",
    ]
    for kind in Watched:
        for state in State:
            count = sum(expiry.kind is kind and expiry.state is state for expiry in listed)
            lines.append(f"smime_expiry_count{_labels(kind=kind.value, state=state.value)} {count}")
    return "\n".join(lines) + "\n"


def _of_certificate(kind: Watched, certificate: Certificate, now: datetime, days: int) -> Expiry:
    name = certificate.subject or ", ".join(certificate.addresses)
    return _expiry(kind, name, certificate.der, certificate.not_after, now, days)


def _expiry(kind: Watched, name: str, der: bytes, expires: datetime, now: datetime, days: int) -> Expiry:
    if expires < now:
        state = State.EXPIRED
    else:
        state = State.EXPIRING if expires - now <= timedelta(days=days) else State.GOOD
    thumbprint = sha1(der, usedforsecurity=False).hexdigest().upper()
    return Expiry(kind=kind, name=name, thumbprint=thumbprint, expires=expires, days=(expires - now).days, state=state)


def _labels(**values: str) -> str:
    escaped = {
        name: value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") for name, value in values.items()
    }
    return "{" + ",".join(f'{name}="{value}"' for name, value in escaped.items()) + "}"
