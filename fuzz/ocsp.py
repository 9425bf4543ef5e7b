"""OCSP responses: a result or MalformedMessage."""

from __future__ import annotations

from cryptography.x509 import ocsp

from smime_engine.certificate import Certificate
from smime_engine.errors import MalformedMessage
from smime_engine.trust.ocsp import OcspResponse
from tests import pki

_ROOT = pki.authority("CA")
_ALICE = _ROOT.issue("Alice", "alice@example.org")
_CERTIFICATE, _ISSUER = Certificate.parse(_ALICE.certificate_der), Certificate.parse(_ROOT.certificate_der)


def fuzz(data: bytes) -> None:
    """Parse, and ask everything that can be asked."""
    try:
        response = OcspResponse.parse(data)
    except MalformedMessage:
        return
    response.is_by(_ISSUER)
    response.answer_about(_CERTIFICATE, _ISSUER)
    assert repr(response)


def seeds() -> list[bytes]:
    """Good, revoked, delegated, with nonce, refused."""
    responder = _ROOT.issue("Responder", usage="sign")
    return [
        _ROOT.ocsp_response(_ALICE),
        _ROOT.ocsp_response(_ALICE, status=ocsp.OCSPCertStatus.REVOKED, nonce=b"n" * 32),
        _ROOT.ocsp_response(_ALICE, status=ocsp.OCSPCertStatus.UNKNOWN, responder=responder, next_update=None),
        b"\x30\x03\x0a\x01\x03",
    ]
