"""What came back for what was wanted: read, checked as far as it can be here, and how long it is good for.

Does: turn octets into CRLs, OCSP responses and certificates, and say until when they may be kept. Does not: verify
signatures; that is the judge's business, who knows the path. So whatever is wrong here is only ever missing there.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from smime_engine.certificate import Certificate
from smime_engine.certificate_bundle import certificates_from
from smime_engine.errors import MalformedMessage, SourceUnavailable
from smime_engine.limits import DEFAULT_LIMITS, Limits
from smime_engine.trust.crl import RevocationList
from smime_engine.trust.evidence import Evidence, FetchFailure, revocation_lists_from
from smime_engine.trust.ocsp import OcspResponse, ResponseStatus
from smime_engine.trust.wanted import Crl, Issuer, Ocsp, Wanted

__all__ = ["Fetched", "Gathered", "gathered", "kept_until", "read_answer"]

_LONGEST = timedelta(days=7)  # even a list that says it is good for years is looked for again
_CERTIFICATES = timedelta(days=1)
_WITHOUT_END = timedelta(hours=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Fetched:
    """One answer. Exactly one of the three kinds is there."""

    wanted: Wanted
    crls: tuple[RevocationList, ...] = ()
    ocsp_response: OcspResponse | None = None
    certificates: tuple[Certificate, ...] = ()
    size: int = 0
    """Octets of the answer."""

    from_cache: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Gathered:
    """All answers together, in the form that the engine takes."""

    evidence: Evidence
    certificates: tuple[Certificate, ...]


def gathered(answers: Iterable[Fetched | FetchFailure]) -> Gathered:
    """Sort answers and failures into evidence about revocation and certificates that may be issuers."""
    answers = tuple(answers)
    found = [answer for answer in answers if isinstance(answer, Fetched)]
    return Gathered(
        evidence=Evidence(
            crls=(crl for answer in found for crl in answer.crls),
            ocsp_responses=(answer.ocsp_response for answer in found if answer.ocsp_response is not None),
            failures=(answer for answer in answers if isinstance(answer, FetchFailure)),
        ),
        certificates=tuple(dict.fromkeys(certificate for answer in found for certificate in answer.certificates)),
    )


def read_answer(wanted: Wanted, body: bytes, *, nonce: bytes | None = None, limits: Limits = DEFAULT_LIMITS) -> Fetched:
    """Read what an address gave. Raises SourceUnavailable where it is not what was wanted."""
    try:
        match wanted:
            case Crl():
                return Fetched(wanted=wanted, crls=_lists(wanted, body, limits), size=len(body))
            case Ocsp():
                return Fetched(wanted=wanted, ocsp_response=_response(body, nonce, limits), size=len(body))
            case Issuer():
                return Fetched(wanted=wanted, certificates=certificates_from(body, limits=limits), size=len(body))
    except MalformedMessage as error:
        raise SourceUnavailable(f"what came is not {_NAMES[type(wanted)]}: {error}") from error


_NAMES: dict[type, str] = {Crl: "a revocation list", Ocsp: "an OCSP response", Issuer: "a certificate"}


def _lists(wanted: Crl, body: bytes, limits: Limits) -> tuple[RevocationList, ...]:
    lists = revocation_lists_from(body, limits=limits)
    mine = tuple(crl for crl in lists if _same_text(crl.issuer, wanted.issuer))
    if not mine:
        # Kept, it would hide the right list for as long as it says.
        raise SourceUnavailable(f"the list there is {lists[0].issuer}'s, not {wanted.issuer}'s")
    return mine


def _same_text(one: str, other: str) -> bool:
    """Whether two names are equal as RFC 5280 section 7.1 compares them, as far as their texts tell."""
    return "".join(one.split()).casefold() == "".join(other.split()).casefold()


def _response(body: bytes, nonce: bytes | None, limits: Limits) -> OcspResponse:
    response = OcspResponse.parse(body, limits=limits)
    if response.status is not ResponseStatus.SUCCESSFUL:
        raise SourceUnavailable(f"the responder refuses: {response.status.name.lower().replace('_', ' ')}")
    # RFC 9654: responders that answer from a store cannot send the nonce back; one that sends another is replayed.
    if nonce is not None and response.nonce not in {None, nonce}:
        raise SourceUnavailable("the response carries the nonce of another request")
    return response


def kept_until(answer: Fetched, fetched_at: datetime) -> datetime:
    """Until when an answer may be given again without asking: what it says itself, a week at most."""
    ends = [fetched_at + _LONGEST]
    ends += [crl.next_update or fetched_at + _WITHOUT_END for crl in answer.crls]
    if answer.ocsp_response is not None:
        singles = answer.ocsp_response.responses
        ends += [single.next_update or fetched_at + _WITHOUT_END for single in singles]
    if answer.certificates:
        ends.append(fetched_at + _CERTIFICATES)
    return min(ends)
