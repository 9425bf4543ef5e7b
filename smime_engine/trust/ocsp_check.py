"""Is a certificate revoked, going by OCSP responses.

Does: find answers about the certificate, check their time, and whether their signer may answer: the issuer itself, or a
responder to whom the issuer has given a certificate for that. Does not: fetch, compare nonces (the one who asked does),
accept responders by local configuration, or decide what an unknown status means (`revocation.py`).

Standards: RFC 6960 sections 3.2, 4.2.2.1 and 4.2.2.2, RFC 5019 section 4.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import NamedTuple

from smime_engine.asn1 import oids
from smime_engine.certificate import Certificate
from smime_engine.crypto.digests import Status
from smime_engine.crypto.signature_algorithms import signature_scheme
from smime_engine.crypto.signing import verify
from smime_engine.errors import MalformedMessage, UnsupportedAlgorithm
from smime_engine.trust.crl_check import check_crls
from smime_engine.trust.ocsp import CertificateStatus, OcspResponse, SingleResponse
from smime_engine.trust.signed_evidence import CLOCK_SKEW, Situation, signature_fault, utc_text

__all__ = ["AnsweredStatus", "check_ocsp"]

_AGE = timedelta(days=1)  # how long an answer counts that does not say so itself
_MOST_RESPONDERS = 8  # certificates inside one response that are tried as its signer's


class AnsweredStatus(NamedTuple):
    """What the responders say about one certificate."""

    answer: SingleResponse | None
    """The newest usable answer; None where there is none."""

    is_later: bool
    """Whether it tells of a revocation after the time that is judged for."""

    notes: tuple[str, ...]
    """Why answers were not used, in words."""


def check_ocsp(certificate: Certificate, issuer: Certificate, situation: Situation) -> AnsweredStatus:
    """Judge one certificate by the OCSP responses in `situation.evidence`."""
    newest: SingleResponse | None = None
    notes: dict[str, None] = {}
    for response in situation.evidence.ocsp_responses_about(certificate.serial_number):
        answer = response.answer_about(certificate, issuer)
        if answer is None:
            continue
        fault = _fault(response, answer, certificate, situation) or _responder_fault(response, issuer, situation)
        if not fault and answer.status is CertificateStatus.UNKNOWN:
            fault = "the responder does not know the certificate"
        if fault:
            notes[f"OCSP response from {utc_text(answer.this_update)} not used: {fault}"] = None
        elif newest is None or answer.this_update > newest.this_update:
            newest = answer
    is_later = newest is not None and _counts_only_later(newest, situation)
    return AnsweredStatus(newest, is_later, tuple(notes))


def _fault(response: OcspResponse, answer: SingleResponse, certificate: Certificate, situation: Situation) -> str:
    now = situation.now
    if response.defects or answer.defects:
        return (*response.defects, *answer.defects)[0]
    expires = answer.next_update or answer.this_update + _AGE
    if expires + CLOCK_SKEW < now:
        return f"it expired at {utc_text(expires)}"
    # Later answers tell about now too: see `crl_check`.
    if answer.this_update > now + CLOCK_SKEW and certificate.not_after < answer.this_update:
        return "it was given after the certificate had expired"
    return ""


def _counts_only_later(answer: SingleResponse, situation: Situation) -> bool:
    if answer.revoked_at is None or answer.this_update <= situation.now + CLOCK_SKEW:
        return False
    return answer.revoked_at > situation.now


def _responder_fault(response: OcspResponse, issuer: Certificate, situation: Situation) -> str:
    """Why nobody who may answer has signed the response; "" where somebody has."""
    if response.is_by(issuer):
        return signature_fault(response, issuer, situation)
    fault = "its signer is neither the issuer nor a responder that the issuer appointed"
    for responder in _responders(response, situation):
        fault = _appointment_fault(responder, issuer, situation) or signature_fault(response, responder, situation)
        if not fault:
            return ""
    return fault


def _responders(response: OcspResponse, situation: Situation) -> Iterator[Certificate]:
    """Certificates that the response names as its signer's."""
    for der in response.certificates[:_MOST_RESPONDERS]:
        try:
            certificate = Certificate.parse(der)
        except MalformedMessage:
            continue
        if response.is_by(certificate):
            yield certificate
    for certificate in situation.pool:
        if response.is_by(certificate):
            yield certificate


def _appointment_fault(responder: Certificate, issuer: Certificate, situation: Situation) -> str:
    """Why a responder may not answer for an issuer: it needs a certificate from that very key, for OCSP signing."""
    purposes = responder.extended_key_usage
    if purposes is None or oids.ID_KP_OCSP_SIGNING not in purposes:
        return f"the certificate of {responder.subject} is not for signing OCSP responses"
    if responder.defects:
        return f"the certificate of {responder.subject} breaks the rules: {responder.defects[0]}"
    if responder.key_usage is not None and "digitalSignature" not in responder.key_usage:
        return f"the key usage of {responder.subject} does not allow signatures"
    if not responder.not_before <= situation.now <= responder.not_after:
        return f"the certificate of {responder.subject} is not valid at {utc_text(situation.now)}"
    if responder.issuer_der != issuer.subject_der and responder.comparable_issuer != issuer.comparable_subject:
        return f"{responder.subject} was not appointed by the issuer"
    if not _issued(responder, issuer, situation):
        return f"the certificate of {responder.subject} was not signed by the issuer"
    if oids.ID_PKIX_OCSP_NOCHECK not in responder.extensions and check_crls(responder, issuer, situation).entry:
        return f"the certificate of {responder.subject} was revoked"
    return ""


def _issued(responder: Certificate, issuer: Certificate, situation: Situation) -> bool:
    """Whether the issuer's key signed the responder's certificate, remembered."""

    def outcome() -> str:
        try:
            scheme = signature_scheme(responder.signature_algorithm)
            genuine = verify(issuer.public_key, responder.signature, responder.tbs, scheme)
        except (UnsupportedAlgorithm, MalformedMessage):
            return "unsupported"
        return "" if genuine and scheme.status is Status.STRONG else "not genuine"

    key = b"responder" + responder.fingerprint_sha256 + issuer.fingerprint_sha256
    return not situation.collection.signatures.recall_or(key, outcome)
