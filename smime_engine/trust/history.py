"""For which moment is a signature judged: now, a moment that was asked for, or when it provably existed.

Does: decide, and say why. Does not: verify timestamps; it is given the times of those that were.

A signing time that the signer claims never counts: whoever stole a key, or has an expired one, can claim any.

Standards: RFC 5652 section 11.3 (signing time), RFC 3161 appendix B (what a timestamp proves).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum

__all__ = ["Reason", "TrustedTime", "ValidationTime", "validation_time"]

_SKEW = timedelta(minutes=5)


class Reason(Enum):
    """Why a moment was chosen; the value is a text for people."""

    ASKED = "the caller asked for this time"
    TIMESTAMP = "a trusted timestamp proves that the signature existed then"
    PRESENT = "nothing proves that the signature is older than this moment"


@dataclass(frozen=True, slots=True, kw_only=True)
class TrustedTime:
    """A moment at which the signature provably existed; `authority` names who says so."""

    moment: datetime
    authority: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ValidationTime:
    """The moment to judge for. `present` is the real time: what has expired or was revoked since is only told."""

    moment: datetime
    present: datetime
    reason: Reason
    authority: str = ""


def validation_time(
    *, present: datetime, at: datetime | None = None, trusted: Iterable[TrustedTime] = ()
) -> ValidationTime:
    """Choose the moment (all times aware): `at` if it was asked for, else the earliest trusted time, else the present.

    Timestamps from the future prove nothing and are left out.
    """
    if at is not None:
        return ValidationTime(moment=at, present=present, reason=Reason.ASKED)
    proofs = [proof for proof in trusted if proof.moment <= present + _SKEW]
    if not proofs:
        return ValidationTime(moment=present, present=present, reason=Reason.PRESENT)
    first = min(proofs, key=lambda proof: proof.moment)
    moment = min(first.moment, present)
    return ValidationTime(moment=moment, present=present, reason=Reason.TIMESTAMP, authority=first.authority)
