"""Why a recipient has no certificate, and what to tell about one that has: names, and how they follow from problems.

The name of a `Reason` is the stable identifier in reports and JSON, the value a text for people. A certificate may be
unfit for several reasons; all are told, the gravest first.

Does: hold the names and translate problems of paths. Does not: judge.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import Enum

from smime_engine.problems import Problem

__all__ = ["Note", "Reason", "reasons_of"]


class Reason(Enum):
    """Why there is no certificate to encrypt to, the gravest first."""

    NOT_AN_ADDRESS = "this is no e-mail address"
    NOT_FOUND = "no source knows the address"
    NO_CERTIFICATE = "the address is known, and there is no certificate for it"
    UNREADABLE = "there are values, and none of them is a certificate that can be read"
    SOURCE_UNAVAILABLE = "a source that should know does not answer"
    GROUP_NOT_EXPANDED = "the members of this group are not known"

    MALFORMED = "the certificate breaks the rules"
    REVOKED = "the certificate was revoked"
    UNTRUSTED = "no path leads from the certificate to an authority that the tenant trusts"
    WRONG_ADDRESS = "the certificate names another address"
    WRONG_USAGE = "the certificate is not for encrypting mail"
    UNSUPPORTED_KEY = "the certificate has a key that nobody here can encrypt to"
    WEAK = "key or signature of the certificate are too weak"
    EXPIRED = "the certificate has expired"
    NOT_YET_VALID = "the certificate is not yet valid"
    REVOCATION_UNKNOWN = "nobody could say whether the certificate was revoked"

    @property
    def is_temporary(self) -> bool:
        """Whether trying again soon may help."""
        return self in {Reason.SOURCE_UNAVAILABLE, Reason.REVOCATION_UNKNOWN}


class Note(Enum):
    """What is worth telling about a certificate that was chosen."""

    SEVERAL_FIT = "several certificates seem to fit"
    EXPIRES_SOON = "the certificate expires soon"
    NAMES_PRIMARY_ADDRESS = "the certificate names the primary address of the mailbox, not the one that was asked for"
    NAMES_OTHER_ADDRESS = "the certificate names another address that the source gives to the same mailbox"
    SEVERAL_ENTRIES = "several entries of one source have the address"
    VALUES_LEFT_OUT = "some values of the entry could not be read"
    REVOCATION_UNCHECKED = "whether the certificate was revoked is not known, and the policy tolerates that"
    STALE = "the source does not answer: this is what it said earlier"
    SOURCE_UNAVAILABLE = "a source that comes first does not answer: it may have another certificate"


_REASONS: dict[Problem, Reason] = {
    Problem.REVOKED: Reason.REVOKED,
    Problem.ADDRESS_MISMATCH: Reason.WRONG_ADDRESS,
    Problem.KEY_USAGE_UNFIT: Reason.WRONG_USAGE,
    Problem.EXTENDED_KEY_USAGE_UNFIT: Reason.WRONG_USAGE,
    Problem.UNSUPPORTED_KEY: Reason.UNSUPPORTED_KEY,
    Problem.WEAK_KEY: Reason.WEAK,
    Problem.WEAK_DIGEST: Reason.WEAK,
    Problem.WEAK_SIGNATURE_ALGORITHM: Reason.WEAK,
    Problem.EXPIRED: Reason.EXPIRED,
    Problem.NOT_YET_VALID: Reason.NOT_YET_VALID,
    Problem.REVOCATION_UNKNOWN: Reason.REVOCATION_UNKNOWN,
    Problem.CRL_UNREACHABLE: Reason.REVOCATION_UNKNOWN,
    Problem.CERTIFICATE_MALFORMED: Reason.MALFORMED,
    Problem.UNKNOWN_CRITICAL_EXTENSION: Reason.MALFORMED,
}
"""Every other problem that counts is one of the path: UNTRUSTED."""

_ORDER = {reason: place for place, reason in enumerate(Reason)}


def reasons_of(problems: Iterable[Problem], *, forgiven: frozenset[Problem] = frozenset()) -> tuple[Reason, ...]:
    """The reasons that follow from the problems that count, the gravest first, each once."""
    counting = (problem for problem in problems if problem.effect is not None and problem not in forgiven)
    found = {_REASONS.get(problem, Reason.UNTRUSTED) for problem in counting}
    return tuple(sorted(found, key=_ORDER.__getitem__))
