"""The signing certificate attributes: a signed reference to the signer's certificate.

They stop an attacker from putting another certificate of the same key under a signature. Checks the first reference,
which is the signer's own; the further ones, which would restrict the certificates of the path, are not looked at, nor
are the policies.

Standards: RFC 5035 (version 2, any digest, SHA-256 unless said), RFC 2634 section 5.4 (version 1, SHA-1).
"""

from __future__ import annotations

from smime_engine.asn1 import ber
from smime_engine.certificate import Certificate
from smime_engine.crypto.signature_algorithms import DIGESTS, Digest, digest_from_identifier
from smime_engine.crypto.signing import digest
from smime_engine.errors import MalformedMessage
from smime_engine.names import comparable_name

__all__ = ["names_certificate", "signing_certificate_v2"]


def names_certificate(value: bytes, certificate: Certificate, *, version_2: bool) -> bool:
    """Whether the first reference in a DER SigningCertificate(V2) is to this certificate.

    Raises MalformedMessage, UnsupportedAlgorithm for an unknown digest.
    """
    fields = _sequence(value, "a SigningCertificate")
    references = _sequence(fields[0], "a SEQUENCE OF ESSCertID") if fields else []
    if not references:
        raise MalformedMessage("at least one ESSCertID", offset=0)
    reference = _sequence(references[0], "an ESSCertID")
    algorithm = DIGESTS["sha256" if version_2 else "sha1"]
    if version_2 and reference and reference[0][:1] == b"\x30":
        algorithm = digest_from_identifier(reference.pop(0))
    if not 1 <= len(reference) <= 2 or reference[0][:1] != b"\x04":
        raise MalformedMessage("the digest of a certificate", offset=0)
    start, end = ber.content(reference[0], 0, len(reference[0]), 0x04, expected="an OCTET STRING")
    if reference[0][start:end] != digest(algorithm, certificate.der):
        return False
    return len(reference) == 1 or _is_issuer_serial(reference[1], certificate)


def signing_certificate_v2(certificate: Certificate, algorithm: Digest) -> bytes:
    """Encode a SigningCertificateV2 that refers to one certificate by digest, issuer and serial number."""
    identifier = b"" if algorithm.name == "sha256" else algorithm.identifier  # DER leaves the DEFAULT out
    reference = ber.encode(
        0x30,
        identifier,
        ber.encode(0x04, digest(algorithm, certificate.der)),
        ber.encode(0x30, _issuer_names(certificate), _serial(certificate)),
    )
    return ber.encode(0x30, ber.encode(0x30, reference))


def _is_issuer_serial(encoded: bytes, certificate: Certificate) -> bool:
    names, serial = _pair(encoded)
    if serial != _serial(certificate):
        return False
    if names == _issuer_names(certificate):
        return True
    start, end = ber.content(names, 0, len(names), 0x30, expected="GeneralNames")
    return any(
        tag == 0xA4 and comparable_name(names[content_start:content_end]) == certificate.comparable_issuer
        for tag, _, content_start, content_end in ber.children(names, start, end)
    )


def _issuer_names(certificate: Certificate) -> bytes:
    return ber.encode(0x30, ber.encode(0xA4, certificate.issuer_der))


def _serial(certificate: Certificate) -> bytes:
    return _pair(certificate.issuer_and_serial)[1]


def _pair(encoded: bytes) -> tuple[bytes, bytes]:
    fields = _sequence(encoded, "issuer and serial number")
    if len(fields) != 2:
        raise MalformedMessage("issuer and serial number", offset=0)
    return fields[0], fields[1]


def _sequence(encoded: bytes, expected: str) -> list[bytes]:
    start, end = ber.content(encoded, 0, len(encoded), 0x30, expected=expected)
    if end != len(encoded):
        raise MalformedMessage(f"the end of {expected}", offset=end)
    return ber.elements(encoded, start, end)
