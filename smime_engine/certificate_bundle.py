"""All certificates of a file, whatever form it has.

Does: PEM bundles, DER, certs-only PKCS #7, bare base64, several values in a row. Does not: serialized stores (SST:
`trust.sst`), keys (`keys.py`).

Standards: RFC 7468, RFC 5652 section 5.1 (certs-only), RFC 8551 section 3.8.
"""

from __future__ import annotations

from functools import partial

from smime_engine.armour import binary_blocks
from smime_engine.asn1 import ber, oids
from smime_engine.certificate import Certificate
from smime_engine.errors import LimitExceeded, MalformedMessage
from smime_engine.limits import DEFAULT_LIMITS, Limits

__all__ = ["certificates_from"]

_SEQUENCE = 0x30


def certificates_from(data: bytes, *, limits: Limits = DEFAULT_LIMITS) -> tuple[Certificate, ...]:
    """All certificates of a file: PEM bundle, DER, certs-only PKCS #7 (`.p7b`, BER too), several in a row, or base64.

    Other PEM blocks are skipped. Raises MalformedMessage where a certificate is malformed or none is found,
    LimitExceeded for more than `limits.certificates`.
    """
    found: list[Certificate] = []
    for der in binary_blocks(data, _PEM_LABELS):
        for certificate in _certificates_in(der, limits):
            if len(found) >= limits.certificates:
                raise LimitExceeded("certificates", limits.certificates)
            found.append(certificate)
    if not found:
        raise MalformedMessage("at least one certificate (PEM, DER or PKCS #7)")
    return tuple(found)


_PEM_LABELS = frozenset({b"CERTIFICATE", b"X509 CERTIFICATE", b"PKCS7", b"PKCS #7 SIGNED DATA", b"CMS"})


def _certificates_in(data: bytes, limits: Limits) -> list[Certificate]:
    """Certificates of values (certificates, SignedData) that follow each other."""
    try:
        values = ber.children(data, 0, len(data), limits)
    except LimitExceeded:
        raise
    except MalformedMessage:
        data = ber.to_der(data, limits)
        values = ber.children(data, 0, len(data), limits)
    found = []
    for tag, start, content_start, end in values:
        if tag != _SEQUENCE:
            raise MalformedMessage("a certificate (SEQUENCE)", offset=start)
        value = data[start:end]
        if data[content_start : content_start + 1] == b"\x06":
            found += ber.der_or_converted(value, partial(_certificates_of_signed_data, limits=limits), limits)
        else:
            found.append(Certificate.parse(value))
    return found


def _certificates_of_signed_data(data: ber.Octets, *, limits: Limits) -> list[Certificate]:
    """The certificates of a ContentInfo, whatever else it holds; attribute certificates are skipped."""
    data = bytes(data)
    start, end = ber.content(data, 0, len(data), _SEQUENCE, expected="ContentInfo")
    content_info = ber.children(data, start, end, limits)
    if len(content_info) != 2 or data[content_info[0][1] : content_info[0][3]] != oids.ID_SIGNED_DATA.tlv:
        raise MalformedMessage("certificates (SignedData)", offset=start)
    signed_data = ber.content(data, *content_info[1][2:], _SEQUENCE, expected="SignedData")
    choices = [
        choice
        for tag, _, first, last in ber.children(data, *signed_data, limits)
        if tag == 0xA0
        for choice in ber.children(data, first, last, limits)
    ]
    return [Certificate.parse(data[offset:last]) for tag, offset, _, last in choices if tag == _SEQUENCE]
