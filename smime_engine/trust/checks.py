"""Everything about a chain that depends on neither time nor revocation.

Does: RFC 5280 section 6 for a chain that `builder.py` found (signatures, CAs, path length, key usages, extensions; name
constraints and policies through their modules), the e-mail rules of RFC 8550, and the strength of keys and digests.
Does not: look at the clock or at revocation (`path.py`), nor choose between chains.

Extended key usage nests, as Microsoft and NSS have it and RFC 5280 has not: a CA certificate below the anchor that
carries the extension must allow e-mail protection itself, or it cannot issue mail certificates. An anchor's own
extension is not looked at (Microsoft uses the store's properties instead, NSS its trust flags).

Standards: RFC 5280 sections 4.2, 6.1.3 to 6.1.5; RFC 5937 (constraints of anchors); RFC 8550 section 4.4.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise

from smime_engine.asn1 import oids
from smime_engine.certificate import Certificate
from smime_engine.crypto.public_keys import KeyKind
from smime_engine.crypto.signature_algorithms import Family, Status, signature_scheme
from smime_engine.errors import MalformedMessage, UnsupportedAlgorithm
from smime_engine.problems import Problem
from smime_engine.trust.builder import CandidateChain
from smime_engine.trust.collection import TrustCollection
from smime_engine.trust.conformity import nonconformities
from smime_engine.trust.name_constraints import Comparisons, check_name_constraints
from smime_engine.trust.path_report import PathOptions, PathProblem, Profile, Purpose
from smime_engine.trust.policies import check_policies
from smime_engine.trust.signatures import (
    Outcome,
    signature_outcome,
    signature_outcome_with_key,
    working_key,
    working_keys,
)

__all__ = ["StaticPath", "check_chain"]

Found = Iterator[PathProblem]


@dataclass(frozen=True, slots=True, kw_only=True)
class StaticPath:
    """A chain, leaf first, with everything about it that will not change."""

    chain: tuple[Certificate, ...]
    anchored: bool
    problems: tuple[PathProblem, ...]
    policies: tuple[str, ...]
    valid_from: datetime
    """The first moment at which all certificates of the chain are valid, and the last one."""
    valid_until: datetime


def check_chain(
    candidate: CandidateChain,
    *,
    collection: TrustCollection,
    purpose: Purpose,
    options: PathOptions,
    comparisons: Comparisons,
) -> StaticPath:
    """Check one chain. `comparisons` is the budget of name constraint comparisons, shared by all chains of a search."""
    chain = candidate.certificates
    problems: list[PathProblem] = []
    if candidate.ending is not None:
        problems.append(PathProblem(certificate=chain[-1], problem=candidate.ending, detail=candidate.detail))
    keys = working_keys(chain)
    problems += _check_signatures(chain, keys, collection)
    for index, certificate in enumerate(chain):
        problems += _check_certificate(certificate, keys[index], collection, leaf=index == 0)
        problems += _check_conformity(certificate, options.profile, issues=index > 0)
    problems += _check_nesting(chain)
    problems += _check_issuers(chain, options.maximum_intermediates)
    problems += _check_purpose(chain, keys[0], purpose)
    top, below = chain[-1], tuple(reversed(chain[:-1]))
    problems += check_name_constraints(below, top, comparisons)
    policies = check_policies(below, top, options)
    problems += policies.problems
    return StaticPath(
        chain=chain,
        anchored=candidate.ending is None,
        problems=tuple(problems),
        policies=policies.policies,
        valid_from=max(certificate.not_before for certificate in chain),
        valid_until=min(certificate.not_after for certificate in chain),
    )


# --- signatures


def _check_signatures(chain: Sequence[Certificate], keys: Sequence[bytes], collection: TrustCollection) -> Found:
    """Sections 6.1.3 (a.1) and 6.1.4 (c to f). The top's own signature proves nothing and is not checked."""
    for certificate, issuer, key in zip(chain, chain[1:], keys[1:], strict=False):
        outcome = signature_outcome(certificate, issuer, collection)
        if outcome is Outcome.KEY_INHERITS_PARAMETERS:
            outcome = _outcome_with_inherited_parameters(certificate, issuer, key)
        if outcome is Outcome.UNSUPPORTED_ALGORITHM:
            yield _problem(certificate, Problem.UNSUPPORTED_SIGNATURE_ALGORITHM, certificate.signature_algorithm_oid)
        elif outcome is Outcome.MISMATCH:
            yield _problem(certificate, Problem.CERTIFICATE_SIGNATURE_MISMATCH)
        elif outcome is not Outcome.GOOD:
            yield _problem(issuer, Problem.UNSUPPORTED_KEY, issuer.public_key_algorithm_oid)
        yield from _check_strength(certificate)


def _outcome_with_inherited_parameters(certificate: Certificate, issuer: Certificate, key: bytes) -> Outcome:
    try:
        return signature_outcome_with_key(certificate, working_key(issuer, key))
    except (MalformedMessage, UnsupportedAlgorithm):
        return Outcome.UNSUPPORTED_KEY


def _check_strength(certificate: Certificate) -> Found:
    """The digest and the scheme that a certificate was signed with."""
    try:
        scheme = signature_scheme(certificate.signature_algorithm)
    except (MalformedMessage, UnsupportedAlgorithm):
        return
    if scheme.digest is not None and scheme.digest.status is Status.WEAK:
        yield _problem(certificate, Problem.WEAK_DIGEST, scheme.digest.name)
    if scheme.family is Family.DSA:
        yield _problem(certificate, Problem.WEAK_SIGNATURE_ALGORITHM, scheme.name)


# --- each certificate by itself

_UNDERSTOOD = frozenset(
    {
        oids.ID_CE_SUBJECT_KEY_IDENTIFIER,
        oids.ID_CE_KEY_USAGE,
        oids.ID_CE_SUBJECT_ALT_NAME,
        oids.ID_CE_ISSUER_ALT_NAME,
        oids.ID_CE_BASIC_CONSTRAINTS,
        oids.ID_CE_NAME_CONSTRAINTS,
        oids.ID_CE_CRL_DISTRIBUTION_POINTS,
        oids.ID_CE_CERTIFICATE_POLICIES,
        oids.ID_CE_POLICY_MAPPINGS,
        oids.ID_CE_AUTHORITY_KEY_IDENTIFIER,
        oids.ID_CE_POLICY_CONSTRAINTS,
        oids.ID_CE_EXT_KEY_USAGE,
        oids.ID_CE_FRESHEST_CRL,
        oids.ID_CE_INHIBIT_ANY_POLICY,
        oids.ID_PE_AUTHORITY_INFO_ACCESS,
    }
)


def _check_certificate(
    certificate: Certificate, public_key_info: bytes, collection: TrustCollection, *, leaf: bool
) -> Found:
    """What is wrong with a certificate wherever in the chain it stands."""
    if collection.is_distrusted(certificate):
        yield _problem(certificate, Problem.DISTRUSTED)
    for defect in certificate.defects:
        yield _problem(certificate, Problem.CERTIFICATE_MALFORMED, defect)
    for identifier, extension in certificate.extensions.items():
        if extension.critical and identifier not in _UNDERSTOOD:
            yield _problem(certificate, Problem.UNKNOWN_CRITICAL_EXTENSION, oids.name_of(identifier))
    try:
        weakness = working_key(certificate, public_key_info).weakness
    except UnsupportedAlgorithm as error:
        if leaf:  # an issuer's key is told with the signature that it cannot check
            yield _problem(certificate, Problem.UNSUPPORTED_KEY, error.identifier)
        return
    except MalformedMessage as error:
        yield _problem(certificate, Problem.CERTIFICATE_MALFORMED, f"public key: {error}")
        return
    if weakness:
        yield _problem(certificate, Problem.WEAK_KEY, weakness)


def _check_conformity(certificate: Certificate, profile: Profile, *, issues: bool) -> Found:
    strict = profile is Profile.STRICT
    problem = Problem.CERTIFICATE_MALFORMED if strict else Problem.CERTIFICATE_NONCONFORMING
    for detail in nonconformities(certificate, issues=issues):
        yield _problem(certificate, problem, detail)


def _check_nesting(chain: Sequence[Certificate]) -> Found:
    """Not a rule of RFC 5280, but what makes a certificate die before its own time."""
    for certificate, issuer in pairwise(chain):
        if certificate.not_after > issuer.not_after:
            detail = f"its issuer expires on {issuer.not_after:%Y-%m-%d}"
            yield _problem(certificate, Problem.VALIDITY_NOT_NESTED, detail)


# --- issuers


def _check_issuers(chain: Sequence[Certificate], maximum: int | None) -> Found:
    """Sections 6.1.4 (k to n): CA, path length, keyCertSign; for every certificate that issued another one."""
    followers = 0
    for issuer in chain[1:]:
        constraints = issuer.basic_constraints
        # Version 1 knows no extensions. As an anchor such a certificate is trusted to be a CA by whoever made it one.
        old_anchor = issuer is chain[-1] and issuer.version < 3
        if not old_anchor and (constraints is None or not constraints.ca):
            yield _problem(issuer, Problem.NOT_A_CA)
        if constraints is not None and constraints.path_length is not None and followers > constraints.path_length:
            detail = f"it allows {constraints.path_length}, and {followers} follow"
            yield _problem(issuer, Problem.PATH_LENGTH_EXCEEDED, detail)
        if issuer.key_usage is not None and "keyCertSign" not in issuer.key_usage:
            yield _problem(issuer, Problem.KEY_USAGE_UNFIT, "keyCertSign is missing")
        if issuer is chain[-1] and maximum is not None and followers > maximum:
            yield _problem(issuer, Problem.PATH_LENGTH_EXCEEDED, f"{maximum} are allowed, and {followers} follow")
        if not issuer.is_self_issued:
            followers += 1


# --- the leaf


def _check_purpose(chain: Sequence[Certificate], public_key_info: bytes, purpose: Purpose) -> Found:
    """Key usage of the leaf, extended key usage of the leaf and of the CAs below the anchor."""
    leaf = chain[0]
    if leaf.basic_constraints is not None and leaf.basic_constraints.ca:
        yield _problem(leaf, Problem.CA_AS_END_ENTITY)
    if purpose is Purpose.ANY:
        return
    yield from _check_key(leaf, public_key_info, purpose)
    wanted = _STAMPING if purpose is Purpose.TIMESTAMP else _EMAIL
    for certificate in chain[:-1] or chain:
        usages = certificate.extended_key_usage
        if usages is not None and not wanted.intersection(usages):
            yield _problem(certificate, Problem.EXTENDED_KEY_USAGE_UNFIT, ", ".join(map(oids.name_of, usages)))


_EMAIL = frozenset({str(oids.ID_KP_EMAIL_PROTECTION), str(oids.ANY_EXTENDED_KEY_USAGE)})
_STAMPING = frozenset({str(oids.ID_KP_TIME_STAMPING), str(oids.ANY_EXTENDED_KEY_USAGE)})
_SIGNS = frozenset({"digitalSignature", "nonRepudiation"})
_ENCIPHERS, _AGREES = frozenset({"keyEncipherment"}), frozenset({"keyAgreement"})

# RFC 8550 section 4.4.2, RFC 5753, RFC 8410 and RFC 9935. Kinds that are not listed cannot receive encrypted mail.
_ENCRYPTION_USAGE = {
    KeyKind.RSA: _ENCIPHERS,
    KeyKind.EC: _AGREES,
    KeyKind.X25519: _AGREES,
    KeyKind.X448: _AGREES,
    KeyKind.ML_KEM_768: _ENCIPHERS,
    KeyKind.ML_KEM_1024: _ENCIPHERS,
}
_ENCRYPTION_ONLY = frozenset({KeyKind.X25519, KeyKind.X448, KeyKind.ML_KEM_768, KeyKind.ML_KEM_1024})


def _check_key(leaf: Certificate, public_key_info: bytes, purpose: Purpose) -> Found:
    """Whether the leaf's key can, and may, do what it is wanted for."""
    try:
        kind = working_key(leaf, public_key_info).kind
    except (MalformedMessage, UnsupportedAlgorithm):
        return  # told with the certificate
    if purpose is Purpose.ENCRYPT:
        wanted = _ENCRYPTION_USAGE.get(kind)
    else:
        wanted = None if kind in _ENCRYPTION_ONLY else _SIGNS
    if wanted is None:
        yield _problem(leaf, Problem.KEY_USAGE_UNFIT, f"a {kind.value} key cannot {purpose.value}")
    elif leaf.key_usage is not None and not wanted & leaf.key_usage:
        yield _problem(leaf, Problem.KEY_USAGE_UNFIT, "needs " + " or ".join(sorted(wanted)))


def _problem(certificate: Certificate, problem: Problem, detail: str = "") -> PathProblem:
    return PathProblem(certificate=certificate, problem=problem, detail=detail)
