"""Certificate path validation: may this certificate be used for this purpose at this time?

The table of contents of `trust`: `builder` finds chains, `checks` judges what does not change (with `name_constraints`,
`policies`, `conformity`, `signatures`), `revocation` judges CRLs and OCSP responses that others fetched; this module
adds the clock, chooses among chains, and remembers.

Hot file. Goal: a chain that was judged before costs two comparisons of times and a dictionary look-up, under 40 µs with
three certificates. Plan: everything about a search that depends on neither time nor revocation is kept in the
collection's bounded memory (`StaticPath`, with the first and last moment at which all its certificates are valid).

Does: a pure function of its arguments, but for that memory, which changes no answer. Does not: fetch; what it lacks is
in the report's `wanted`.

Standards: RFC 5280 section 6, RFC 8550 sections 4 and 5, RFC 5937.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import islice
from typing import NamedTuple

from smime_engine.asn1 import oids
from smime_engine.certificate import Certificate
from smime_engine.general_names import NameForm
from smime_engine.problems import Problem, Verdict, verdict_of
from smime_engine.trust.builder import candidate_chains
from smime_engine.trust.checks import StaticPath, check_chain
from smime_engine.trust.collection import TrustCollection
from smime_engine.trust.name_constraints import Comparisons
from smime_engine.trust.path_report import PathOptions, PathProblem, PathReport, Profile, Purpose, RevocationMode
from smime_engine.trust.revocation import NO_EVIDENCE, Evidence, Situation, check_chain_revocation
from smime_engine.trust.wanted import Issuer, Wanted

__all__ = [
    "DEFAULT_OPTIONS",
    "NO_EVIDENCE",
    "Evidence",
    "PathOptions",
    "PathProblem",
    "PathReport",
    "Profile",
    "Purpose",
    "RevocationMode",
    "issuer_urls",
    "validate_path",
]

DEFAULT_OPTIONS = PathOptions()

_JUDGED_CHAINS = 100
"""Chains that are judged in one search: a maze of cross certificates has many, and each costs up to a millisecond."""

_SIGNERS = 32
"""Signers of lists, other than the issuers themselves, whose paths are judged for one question."""

_WANTED = 20
"""Issuers that one report asks for: a hostile message should not make anybody fetch a thousand URLs."""

_REMEMBERED_OCTETS = 32_768
"""Size of all chains of a search up to which it is kept (three ML-DSA-87 certificates need 23,000), and …"""

_REMEMBERED_POOL = 64
"""… the pool's: both bound what hostile messages can fill memory with."""


def validate_path(  # noqa: PLR0913 - the inputs of RFC 5280 section 6.1.1, and the evidence
    leaf: Certificate,
    *,
    collection: TrustCollection,
    now: datetime,
    pool: Sequence[Certificate] = (),
    purpose: Purpose = Purpose.ANY,
    options: PathOptions = DEFAULT_OPTIONS,
    address: str | None = None,
    present: datetime | None = None,
    evidence: Evidence = NO_EVIDENCE,
) -> PathReport:
    """Find the path from `leaf` to an anchor of `collection` that has least against it, and say what that is.

    `pool` are further certificates that may help, from the message, say: they are used, never trusted. `now` is the
    time (aware) to judge for; where that lies in the past, `present` is the real time, and a certificate that was
    valid then and is not any more gets EXPIRED_SINCE. `address` is an e-mail address that the leaf must name.
    `evidence` is what is known about revocation; `options.revocation` says what it means when that is not enough. Never
    raises for what certificates contain. RFC 5280 section 6.
    """
    question = _Question(purpose, options, address, present, evidence)
    return _validate(leaf, collection, tuple(pool), now, question, {})


class _Question(NamedTuple):
    """The arguments of `validate_path` that are handed on together."""

    purpose: Purpose
    options: PathOptions
    address: str | None
    present: datetime | None
    evidence: Evidence


def _validate(
    leaf: Certificate,
    collection: TrustCollection,
    pool: tuple[Certificate, ...],
    now: datetime,
    question: _Question,
    signers: dict[bytes, bool],
) -> PathReport:
    options, purpose = question.options, question.purpose
    best: PathReport | None = None
    dead_ends: list[StaticPath] = []
    for path in _paths(leaf, pool, collection, purpose, options):
        problems = (
            *path.problems,
            *(() if path.valid_from <= now <= path.valid_until else _dated_problems(path, now)),
            *(() if question.present is None else _problems_since(path, now, question.present)),
            *(() if question.address is None else _address_problems(leaf, question.address)),
            *_pin_problems(path, collection),
        )
        wanted: tuple[Wanted, ...] = ()
        if path.anchored and options.revocation is not RevocationMode.NONE:
            revoked, wanted = _revocation(path, collection, pool, now, question, signers)
            # Nobody fetches anything for a path that is invalid anyhow.
            doomed = verdict_of([found.problem for found in problems], forgiven=options.forgiven) is Verdict.INVALID
            problems, wanted = (*problems, *revoked), () if doomed else wanted
        report = PathReport(
            chain=path.chain,
            anchored=path.anchored,
            problems=problems,
            wanted=wanted,
            policies=path.policies,
            purpose=purpose,
            now=now,
            forgiven=options.forgiven,
        )
        if not problems or report.verdict is Verdict.VALID:
            return report
        if not path.anchored:
            dead_ends.append(path)
        if best is None or _rank(report) < _rank(best):
            best = report
    assert best is not None  # a search has at least one chain, be it the leaf alone
    return best._replace(
        problems=tuple(_with_failure(found, question.evidence) for found in best.problems),
        wanted=(*best.wanted, *_missing_issuers(dead_ends)),
    )


def _revocation(
    path: StaticPath,
    collection: TrustCollection,
    pool: tuple[Certificate, ...],
    now: datetime,
    question: _Question,
    signers: dict[bytes, bool],
) -> tuple[tuple[PathProblem, ...], tuple[Wanted, ...]]:
    """Judge the certificates of an anchored path by the evidence.

    `signers` remembers, for this one question, which signers of lists other than the issuers themselves have a valid
    path to the same anchor. One whose path is being judged counts as trusted: its own status may stand in the list
    that it signs (RFC 5280 section 6.3.3 gives no other order).
    """
    options = question.options

    def trusts(signer: Certificate) -> bool:
        key = signer.fingerprint_sha256 + path.chain[-1].fingerprint_sha256
        if key not in signers:
            if len(signers) >= _SIGNERS:
                return False
            signers[key] = True
            own = replace(DEFAULT_OPTIONS, revocation=options.revocation, forgiven=options.forgiven)
            asked = _Question(Purpose.ANY, own, None, None, question.evidence)
            report = _validate(signer, collection, pool, now, asked, signers)
            signers[key] = report.verdict is Verdict.VALID and report.chain[-1] == path.chain[-1]
        return signers[key]

    situation = Situation(
        evidence=question.evidence,
        collection=collection,
        now=now,
        trusts=trusts,
        chain=path.chain,
        pool=pool,
        forgiven=options.forgiven,
        limits=options.limits,
    )
    return check_chain_revocation(path.chain, mode=options.revocation, situation=situation)


# --- searches, remembered


@dataclass(frozen=True, slots=True)
class _Search:
    """Chains that a search has found so far."""

    paths: tuple[StaticPath, ...]
    complete: bool


def _paths(
    leaf: Certificate,
    pool: Sequence[Certificate],
    collection: TrustCollection,
    purpose: Purpose,
    options: PathOptions,
) -> Iterator[StaticPath]:
    """All chains, those that were found earlier first. Whoever stops asking leaves the search to be continued."""
    key = (leaf.fingerprint_sha256, tuple([c.fingerprint_sha256 for c in pool]), purpose, options)
    known = collection.paths.recall(key) or _Search((), complete=False)
    yield from known.paths
    if known.complete:
        return
    limits = options.limits
    comparisons = Comparisons(limits)
    paths = list(known.paths)
    complete = False
    candidates = candidate_chains(leaf, collection=collection, pool=pool, limits=limits)
    try:
        for candidate in islice(candidates, len(paths), _JUDGED_CHAINS):
            path = check_chain(
                candidate, collection=collection, purpose=purpose, options=options, comparisons=comparisons
            )
            paths.append(path)
            yield path
        complete = True
    finally:
        size = sum(len(certificate.der) for path in paths for certificate in path.chain)
        if size <= _REMEMBERED_OCTETS and len(pool) <= _REMEMBERED_POOL:
            collection.paths.keep(key, _Search(tuple(paths), complete))


def _rank(report: PathReport) -> tuple[int, bool, int, int]:
    """How far a chain is from being valid: forged links, no anchor, problems against it, open questions."""
    counting = [found.problem for found in report.problems if found.problem not in report.forgiven]
    effects = [problem.effect for problem in counting]
    return (
        counting.count(Problem.CERTIFICATE_SIGNATURE_MISMATCH),
        not report.anchored,
        effects.count(Verdict.INVALID),
        effects.count(Verdict.UNKNOWN),
    )


# --- what depends on the clock and on the question


def _dated_problems(path: StaticPath, now: datetime) -> Iterator[PathProblem]:
    """Validity, to the second and inclusive at both ends (RFC 5280 section 4.1.2.5)."""
    second = now.replace(microsecond=0)
    for certificate in path.chain:
        if certificate.not_before > now:
            detail = f"valid from {certificate.not_before:%Y-%m-%d %H:%M} UTC"
            yield PathProblem(certificate=certificate, problem=Problem.NOT_YET_VALID, detail=detail)
        elif certificate.not_after < second:
            yield PathProblem(certificate=certificate, problem=Problem.EXPIRED, detail=_until(certificate))


def _problems_since(path: StaticPath, now: datetime, present: datetime) -> Iterator[PathProblem]:
    """What was valid at the time that is judged for, and has expired since."""
    if path.valid_until < present:
        second = now.replace(microsecond=0)
        for certificate in path.chain:
            if second <= certificate.not_after < present:
                yield PathProblem(certificate=certificate, problem=Problem.EXPIRED_SINCE, detail=_until(certificate))


def _until(certificate: Certificate) -> str:
    return f"valid until {certificate.not_after:%Y-%m-%d %H:%M} UTC"


def _pin_problems(path: StaticPath, collection: TrustCollection) -> Iterator[PathProblem]:
    pin = collection.missed_pin(path.chain)
    if pin is not None:
        yield PathProblem(certificate=path.chain[0], problem=Problem.PIN_MISMATCH, detail=f"pins of {pin.name}")


def _address_problems(leaf: Certificate, address: str) -> Iterator[PathProblem]:
    if not leaf.names_address(address):
        detail = f"it names {', '.join(leaf.addresses) or 'no address'}, not {address}"
        yield PathProblem(certificate=leaf, problem=Problem.ADDRESS_MISMATCH, detail=detail)


# --- what would help


def _missing_issuers(dead_ends: Sequence[StaticPath]) -> tuple[Wanted, ...]:
    """Where to find the issuers of the certificates that no chain went beyond."""
    wanted: dict[Wanted, None] = {}
    for path in dead_ends:
        last = path.chain[-1]
        if all(found.problem is not Problem.UNTRUSTED_ROOT for found in path.problems):
            wanted.update(dict.fromkeys(_wanted_issuers(last)))
    return tuple(wanted)[:_WANTED]


def _wanted_issuers(certificate: Certificate) -> Iterator[Issuer]:
    for url in issuer_urls(certificate) or (None,):
        yield Issuer(url=url, name=certificate.issuer, name_der=certificate.issuer_der)


def _with_failure(found: PathProblem, evidence: Evidence) -> PathProblem:
    """A missing issuer together with why it could not be fetched."""
    if found.problem is not Problem.ISSUER_MISSING:
        return found
    failures = filter(None, map(evidence.failure_of, _wanted_issuers(found.certificate)))
    texts = [f"{failure.wanted.url} could not be fetched: {failure.text}" for failure in failures]
    return replace(found, detail="; ".join((found.detail, *texts[:3]))) if texts else found


def issuer_urls(certificate: Certificate) -> tuple[str, ...]:
    """URLs of authorityInformationAccess where the issuer's certificate is said to be, each once."""
    return tuple(
        dict.fromkeys(
            str(location.value)
            for method, location in certificate.authority_information_access
            if method == oids.ID_AD_CA_ISSUERS and location.form is NameForm.URI
        )
    )
