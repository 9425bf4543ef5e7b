"""Certificates: parsing gives a certificate or `MalformedMessage`; what it gives answers every question.

A certificate that was parsed is asked for everything; whatever is malformed inside must read as absent, be in
`defects`, and never raise. Files of certificates likewise.
"""

from __future__ import annotations

import contextlib

from fuzz import _chains
from smime_engine.certificate import Certificate
from smime_engine.certificate_bundle import certificates_from
from smime_engine.errors import MalformedMessage, UnsupportedAlgorithm
from smime_engine.trust.conformity import nonconformities

_ATTRIBUTES = tuple(
    name for name in vars(Certificate) if not name.startswith("_") and name not in {"parse", "public_key"}
)


def fuzz(data: bytes) -> None:
    with contextlib.suppress(MalformedMessage):
        for certificate in certificates_from(data):
            _ask(certificate)
    try:
        certificate = Certificate.parse(data)
    except MalformedMessage:
        return
    if certificate.der != data or certificate.tbs not in data:
        raise AssertionError("the certificate is not what was parsed")
    _ask(certificate)


def _ask(certificate: Certificate) -> None:
    for name in _ATTRIBUTES:
        getattr(certificate, name)
    for issues in (True, False):
        list(nonconformities(certificate, issues=issues))
    certificate.names_address("alice@example.org")
    repr(certificate)
    with contextlib.suppress(MalformedMessage, UnsupportedAlgorithm):
        _ = certificate.public_key


def seeds() -> list[bytes]:
    return [*_chains.certificates(), *_chains.files()]
