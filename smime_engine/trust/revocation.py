"""Is a certificate revoked, and what follows when nobody knows: revocation lists, OCSP responses and the policy.

Does: judge bytes that others fetched, and say what to fetch. Does not: fetch. The trust anchor is not judged: nobody
could revoke it.

    lists (`crl_check.py`)     revoked by either -> REVOKED
    OCSP (`ocsp_check.py`)     settled by either -> nothing to report
                               otherwise         -> what the mode says, with reasons, and `wanted`

Standards: RFC 5280 section 6.3, RFC 6960.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from smime_engine.asn1 import oids
from smime_engine.certificate import Certificate
from smime_engine.certificate_extensions import DistributionPoint
from smime_engine.errors import MalformedMessage
from smime_engine.general_names import NameForm
from smime_engine.names import readable_name
from smime_engine.problems import Finding, Problem
from smime_engine.trust.crl_check import ListedStatus, check_crls
from smime_engine.trust.crl_scope import issuers_of_point
from smime_engine.trust.evidence import NO_EVIDENCE, Evidence, FetchFailure
from smime_engine.trust.ocsp import CertificateStatus, ocsp_request
from smime_engine.trust.ocsp_check import AnsweredStatus, check_ocsp
from smime_engine.trust.path_report import PathProblem, RevocationMode
from smime_engine.trust.signed_evidence import Situation, utc_text
from smime_engine.trust.wanted import Crl, Ocsp, Wanted

__all__ = [
    "NO_EVIDENCE",
    "Evidence",
    "FetchFailure",
    "Revocation",
    "Situation",
    "check_chain_revocation",
    "check_revocation",
]

_MOST_NOTES = 3  # reasons in one text
_MOST_WANTED = 16  # addresses taken from one certificate
_SCHEMES = ("http://", "https://", "ldap://", "ldaps://")


@dataclass(frozen=True, slots=True, kw_only=True)
class Revocation:
    """The outcome for one certificate: no findings means not revoked, or not asked."""

    findings: tuple[Finding, ...] = ()
    wanted: tuple[Wanted, ...] = ()


_NOTHING = Revocation()


def check_revocation(
    certificate: Certificate, issuer: Certificate, *, mode: RevocationMode, situation: Situation
) -> Revocation:
    """Judge one certificate; `issuer` is its issuer on a path whose signatures were verified."""
    if mode is RevocationMode.NONE:
        return _NOTHING
    settled_key = (certificate.fingerprint_sha256, issuer.fingerprint_sha256, situation.forgiven)
    window = situation.evidence.settled.recall(settled_key)
    if window is not None and window[0] <= situation.now <= window[1]:
        return _NOTHING
    listed = check_crls(certificate, issuer, situation)
    answered = check_ocsp(certificate, issuer, situation)
    revoked = _revoked(listed, answered)
    if revoked is not None:
        return Revocation(findings=(revoked,))
    later = _later(listed, answered)
    settled = listed.is_known or (answered.answer is not None and mode is not RevocationMode.EXCHANGE_ONLINE)
    if settled:
        wanted = tuple(_wanted_deltas(certificate, listed, situation.evidence))
        if later or wanted:
            return Revocation(findings=later, wanted=wanted)
        if answered.answer is None and not answered.notes:
            _remember(settled_key, listed, situation)
        return _NOTHING
    notes = (*listed.notes, *answered.notes)
    return _undetermined(certificate, issuer, mode, situation.evidence, notes)


def _remember(key: object, listed: ListedStatus, situation: Situation) -> None:
    """Keep that a certificate is not revoked, going by lists alone that its own issuer signed.

    It stays so from now on until the first of those lists expires: until then, lists that are not in force now, or do
    not cover the certificate, will not be either. About the time before now nothing is kept.
    """
    if not listed.is_known or not listed.by_issuer:
        return
    if any(crl.this_update > situation.now for crl in listed.used):
        return
    expiries = [crl.next_update for crl in listed.used if crl.next_update is not None]
    situation.evidence.settled.keep(key, (situation.now, min(expiries)))


def check_chain_revocation(
    chain: Sequence[Certificate], *, mode: RevocationMode, situation: Situation
) -> tuple[tuple[PathProblem, ...], tuple[Wanted, ...]]:
    """Judge every certificate of an anchored chain (the leaf first, the anchor last, which is not judged)."""
    if mode is RevocationMode.NONE:
        return (), ()
    problems: list[PathProblem] = []
    wanted: dict[Wanted, None] = {}
    for certificate, issuer in pairwise(chain):
        outcome = check_revocation(certificate, issuer, mode=mode, situation=situation)
        if outcome is not _NOTHING:
            problems += [
                PathProblem(certificate=certificate, problem=found.problem, detail=found.detail)
                for found in outcome.findings
            ]
            wanted.update(dict.fromkeys(outcome.wanted))
    return tuple(problems), tuple(wanted)


def _revoked(listed: ListedStatus, answered: AnsweredStatus) -> Finding | None:
    if listed.entry is not None:
        entry = listed.entry
        return Finding(problem=Problem.REVOKED, detail=f"{entry.reason}, at {utc_text(entry.revoked_at)}")
    answer = answered.answer
    if answer is not None and answer.status is CertificateStatus.REVOKED and not answered.is_later:
        when = "" if answer.revoked_at is None else f", at {utc_text(answer.revoked_at)}"
        return Finding(problem=Problem.REVOKED, detail=f"{answer.reason}{when}, by OCSP")
    return None


def _later(listed: ListedStatus, answered: AnsweredStatus) -> tuple[Finding, ...]:
    if listed.later is not None:
        reason, when = listed.later.reason, listed.later.revoked_at
    elif answered.is_later and answered.answer is not None and answered.answer.revoked_at is not None:
        reason, when = answered.answer.reason, answered.answer.revoked_at
    else:
        return ()
    return (Finding(problem=Problem.REVOKED_SINCE, detail=f"{reason}, at {utc_text(when)}"),)


def _undetermined(
    certificate: Certificate, issuer: Certificate, mode: RevocationMode, evidence: Evidence, notes: tuple[str, ...]
) -> Revocation:
    """What an unknown status means."""
    candidates = tuple(dict.fromkeys(_wanted(certificate, issuer, mode)))[:_MOST_WANTED]
    failures = {wanted: failure for wanted in candidates if (failure := evidence.failure_of(wanted)) is not None}
    wanted = tuple(candidate for candidate in candidates if candidate not in failures)
    reasons = (*(_failure_text(failure) for failure in failures.values()), *notes)
    if not candidates:
        reasons = (*reasons, "the certificate names no place where a revocation list could be fetched")
    detail = "; ".join(reasons[:_MOST_NOTES])
    if mode is RevocationMode.SOFT_FAIL:
        problem = Problem.REVOCATION_UNCHECKED
    elif mode is RevocationMode.EXCHANGE_ONLINE and (failures or not candidates):
        problem = Problem.CRL_UNREACHABLE
    else:
        problem = Problem.REVOCATION_UNKNOWN
    return Revocation(findings=(Finding(problem=problem, detail=detail),), wanted=wanted)


def _failure_text(failure: FetchFailure) -> str:
    kind = "OCSP" if isinstance(failure.wanted, Ocsp) else "CRL"
    place = failure.wanted.url or "an unknown place"
    return f"{kind} at {place} could not be fetched: {failure.text}"


def _wanted(certificate: Certificate, issuer: Certificate, mode: RevocationMode) -> Iterator[Wanted]:
    """What could settle the question: an OCSP response (small, so first) or a list. Exchange asks for lists alone."""
    if mode is not RevocationMode.EXCHANGE_ONLINE:
        for method, location in certificate.authority_information_access:
            if method == oids.ID_AD_OCSP and location.form is NameForm.URI and _fetchable(str(location.value)):
                yield _wanted_ocsp(certificate, issuer, str(location.value))
    yield from _wanted_lists(certificate.crl_distribution_points, certificate)


def _wanted_ocsp(certificate: Certificate, issuer: Certificate, url: str) -> Ocsp:
    return Ocsp(url=url, issuer=certificate.issuer, request=ocsp_request(certificate, issuer))


def _wanted_lists(
    points: tuple[DistributionPoint, ...], certificate: Certificate, *, delta: bool = False
) -> Iterator[Crl]:
    for point in points:
        issuers = issuers_of_point(point, certificate)
        for name in point.full_name:
            if name.form is NameForm.URI and _fetchable(str(name.value)) and issuers:
                yield Crl(url=str(name.value), issuer=_readable(issuers[0][0]), delta=delta)


def _wanted_deltas(certificate: Certificate, listed: ListedStatus, evidence: Evidence) -> Iterator[Crl]:
    """Delta lists that the certificate or the list points to, where none was used and nobody has tried."""
    if any(crl.is_delta for crl in listed.used):
        return
    points = certificate.freshest_crl or tuple(point for crl in listed.used for point in crl.freshest)
    for wanted in dict.fromkeys(_wanted_lists(points, certificate, delta=True)):
        if evidence.failure_of(wanted) is None:
            yield wanted


def _fetchable(url: str) -> bool:
    return url.lower().startswith(_SCHEMES)


def _readable(name: bytes) -> str:
    try:
        return readable_name(name)
    except MalformedMessage:
        return "#" + name.hex()
