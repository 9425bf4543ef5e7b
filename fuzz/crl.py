"""Revocation lists: a result or MalformedMessage; searching agrees with walking."""

from __future__ import annotations

import contextlib

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization

from smime_engine.errors import MalformedMessage
from smime_engine.trust.crl import RevocationList
from smime_engine.trust.evidence import revocation_lists_from
from tests import pki


def fuzz(data: bytes) -> None:
    """Parse as one list and as a file of lists; search for what may be there and what is not."""
    with contextlib.suppress(MalformedMessage):
        revocation_lists_from(data)
    try:
        crl = RevocationList.parse(data)
        size = len(crl)
        found = sum(len(crl.find(serial_number)) for serial_number in (*range(-2, 300), 1 << 64, 1 << 130))
    except MalformedMessage:
        return
    assert found <= size
    assert repr(crl)


def seeds() -> list[bytes]:
    """Complete, delta and indirect lists."""
    authority = pki.authority("CA")
    other = pki.authority("Other CA")
    scope = x509.IssuingDistributionPoint(
        [x509.UniformResourceIdentifier("http://a/")], None, False, False, None, True, False
    )
    some = frozenset({x509.ReasonFlags.key_compromise})
    relative = x509.IssuingDistributionPoint(
        None, x509.RelativeDistinguishedName(list(pki.name("part"))), True, False, some, False, False
    )
    issuer = x509.CertificateIssuer([x509.DirectoryName(other.certificate.subject)])
    indirect = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(authority.certificate.subject)
        .last_update(pki.MOMENT)
        .next_update(pki.NOT_AFTER)
        .add_extension(scope, critical=True)
        .add_revoked_certificate(
            x509.RevokedCertificateBuilder()
            .serial_number(5)
            .revocation_date(pki.MOMENT)
            .add_extension(issuer, critical=True)
            .add_extension(x509.InvalidityDate(pki.MOMENT.replace(tzinfo=None)), critical=False)
            .build()
        )
        .sign(authority.key, hashes.SHA256())
    )
    return [
        authority.crl(),
        authority.crl({1: None, 2: x509.ReasonFlags.key_compromise, 300: x509.ReasonFlags.certificate_hold}),
        authority.crl({7: x509.ReasonFlags.remove_from_crl}, extra=[(x509.DeltaCRLIndicator(1), True)]),
        authority.crl({7: None}, extra=[(relative, True)]),
        indirect.public_bytes(serialization.Encoding.DER),
    ]
