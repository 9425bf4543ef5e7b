"""Is a certificate revoked, going by revocation lists: the algorithm of RFC 5280 section 6.3.3.

Does: choose the lists that cover the certificate, check their time, scope, signer and signature, apply delta lists,
search. Does not: fetch, or decide what an unknown status means (`revocation.py`).

A list that was issued after the time that is judged for tells about that time too, as long as the certificate had not
expired when it was issued (lists forget expired certificates, but one that is still there was revoked): an entry then
counts from its own date on.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from smime_engine.certificate import Certificate
from smime_engine.certificate_extensions import DistributionPoint
from smime_engine.errors import MalformedMessage
from smime_engine.trust.crl import RevocationList
from smime_engine.trust.crl_entries import RevokedEntry
from smime_engine.trust.crl_scope import (
    ALL_REASONS,
    covered_reasons,
    issuers_of_point,
    outside_of_scope,
    points_of,
    updates,
)
from smime_engine.trust.signed_evidence import CLOCK_SKEW, Situation, signature_fault, utc_text

__all__ = ["ListedStatus", "check_crls"]

_REMOVED = "removeFromCRL"
_MOST_SIGNERS = 16  # certificates of one name that are tried as signer of a list: each costs a public-key operation


class ListedStatus(NamedTuple):
    """What the lists say about one certificate."""

    entry: RevokedEntry | None
    """The entry that revokes it at the time that is judged for."""

    later: RevokedEntry | None
    """An entry that revokes it after that time."""

    uncovered: frozenset[str]
    """Reasons for which no usable list was found: the status is known when there are none."""

    used: tuple[RevocationList, ...]
    notes: tuple[str, ...]
    """Why lists that seemed to fit were not used, in words."""

    by_issuer: bool = False
    """Whether the certificate's own issuer signed all lists that were used: no other path was needed."""

    @property
    def is_known(self) -> bool:
        """Whether the lists settle the question."""
        return self.entry is not None or not self.uncovered


def check_crls(certificate: Certificate, issuer: Certificate, situation: Situation) -> ListedStatus:
    """Judge one certificate by the lists in `situation.evidence`; `issuer` is its issuer on a validated path."""
    uncovered = ALL_REASONS
    later: RevokedEntry | None = None
    used: list[RevocationList] = []
    notes: dict[str, None] = {}
    by_issuer = True
    for point, crl in _lists_for(certificate, situation):
        reasons = covered_reasons(crl, point)
        if reasons.isdisjoint(uncovered):
            continue
        search = _Search(crl, point, certificate, issuer, situation)
        if search.fault:
            text = f"revocation list of {crl.issuer} from {utc_text(crl.this_update)} not used: {search.fault}"
            notes[text] = None
            continue
        by_issuer = by_issuer and search.signer is issuer
        used += search.lists
        uncovered -= reasons
        if search.entry is not None:
            if not _counts_only_later(search.entry, search.lists[-1], situation):
                return ListedStatus(search.entry, None, uncovered, tuple(used), ())
            later = search.entry
        if not uncovered:
            break
    return ListedStatus(None, later, uncovered, tuple(used), tuple(notes), by_issuer)


def _lists_for(certificate: Certificate, situation: Situation) -> Iterator[tuple[DistributionPoint, RevocationList]]:
    for point in points_of(certificate):
        for issuer_der, issuer in issuers_of_point(point, certificate):
            for crl in situation.evidence.crls_of(issuer_der, issuer):
                if not crl.is_delta:
                    yield point, crl


class _Search:
    """The search of one list, with its delta list, for one certificate: `fault` says why there was none."""

    __slots__ = ("entry", "fault", "lists", "signer")

    def __init__(
        self,
        crl: RevocationList,
        point: DistributionPoint,
        certificate: Certificate,
        issuer: Certificate,
        situation: Situation,
    ) -> None:
        self.entry: RevokedEntry | None = None
        self.signer: Certificate | None = None
        self.lists: tuple[RevocationList, ...] = ()
        self.fault = outside_of_scope(crl, point, certificate)
        if self.fault:
            return
        delta = _delta_of(crl, situation)
        # An outdated complete list and a delta list in force are together in force (section 6.3.3 step (a)).
        in_force = delta is not None and crl.this_update <= situation.now
        self.fault = crl.defects[0] if crl.defects else "" if in_force else _time_fault(crl, situation)
        if self.fault:
            return
        self.fault, self.signer = _signer(crl, delta, issuer, situation)
        if self.fault:
            return
        self.lists = (crl,) if delta is None else (crl, delta)
        try:
            self.entry = _find(crl, delta, certificate)
        except MalformedMessage as error:
            self.fault = str(error)
        if not self.fault and self.entry is None and _may_have_forgotten(crl, certificate, situation):
            self.fault = "it was issued after the certificate had expired, when lists no longer name it"


def _delta_of(crl: RevocationList, situation: Situation) -> RevocationList | None:
    """The newest delta list that may be applied to a complete one and is in force."""
    for delta in situation.evidence.crls_of(crl.issuer_der, crl.comparable_issuer):
        if delta.is_delta and updates(delta, crl) and not delta.defects and not _time_fault(delta, situation):
            return delta
    return None


def _may_have_forgotten(crl: RevocationList, certificate: Certificate, situation: Situation) -> bool:
    """Whether the list is younger than the time in question, and than the certificate's expiry."""
    return crl.this_update > situation.now + CLOCK_SKEW and certificate.not_after < crl.this_update


def _time_fault(crl: RevocationList, situation: Situation) -> str:
    if crl.next_update is None:
        return "it does not say how long it is valid"
    return f"it expired at {utc_text(crl.next_update)}" if crl.next_update < situation.now else ""


def _signer(
    crl: RevocationList, delta: RevocationList | None, issuer: Certificate, situation: Situation
) -> tuple[str, Certificate | None]:
    """Who signed this list and may (steps (f), (g), (h)) -> ("", signer), or (why nobody did, None)."""
    fault = f"no certificate was found for the key of {crl.issuer} that signed it"
    for signer in _signers(crl, issuer, situation):
        if signer.key_usage is not None and "cRLSign" not in signer.key_usage:
            fault = f"the key usage of {signer.subject} does not allow signing revocation lists"
            continue
        fault = signature_fault(crl, signer, situation)
        if not fault and delta is not None:
            fault = signature_fault(delta, signer, situation)
        if fault:
            continue
        if signer.public_key_info == issuer.public_key_info or situation.trusts(signer):
            return "", signer
        fault = f"its signer {signer.subject} has no valid path to the same trust anchor"
    return fault, None


def _signers(crl: RevocationList, issuer: Certificate, situation: Situation) -> Iterator[Certificate]:
    """Certificates that may have signed a list, the issuer of the certificate in question first."""
    name = crl.comparable_issuer
    wanted = None if crl.authority_key_identifier is None else crl.authority_key_identifier.key_identifier
    known = (issuer, *situation.collection.with_subject(name), *situation.pool)
    tried = 0
    for signer in dict.fromkeys(known):
        if signer.subject_der != crl.issuer_der and signer.comparable_subject != name:
            continue
        if wanted is not None and signer.subject_key_identifier not in {None, wanted}:
            continue
        yield signer
        tried += 1
        if tried >= _MOST_SIGNERS:
            return


def _find(crl: RevocationList, delta: RevocationList | None, certificate: Certificate) -> RevokedEntry | None:
    """Find the certificate, in the delta list first (steps (i), (j), (k)). Raises MalformedMessage."""
    if delta is not None:
        changed = _entry_of(delta, certificate)
        if changed is not None:
            return None if changed.reason == _REMOVED else changed
    return _entry_of(crl, certificate)


def _entry_of(crl: RevocationList, certificate: Certificate) -> RevokedEntry | None:
    found = None
    for entry in crl.find(certificate.serial_number):
        issuers = entry.issuer or (crl.comparable_issuer,)
        if certificate.comparable_issuer in issuers:
            if entry.reason != _REMOVED:
                return entry
            found = entry
    return found


def _counts_only_later(entry: RevokedEntry, crl: RevocationList, situation: Situation) -> bool:
    """Whether an entry of a list that was issued after the time in question tells of a later revocation."""
    now = situation.now
    if crl.this_update <= now + CLOCK_SKEW:
        return False
    since = entry.revoked_at if entry.invalid_since is None else min(entry.revoked_at, entry.invalid_since)
    return since > now
