"""What verifying needs and gives: the digests of the content, and the report on one signer.

Values only; nothing is decided here.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import NamedTuple, NoReturn

from smime_engine.asn1 import oids
from smime_engine.certificate import Certificate
from smime_engine.cms.attributes import Attribute
from smime_engine.crypto.signature_algorithms import Digest
from smime_engine.crypto.signing import digest as compute_digest
from smime_engine.problems import Finding, Problem

__all__ = ["ContentDigests", "SignerCheck"]

Octets = bytes | memoryview


class ContentDigests:
    """The content and its digests, each computed when first asked for.

    For a content that was streamed past: no content, but the digests, by their name in `DIGESTS`.
    """

    __slots__ = ("_known", "content")

    def __init__(self, content: Octets | None, known: Mapping[str, bytes] | None = None) -> None:
        self.content = content
        self._known = dict(known or {})

    def of(self, algorithm: Digest) -> bytes | None:
        """The content's digest; None where neither content nor digest is known."""
        known = self._known.get(algorithm.name)
        if known is None and self.content is not None:
            known = self._known[algorithm.name] = compute_digest(algorithm, self.content)
        return known


class SignerCheck(NamedTuple):
    """What is wrong with one signature, and what it says."""

    findings: tuple[Finding, ...]
    digest: str
    """Name of the digest of the content, or its OID when unknown."""

    algorithm: str
    """Name of the kind of signature (`ecdsa`), or its OID when unknown."""

    certificate: Certificate | None
    """The certificate that was used."""

    signing_time: datetime | None
    """When the signer says that it signed (aware, UTC)."""

    attributes: tuple[Attribute, ...]
    """The signed attributes as they stand."""

    @property
    def problems(self) -> tuple[Problem, ...]:
        """The findings' problems."""
        return tuple(finding.problem for finding in self.findings)

    def value_of(self, type_: oids.Oid) -> bytes | None:
        """DER of the first value of a signed attribute: `value_of(oids.SMIME_CAPABILITIES)`; None without it."""
        return next((values[0] for found, values in self.attributes if found == type_.tlv and values), None)

    @property
    def capabilities(self) -> bytes | None:
        """DER SMIMECapabilities (RFC 8551 section 2.5.2)."""
        return self.value_of(oids.SMIME_CAPABILITIES)

    @property
    def encryption_key_preference(self) -> bytes | None:
        """DER SMIMEEncryptionKeyPreference (RFC 8551 section 2.5.3), also from Microsoft's attribute.

        Microsoft's holds a bare IssuerAndSerialNumber; it is returned as the CHOICE [0] that the RFC makes of it.
        """
        preference = self.value_of(oids.ID_AA_ENCRYP_KEY_PREF)
        if preference is not None:
            return preference
        issuer_and_serial = self.value_of(oids.MICROSOFT_ENCRYPTION_KEY_PREFERENCE)
        if issuer_and_serial is None or issuer_and_serial[0] != 0x30:
            return None
        return b"\xa0" + issuer_and_serial[1:]

    def __bool__(self) -> NoReturn:
        raise TypeError("a signer check has no truth value: look at its findings")
