"""Choose the certificate to encrypt to for each recipient, or say why there is none: a pure function.

    choices = choose_certificates(answers, ChoicePolicy(collection=tenant), now)
    for choice in choices: choice.certificate or choice.reason

The order of choice, first to last (a certificate that is not fit never counts, wherever it stands):

 1. sources in the order in which they were asked;
 2. userSMIMECertificate before userCertificate (MS-OXLDAP: "SHOULD be preferred");
 3. the one that a value marks as preferred, then the one that signed the value, then all others (Outlook);
 4. one that names the address asked for, then the primary address, then another address of the mailbox;
 5. the latest start of validity, then the latest end; then the fingerprint, so that the answer is always the same.

Fit is a certificate with a valid path to the tenant's collection for encrypting mail, that names an address which
counts. The source has no say in that. Other addresses of the mailbox count where the policy says so: Exchange's
OWAUseSecondaryProxiesWhenFindingCertificates, and then the source is believed about whose addresses they are.

Does not: ask sources, fetch (what would help is in `wanted`), choose algorithms, or decide about sending.

Standards: RFC 8550 sections 3 and 4.4, MS-OXLDAP 2.2.5.2; Outlook's rules as its makers described them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from smime_engine.addresses import comparable_address
from smime_engine.certificate import Certificate
from smime_engine.cms.addressing import recipient_for
from smime_engine.cms.capabilities import Capability
from smime_engine.directory.entries import Answer, DirectoryEntry, ListedCertificate, Origin
from smime_engine.directory.reasons import Note, Reason, reasons_of
from smime_engine.errors import UnsupportedAlgorithm
from smime_engine.problems import Problem, Verdict
from smime_engine.trust.collection import TrustCollection
from smime_engine.trust.path import (
    DEFAULT_OPTIONS,
    NO_EVIDENCE,
    Evidence,
    PathOptions,
    PathReport,
    Purpose,
    validate_path,
)
from smime_engine.trust.wanted import Wanted

__all__ = ["Choice", "ChoicePolicy", "Rejected", "choose_certificates"]

_ENCRYPTING = frozenset({"keyEncipherment", "keyAgreement"})


@dataclass(frozen=True, slots=True, kw_only=True)
class ChoicePolicy:
    """What the tenant demands."""

    collection: TrustCollection
    options: PathOptions = DEFAULT_OPTIONS
    """Revocation mode, forgiven problems, limits."""

    evidence: Evidence = NO_EVIDENCE
    pool: tuple[Certificate, ...] = ()
    """Further certificates that may help to build paths."""

    use_secondary_proxies: bool = True
    """Exchange's OWAUseSecondaryProxiesWhenFindingCertificates."""

    expiry_warning: timedelta = timedelta(days=30)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rejected:
    """A certificate that was looked at and is not fit."""

    listed: ListedCertificate
    entry: DirectoryEntry
    report: PathReport
    reasons: tuple[Reason, ...]
    """The gravest first; never empty."""

    @property
    def detail(self) -> str:
        """Everything that counts against it, in words."""
        counting = (p for p in self.report.problems if p.problem.effect is not None)
        return "; ".join(map(str, counting)) or self.reasons[0].value


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """The answer for one recipient. It has a certificate or a reason, never both."""

    address: str
    chosen: ListedCertificate | None = None
    entry: DirectoryEntry | None = None
    """The entry of the chosen certificate; without one, the first entry that is known."""

    report: PathReport | None = None
    """The path of the chosen certificate."""

    reason: Reason | None = None
    """Why there is none."""

    detail: str = ""
    """What a person needs beyond the reason's own text."""

    notes: tuple[tuple[Note, str], ...] = ()
    """What is worth telling about the chosen certificate, each with its detail."""

    rejected: tuple[Rejected, ...] = ()
    """Certificates that were looked at and are not fit, in the order of choice."""

    incomplete: bool = False
    """Whether a source did not answer: what it knows could be another answer."""

    @property
    def certificate(self) -> Certificate | None:
        """The certificate to encrypt to."""
        return None if self.chosen is None else self.chosen.certificate

    @property
    def capabilities(self) -> tuple[Capability, ...] | None:
        """What the source says that the recipient's client can read."""
        return None if self.chosen is None else self.chosen.capabilities

    @property
    def source(self) -> str | None:
        """The name of the source of the entry."""
        return None if self.entry is None else self.entry.source

    @property
    def wanted(self) -> tuple[Wanted, ...]:
        """What could change the answer once it is fetched."""
        reports = [found.report for found in self.rejected]
        if self.report is not None:
            reports.append(self.report)
        return tuple(dict.fromkeys(wanted for report in reports for wanted in report.wanted))


def choose_certificates(answers: Iterable[Answer], policy: ChoicePolicy, now: datetime) -> tuple[Choice, ...]:
    """Choose for each answer, in their order. `now` is aware. Never raises for what entries hold."""
    return tuple([_choose(answer, policy, now) for answer in answers])


def _choose(answer: Answer, policy: ChoicePolicy, now: datetime) -> Choice:
    wanted = comparable_address(answer.address)
    if wanted is None:
        return Choice(address=answer.address, reason=Reason.NOT_AN_ADDRESS)
    rejected: list[Rejected] = []
    candidates = _in_order(answer.entries, wanted, policy, now)
    for candidate in candidates[: policy.options.limits.judged_certificates]:
        report = validate_path(
            candidate.listed.certificate,
            collection=policy.collection,
            now=now,
            pool=(*candidate.entry.pool, *policy.pool),
            purpose=Purpose.ENCRYPT,
            options=policy.options,
            address=candidate.named,
            evidence=policy.evidence,
        )
        reasons = _reasons(candidate, report)
        if not reasons:
            return Choice(
                address=answer.address,
                chosen=candidate.listed,
                entry=candidate.entry,
                report=report,
                notes=tuple(_notes(answer, candidate, candidates, report, policy, now)),
                rejected=tuple(rejected),
                incomplete=bool(answer.failures),
            )
        rejected.append(Rejected(listed=candidate.listed, entry=candidate.entry, report=report, reasons=reasons))
    return _missing(answer, rejected)


def _reasons(candidate: _Candidate, report: PathReport) -> tuple[Reason, ...]:
    """What stands against a certificate, () for one that is fit: a valid path, and a key that can be encrypted to."""
    if report.verdict is not Verdict.VALID:
        return reasons_of((found.problem for found in report.problems), forgiven=report.forgiven)
    try:
        recipient_for(candidate.listed.certificate)
    except UnsupportedAlgorithm:
        return (Reason.UNSUPPORTED_KEY,)
    return ()


# --- the order of choice


@dataclass(frozen=True, slots=True)
class _Candidate:
    listed: ListedCertificate
    entry: DirectoryEntry
    named: str
    """The address that the certificate must name: one that it names, or else the one that was asked for."""

    closeness: int
    """0: it names the address that was asked for, 1: the primary address, 2: another one, 3: none that counts."""

    looks_fit: bool
    """What can be seen without a path: dates, usage, address. Those that look fit are judged first."""


_PLACE_OF_ORIGIN = {Origin.USER_CERTIFICATE: 1}
"""Within one source; all other origins come first."""


def _in_order(
    entries: Sequence[DirectoryEntry], wanted: str, policy: ChoicePolicy, now: datetime
) -> Sequence[_Candidate]:
    sources = {source: place for place, source in enumerate(dict.fromkeys(entry.source for entry in entries))}
    found: dict[tuple[str, bytes], _Candidate] = {}
    for entry in entries:
        if entry.is_group:
            continue
        for listed in entry.certificates:
            candidate = _candidate(listed, entry, wanted, policy, now)
            key = (entry.source, listed.certificate.fingerprint_sha256)
            known = found.get(key)
            if known is None or _rank(candidate, sources) < _rank(known, sources):
                found[key] = candidate
    candidates = list(found.values())
    if len(candidates) > 1:
        candidates.sort(key=lambda candidate: (not candidate.looks_fit, _rank(candidate, sources)))
    return candidates


def _rank(candidate: _Candidate, sources: dict[str, int]) -> tuple[object, ...]:
    listed = candidate.listed
    certificate = listed.certificate
    return (
        sources[candidate.entry.source],
        _PLACE_OF_ORIGIN.get(listed.origin, 0),
        listed.standing.value,
        candidate.closeness,
        -certificate.not_before.timestamp(),
        -certificate.not_after.timestamp(),
        certificate.fingerprint_sha256,
    )


def _candidate(
    listed: ListedCertificate, entry: DirectoryEntry, wanted: str, policy: ChoicePolicy, now: datetime
) -> _Candidate:
    certificate = listed.certificate
    named, closeness = wanted, 3
    if certificate.names_address(wanted):
        closeness = 0
    elif entry.has_address(wanted):
        # Addresses of an entry count only where the address that was asked for is one of them.
        others = entry.proxies if policy.use_secondary_proxies else ()
        if entry.primary is not None and certificate.names_address(entry.primary):
            named, closeness = entry.primary, 1
        else:
            named, closeness = next(((other, 2) for other in others if certificate.names_address(other)), (wanted, 3))
    usage = certificate.key_usage
    looks_fit = (
        closeness < 3
        and certificate.not_before <= now <= certificate.not_after
        and (usage is None or not usage.isdisjoint(_ENCRYPTING))
    )
    return _Candidate(listed, entry, named, closeness, looks_fit)


# --- what is told


_NOTE_OF_CLOSENESS = {1: Note.NAMES_PRIMARY_ADDRESS, 2: Note.NAMES_OTHER_ADDRESS}


def _notes(
    answer: Answer,
    candidate: _Candidate,
    candidates: Sequence[_Candidate],
    report: PathReport,
    policy: ChoicePolicy,
    now: datetime,
) -> Iterator[tuple[Note, str]]:
    fit = sum(other.looks_fit for other in candidates)
    if fit > 1:
        yield Note.SEVERAL_FIT, f"{fit} certificates, the first in the order of choice is taken"
    if candidate.closeness in _NOTE_OF_CLOSENESS:
        yield _NOTE_OF_CLOSENESS[candidate.closeness], candidate.named
    ends = min(certificate.not_after for certificate in report.chain)
    if ends - now <= policy.expiry_warning:
        yield Note.EXPIRES_SOON, f"{ends:%Y-%m-%d %H:%M} UTC"
    same = [entry.identifier for entry in answer.entries if entry.source == candidate.entry.source]
    if len(same) > 1:
        yield Note.SEVERAL_ENTRIES, "; ".join(same[:5])
    if candidate.entry.defects:
        yield Note.VALUES_LEFT_OUT, "; ".join(candidate.entry.defects)
    if any(found.problem is Problem.REVOCATION_UNCHECKED for found in report.problems):
        yield Note.REVOCATION_UNCHECKED, ""
    if answer.stale:
        yield Note.STALE, ""
    for failure in answer.failures:
        yield Note.SOURCE_UNAVAILABLE, f"{failure.source}: {failure.text}"


def _missing(answer: Answer, rejected: Sequence[Rejected]) -> Choice:
    """Say why: for the certificate that lacks least, or why there is none to look at."""
    entry = answer.entries[0] if answer.entries else None
    defects = tuple(defect for found in answer.entries for defect in found.defects)
    failures = "; ".join(f"{failure.source}: {failure.text}" for failure in answer.failures)
    detail = ""
    if rejected:
        # The last in the enumeration is the least grave: "has expired" says more than "untrusted" of another one.
        nearest = min(rejected, key=lambda found: (len(found.reasons), -_GRAVITY[found.reasons[0]]))
        reason, entry, detail = nearest.reasons[0], nearest.entry, nearest.detail
    elif answer.entries and all(found.is_group for found in answer.entries):
        reason = Reason.GROUP_NOT_EXPANDED
    elif answer.failures:
        reason, detail = Reason.SOURCE_UNAVAILABLE, failures
    elif defects:
        reason, detail = Reason.UNREADABLE, "; ".join(defects)
    else:
        reason = Reason.NO_CERTIFICATE if answer.entries else Reason.NOT_FOUND
    if answer.failures and reason is not Reason.SOURCE_UNAVAILABLE:
        detail = f"{detail}; no answer from {failures}" if detail else failures
    return Choice(
        address=answer.address,
        entry=entry,
        reason=reason,
        detail=detail,
        rejected=tuple(rejected),
        incomplete=bool(answer.failures),
    )


_GRAVITY = {reason: place for place, reason in enumerate(Reason)}
