"""A SignedData taken apart: values, with everything as encoded in the message.

NamedTuples instead of dataclasses: creating a frozen dataclass of eight fields takes 3 µs, a tenth of that a tuple.

Standards: RFC 5652 sections 5.1 and 5.3.
"""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["SignedData", "SignerInfo"]


class SignerInfo(NamedTuple):
    """One signer; everything as encoded in the message (DER)."""

    version: int
    issuer_and_serial: bytes | None
    """DER IssuerAndSerialNumber, None when the signer is named by key identifier."""

    subject_key_identifier: bytes | None
    """The identifier's octets, None when the signer is named by issuer and serial number."""

    digest_algorithm: bytes
    signed_attributes: bytes | None
    """The whole field, with its tag [0]; None without signed attributes."""

    signature_algorithm: bytes
    signature: bytes
    unsigned_attributes: bytes | None
    """The whole field, with its tag [1]; None without unsigned attributes."""


class SignedData(NamedTuple):
    """A SignedData; certs-only when `signers` is empty and there is no content."""

    version: int
    content_type: str
    """Dotted type of the content: `oids.ID_DATA` for mail."""

    content: memoryview | None
    """The embedded content; None when it is detached. A span of the input unless that was BER."""

    digest_algorithms: tuple[bytes, ...]
    certificates: tuple[bytes, ...]
    """X.509 certificates in the order of the message, not parsed."""

    crls: tuple[bytes, ...]
    ocsp_responses: tuple[bytes, ...]
    """DER OCSPResponse values (RFC 5940)."""

    skipped: int
    """Certificates and revocation values of kinds that nobody uses for mail (attribute certificates, SCVP …)."""

    signers: tuple[SignerInfo, ...]
