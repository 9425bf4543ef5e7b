"""A path report in words: the chain as a tree, what was checked, what failed, and what an administrator can do.

Does: a pure function from a `PathReport` to lines of text; the caller prints them. Does not: judge anything anew, nor
make text safe for a terminal (names of hostile certificates are escaped by `names.readable_name` already; addresses
in details are not).
"""

from __future__ import annotations

from collections.abc import Iterator

from smime_engine.certificate import Certificate
from smime_engine.errors import MalformedMessage, UnsupportedAlgorithm
from smime_engine.problems import Problem, Verdict
from smime_engine.trust.path_report import PathProblem, PathReport, Purpose, RevocationMode
from smime_engine.trust.wanted import Crl, Issuer, Wanted

__all__ = ["ADVICE", "path_diagnosis"]

ADVICE: dict[Problem, str] = {
    Problem.NO_TRUST_ANCHOR: "name the root certificates that you trust, or import them into the tenant's collection",
    Problem.ISSUER_MISSING: "add the issuer's certificate to the collection, or let its URL be fetched",
    Problem.UNTRUSTED_ROOT: "if you trust this root, import it into the tenant's collection; if not, this is right",
    Problem.DISTRUSTED: "the collection's distrust list names it: take it off only if you know why it was put there",
    Problem.PIN_MISMATCH: "another authority than the pinned one issued for this address: ask the partner over another "
    "way, then change the pin or treat it as an attack",
    Problem.CERTIFICATE_MALFORMED: "its owner needs a new certificate from an issuer that follows RFC 5280",
    Problem.CERTIFICATE_SIGNATURE_MISMATCH: "a forged or damaged certificate, or an issuer that changed its key "
    "under the same name: fetch both certificates again from their source",
    Problem.PATH_LOOP: "the certificates lead to no root: add the root that the issuer publishes",
    Problem.EXPIRED: "renew it; to judge an old message as of its time, give that time",
    Problem.NOT_YET_VALID: "wait until then, or check the clock of this machine and of the issuer",
    Problem.NOT_A_CA: "somebody issued a certificate with a key that must not: treat it as forged",
    Problem.PATH_LENGTH_EXCEEDED: "the issuer's own issuer forbids so many sub-authorities: ask the issuer",
    Problem.KEY_USAGE_UNFIT: "use another certificate of this owner, or let it be issued again with the key usage",
    Problem.EXTENDED_KEY_USAGE_UNFIT: "let it be issued again with emailProtection (1.3.6.1.5.5.7.3.4)",
    Problem.NAME_NOT_PERMITTED: "the authority above may issue for other names alone: take another authority",
    Problem.NAME_EXCLUDED: "the authority above must not issue for this name: take another authority",
    Problem.UNSUPPORTED_NAME_CONSTRAINT: "the authority's constraint cannot be checked, so that it is not trusted",
    Problem.UNKNOWN_CRITICAL_EXTENSION: "its issuer demands to be refused by whoever does not know the extension",
    Problem.POLICY_NOT_ACCEPTED: "ask for another policy, or take a certificate that was issued under an accepted one",
    Problem.POLICY_MAPPING_INVALID: "the authority made a mistake that makes all its certificates invalid: tell it",
    Problem.ADDRESS_MISMATCH: "it belongs to another mailbox, or must be issued again with this address",
    Problem.WEAK_DIGEST: "let it be issued again with SHA-256; or forgive WEAK_DIGEST for this partner",
    Problem.WEAK_SIGNATURE_ALGORITHM: "let it be issued again with RSA or ECDSA",
    Problem.WEAK_KEY: "its owner needs a new key of at least 2048 bits (RSA)",
    Problem.UNSUPPORTED_KEY: "this software cannot use such a key",
    Problem.UNSUPPORTED_SIGNATURE_ALGORITHM: "this software cannot check such a signature",
    Problem.REVOKED: "do not use it; its owner needs a new one",
    Problem.REVOCATION_UNKNOWN: "fetch the list or OCSP answer named below, or get the list from the issuer",
    Problem.CRL_UNREACHABLE: "make the address reachable from here, or ask the issuer to publish the list",
}
"""What to do about a problem; INFO problems and those that a path cannot have are not in it."""

_USES = {
    Purpose.ANY: "any use",
    Purpose.SIGN: "signing mail",
    Purpose.ENCRYPT: "receiving encrypted mail",
    Purpose.TIMESTAMP: "stamping times",
}
_SIGNS = {None: "note", Verdict.INVALID: "FAILED", Verdict.UNKNOWN: "OPEN"}


def path_diagnosis(report: PathReport, *, revocation: RevocationMode = RevocationMode.NONE) -> tuple[str, ...]:
    """The report as lines without line ends: the verdict, then the tree with the root on top, then what is wanted.

    `revocation` is the mode that the path was judged with: it says whether a silent report means "not revoked".
    """
    return (*_headline(report), *_tree(report, revocation), *_wishes(report))


def _headline(report: PathReport) -> Iterator[str]:
    when = "" if report.now is None else f", at {report.now:%Y-%m-%d %H:%M:%S} UTC"
    yield f"{report.verdict.value} for {_USES[report.purpose]}{when}"


def _tree(report: PathReport, revocation: RevocationMode) -> Iterator[str]:
    """From the top of the chain down to the leaf, each certificate one step further right."""
    for depth, certificate in enumerate(reversed(report.chain)):
        indent = "   " * depth
        branch = "└─ " if depth else ""
        yield f"{'   ' * (depth - 1) if depth else ''}{branch}{certificate.subject or '(no subject)'}"
        yield f"{indent}   {_description(report, certificate)}"
        if checked := _checked(report, certificate, revocation):
            yield f"{indent}   ok: {', '.join(checked)}"
        for found in report.problems_of(certificate):
            yield from (f"{indent}   {line}" for line in _problem_lines(report, found))


def _description(report: PathReport, certificate: Certificate) -> str:
    if certificate == report.chain[-1]:
        role = "trust anchor" if report.anchored else "the chain ends here"
    else:
        role = "end entity" if certificate == report.chain[0] else "intermediate"
    parts = [role, f"serial {certificate.serial_number:x}", _key(certificate)]
    parts.append(f"{certificate.not_before:%Y-%m-%d} to {certificate.not_after:%Y-%m-%d}")
    if certificate == report.chain[0] and certificate.addresses:
        parts.append(", ".join(certificate.addresses))
    return " · ".join(parts)


def _key(certificate: Certificate) -> str:
    try:
        key = certificate.public_key
    except (MalformedMessage, UnsupportedAlgorithm):
        return f"unsupported key {certificate.public_key_algorithm_oid}"
    return " ".join(filter(None, (key.kind.value.upper(), key.curve or (str(key.bits) if key.bits else ""))))


# What was checked, and the problems that would say that it failed.
_CHECKS: tuple[tuple[str, frozenset[Problem]], ...] = (
    (
        "signature",
        frozenset(
            {
                Problem.CERTIFICATE_SIGNATURE_MISMATCH,
                Problem.UNSUPPORTED_SIGNATURE_ALGORITHM,
                Problem.WEAK_DIGEST,
                Problem.WEAK_SIGNATURE_ALGORITHM,
            }
        ),
    ),
    ("validity", frozenset({Problem.EXPIRED, Problem.NOT_YET_VALID})),
    ("extensions", frozenset({Problem.CERTIFICATE_MALFORMED, Problem.UNKNOWN_CRITICAL_EXTENSION})),
    ("authority", frozenset({Problem.NOT_A_CA, Problem.PATH_LENGTH_EXCEEDED})),
    ("key usage", frozenset({Problem.KEY_USAGE_UNFIT, Problem.EXTENDED_KEY_USAGE_UNFIT})),
    (
        "names",
        frozenset({Problem.NAME_NOT_PERMITTED, Problem.NAME_EXCLUDED, Problem.UNSUPPORTED_NAME_CONSTRAINT}),
    ),
    (
        "not revoked",
        frozenset(
            {
                Problem.REVOKED,
                Problem.REVOCATION_UNKNOWN,
                Problem.REVOCATION_UNCHECKED,
                Problem.CRL_UNREACHABLE,
            }
        ),
    ),
)


def _checked(report: PathReport, certificate: Certificate, revocation: RevocationMode) -> list[str]:
    """What was checked of a certificate and found good."""
    problems = {found.problem for found in report.problems_of(certificate)}
    is_leaf, is_top = certificate == report.chain[0], certificate == report.chain[-1]
    unchecked = set()
    if is_top:
        unchecked |= {"signature", "names", "not revoked"}
    if is_leaf:
        unchecked.add("authority")
    if is_leaf and report.purpose is Purpose.ANY:
        unchecked.add("key usage")
    if revocation is RevocationMode.NONE or not report.anchored:
        unchecked.add("not revoked")
    return [name for name, failures in _CHECKS if name not in unchecked and not problems & failures]


def _problem_lines(report: PathReport, found: PathProblem) -> Iterator[str]:
    sign = "forgiven" if found.problem in report.forgiven else _SIGNS[found.problem.effect]
    detail = f": {found.detail}" if found.detail else ""
    yield f"{sign} {found.problem.name}: {found.problem.text}{detail}"
    advice = ADVICE.get(found.problem)
    if advice is not None and sign != "forgiven":
        yield f"   → {advice}"


def _wishes(report: PathReport) -> Iterator[str]:
    if report.wanted and report.verdict is not Verdict.VALID:
        yield "What could help:"
        yield from (f"   {_wish(wanted)}" for wanted in report.wanted)


def _wish(wanted: Wanted) -> str:
    match wanted:
        case Issuer(url=None):
            return f"the certificate of {wanted.name}: the certificate names no address for it"
        case Issuer():
            return f"the certificate of {wanted.name} from {wanted.url}"
        case Crl():
            kind = "delta revocation list" if wanted.delta else "revocation list"
            return f"the {kind} of {wanted.issuer} from {wanted.url or 'an address that nobody names'}"
        case _:
            return f"the OCSP answer of {wanted.url} for {wanted.issuer}"
