"""Values around path validation: what is asked (`Purpose`, `PathOptions`) and what is answered (`PathReport`).

Does: hold them, and derive the verdict. Does not: decide; that is `path.validate_path`.

Standards: RFC 5280 section 6.1.1 (inputs) and 6.1.6 (outputs).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from typing import NamedTuple, NoReturn

from smime_engine.asn1 import oids
from smime_engine.certificate import Certificate
from smime_engine.limits import DEFAULT_LIMITS, Limits
from smime_engine.problems import Problem, Verdict, verdict_of
from smime_engine.trust.wanted import Wanted

__all__ = ["PathOptions", "PathProblem", "PathReport", "Profile", "Purpose", "RevocationMode"]


class Purpose(Enum):
    """What the leaf's key is used for; the value is the name on the command line."""

    ANY = "any"
    """Judge the path alone: neither key usage nor extended key usage of the leaf is looked at."""

    SIGN = "sign"
    """Sign mail: digitalSignature or nonRepudiation, and emailProtection (RFC 8550 section 4.4)."""

    ENCRYPT = "encrypt"
    """Receive encrypted mail: keyEncipherment or keyAgreement as the key demands, and emailProtection."""

    TIMESTAMP = "timestamp"
    """Stamp times: digitalSignature or nonRepudiation, and timeStamping (RFC 3161 section 2.3)."""


class Profile(Enum):
    """How much of RFC 5280's rules for *issuers* counts, beyond what section 6 asks of those who validate."""

    TOLERANT = "tolerant"
    """Tell what is amiss as CERTIFICATE_NONCONFORMING, which changes no verdict: private CAs break these rules."""

    STRICT = "strict"
    """The same is CERTIFICATE_MALFORMED."""


class RevocationMode(Enum):
    """What it means when the revocation status cannot be determined."""

    NONE = "none"
    """Revocation is not looked at."""

    SOFT_FAIL = "soft-fail"
    """REVOCATION_UNCHECKED: told, and tolerated."""

    HARD_FAIL = "hard-fail"
    """REVOCATION_UNKNOWN: the verdict is UNKNOWN until somebody fetches what is wanted."""

    EXCHANGE_ONLINE = "exchange-online"
    """As HARD_FAIL, and CRL_UNREACHABLE, which is INVALID, once fetching a list has failed or where the certificate
    names no place of one. An OCSP response does not stand in for the list, but may revoke.
    """


@dataclass(frozen=True, slots=True, kw_only=True)
class PathOptions:
    """Inputs of path validation that are policy. The defaults are RFC 5280's, without revocation."""

    initial_policies: frozenset[str] = frozenset({str(oids.ANY_POLICY)})
    """Acceptable certificate policies, dotted."""

    require_explicit_policy: bool = False
    inhibit_policy_mapping: bool = False
    inhibit_any_policy: bool = False

    maximum_intermediates: int | None = None
    """CA certificates between anchor and leaf, self-issued ones not counted: X.509's initial path length."""

    revocation: RevocationMode = RevocationMode.NONE

    profile: Profile = Profile.TOLERANT

    forgiven: frozenset[Problem] = frozenset()
    """Problems that are reported and do not count, WEAK_DIGEST for an old partner, say."""

    limits: Limits = DEFAULT_LIMITS


@dataclass(frozen=True, slots=True, kw_only=True)
class PathProblem:
    """One problem of one certificate of the chain."""

    certificate: Certificate
    problem: Problem
    detail: str = ""
    """What a person needs beyond the problem's own text: a name, an OID, a date, an address."""

    def __str__(self) -> str:
        detail = f" ({self.detail})" if self.detail else ""
        return f"{self.certificate.subject or 'certificate without subject'}: {self.problem.text}{detail}"


class PathReport(NamedTuple):
    """The answer about one certificate path. It has no truth value: compare `verdict`.

    A NamedTuple, because making a frozen dataclass of eight fields would be a quarter of a warm validation.
    """

    chain: tuple[Certificate, ...]
    """The leaf first, the trust anchor last; where none was reached, as far as the most promising path went."""

    anchored: bool
    """Whether the last certificate of the chain is a trust anchor."""

    problems: tuple[PathProblem, ...]
    wanted: tuple[Wanted, ...] = ()
    """What may change the answer once it is fetched."""

    policies: tuple[str, ...] = ()
    """The certificate policies, dotted, that the path and the caller agree on (user-constrained-policy-set)."""

    purpose: Purpose = Purpose.ANY
    now: datetime | None = None
    """The time that the path was judged for."""

    forgiven: frozenset[Problem] = frozenset()

    @property
    def verdict(self) -> Verdict:
        """VALID where nothing that counts is against the path."""
        return verdict_of([found.problem for found in self.problems], forgiven=self.forgiven)

    def problems_of(self, certificate: Certificate) -> tuple[PathProblem, ...]:
        """The problems of one certificate of the chain."""
        return tuple(found for found in self.problems if found.certificate == certificate)

    def __bool__(self) -> NoReturn:
        raise TypeError("a path report has no truth value: compare its verdict")
