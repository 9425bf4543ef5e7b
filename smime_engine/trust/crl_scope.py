"""Whether a revocation list covers a certificate: issuers, distribution points, reasons, delta and base.

Does: compare names and scopes. Does not: verify signatures, look at times or search entries (`crl_check.py`).

Standards: RFC 5280 sections 4.2.1.13, 5.2.4, 5.2.5 and 6.3.3 steps (b) to (e).
"""

from __future__ import annotations

from smime_engine.certificate import Certificate
from smime_engine.certificate_extensions import REASONS, DistributionPoint
from smime_engine.errors import MalformedMessage
from smime_engine.general_names import GeneralName, NameForm
from smime_engine.names import ComparableName, comparable_name, comparable_relative_name, relative_name_in
from smime_engine.trust.crl import RevocationList

__all__ = [
    "ALL_REASONS",
    "comparable_general_name",
    "covered_reasons",
    "issuers_of_point",
    "outside_of_scope",
    "points_of",
    "updates",
]

ALL_REASONS = frozenset(REASONS) - {"unused"}
"""What a certificate's status must be known for before it counts as not revoked."""

Comparable = tuple[NameForm, object]


def points_of(certificate: Certificate) -> tuple[DistributionPoint, ...]:
    """The distribution points of a certificate, and last the one that every certificate has: its issuer's name."""
    implied = DistributionPoint((GeneralName(NameForm.DIRECTORY, certificate.issuer_der),), None, None, ())
    return (*certificate.crl_distribution_points, implied)


def issuers_of_point(point: DistributionPoint, certificate: Certificate) -> tuple[tuple[bytes, ComparableName], ...]:
    """Who signs the lists of a point, as (DER Name, comparable): its cRLIssuer, else the certificate's issuer."""
    if not point.crl_issuer:
        return ((certificate.issuer_der, certificate.comparable_issuer),)
    found = []
    for name in point.crl_issuer:
        if name.form is NameForm.DIRECTORY and isinstance(name.value, bytes):
            try:
                found.append((name.value, comparable_name(name.value)))
            except MalformedMessage:
                continue
    return tuple(found)


def outside_of_scope(crl: RevocationList, point: DistributionPoint, certificate: Certificate) -> str:
    """Why a list of the right issuer does not cover a certificate through a point; "" where it does (step (b))."""
    if point.crl_issuer and not crl.is_indirect:
        return "it is no indirect list, as the certificate's distribution point demands"
    scope = crl.scope
    if scope is None:
        return ""
    constraints = certificate.basic_constraints
    is_ca = constraints is not None and constraints.ca
    if scope.only_user_certificates and is_ca:
        return "it covers end-entity certificates only"
    if scope.only_ca_certificates and not is_ca:
        return "it covers CA certificates only"
    if scope.only_attribute_certificates:
        return "it covers attribute certificates only"
    if (scope.full_name or scope.relative_name is not None) and not _same_point(crl, point, certificate):
        return "it belongs to another distribution point"
    return ""


def covered_reasons(crl: RevocationList, point: DistributionPoint) -> frozenset[str]:
    """The reasons that a list covers through a point (step (d))."""
    reasons = ALL_REASONS if point.reasons is None else point.reasons & ALL_REASONS
    if crl.scope is not None and crl.scope.reasons is not None:
        reasons &= crl.scope.reasons
    return reasons


def updates(delta: RevocationList, base: RevocationList) -> bool:
    """Whether a delta list may be applied to a complete one (section 5.2.4, step (c))."""
    if delta.base_number is None or delta.number is None or base.number is None:
        return False
    return (
        delta.base_number <= base.number < delta.number
        and delta.comparable_issuer == base.comparable_issuer
        and delta.scope == base.scope
        and delta.authority_key_identifier == base.authority_key_identifier
    )


def comparable_general_name(name: GeneralName) -> Comparable:
    """A GeneralName to compare: directory names as RFC 5280 section 7.1 does, everything else as it stands."""
    if name.form is NameForm.DIRECTORY and isinstance(name.value, bytes):
        try:
            return name.form, comparable_name(name.value)
        except MalformedMessage:
            return name.form, name.value
    return name.form, (name.value, name.type_id)


def _same_point(crl: RevocationList, point: DistributionPoint, certificate: Certificate) -> bool:
    """Whether the list's distribution point is the certificate's (step (b)(2)(i))."""
    scope = crl.scope
    assert scope is not None
    of_list = _names(scope.full_name, scope.relative_name, (crl.comparable_issuer,))
    if point.full_name or point.relative_name is not None:
        issuers = tuple(name for _, name in issuers_of_point(point, certificate))
        of_certificate = _names(point.full_name, point.relative_name, issuers)
    else:
        of_certificate = frozenset(map(comparable_general_name, point.crl_issuer))
    return not of_list.isdisjoint(of_certificate)


def _names(
    full_name: tuple[GeneralName, ...], relative_name: bytes | None, issuers: tuple[ComparableName, ...]
) -> frozenset[Comparable]:
    """The names of a point; a relative one is added to the name of whoever issues the list."""
    if relative_name is None:
        return frozenset(map(comparable_general_name, full_name))
    try:
        last = comparable_relative_name(relative_name_in(relative_name, 0, len(relative_name)))
    except MalformedMessage:
        return frozenset()
    return frozenset((NameForm.DIRECTORY, (*issuer, last)) for issuer in issuers)
