"""The exit status of every outcome, in one place: the contract that scripts depend on."""

from __future__ import annotations

from smime_engine.errors import (
    DecryptionFailed,
    MalformedMessage,
    NoMatchingKey,
    NotValid,
    SmimeError,
    SourceUnavailable,
    UnsupportedAlgorithm,
)
from smime_engine.problems import Verdict

__all__ = ["INVALID", "MALFORMED", "NO_KEY", "UNKNOWN", "USAGE", "VALID", "status_of", "status_of_verdict"]

VALID, INVALID, USAGE, UNKNOWN, MALFORMED, NO_KEY = range(6)

# The first class that fits decides; everything else that the engine raises is a matter of how it was called.
_BY_ERROR: tuple[tuple[type[SmimeError], int], ...] = (
    (MalformedMessage, MALFORMED),
    (NoMatchingKey, NO_KEY),
    (DecryptionFailed, INVALID),
    (NotValid, INVALID),
    (UnsupportedAlgorithm, UNKNOWN),
    (SourceUnavailable, UNKNOWN),
)
_BY_VERDICT = {Verdict.VALID: VALID, Verdict.INVALID: INVALID, Verdict.UNKNOWN: UNKNOWN}


def status_of(error: SmimeError) -> int:
    """Exit status of an exception."""
    return next((status for kind, status in _BY_ERROR if isinstance(error, kind)), USAGE)


def status_of_verdict(verdict: Verdict | None) -> int:
    """Exit status of a verdict; None (nothing was signed) is 0."""
    return VALID if verdict is None else _BY_VERDICT[verdict]
