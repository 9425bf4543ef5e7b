"""Import and export of a tenant's collection: SST, PEM, DER and PKCS #7.

Does: what `Set-SmimeConfig -SMIMECertificateIssuingCA` does: read all certificates, refuse the whole import if one of
them has expired (naming it), take the self-signed ones as anchors and the rest as intermediates; write SST. Does not:
judge the certificates otherwise: giving them is the tenant's choice, and path validation examines every chain.

Sources: MS-OSHARED section 2.3.2.5 (SST), Microsoft's reference of Set-SmimeConfig.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime

from smime_engine.certificate import Certificate
from smime_engine.certificate_bundle import certificates_from
from smime_engine.errors import ConfigurationError, LimitExceeded, MalformedMessage, UnsupportedAlgorithm
from smime_engine.limits import DEFAULT_LIMITS, Limits
from smime_engine.trust.collection import Pin, TrustCollection
from smime_engine.trust.crl import RevocationList
from smime_engine.trust.signatures import Outcome, signature_outcome_with_key
from smime_engine.trust.sst import encode_sst, is_sst, parse_sst

__all__ = ["CollectionImport", "collection_of", "encode_collection", "import_collection"]


@dataclass(frozen=True, slots=True, kw_only=True)
class CollectionImport:
    """What an import file holds, and what speaks against importing it."""

    certificates: tuple[Certificate, ...]
    """Each once, in the order of the file."""

    crls: tuple[RevocationList, ...]
    refusals: tuple[str, ...]
    """One text for each certificate that makes the import fail, naming it."""

    notes: tuple[str, ...]
    """What was left out without harm: trust lists, malformed revocation lists."""

    def require(self) -> CollectionImport:
        """Raise ConfigurationError with all refusals, if there are any."""
        if self.refusals:
            raise ConfigurationError("the collection is not imported: " + "; ".join(self.refusals))
        return self


def import_collection(data: bytes, *, now: datetime, limits: Limits = DEFAULT_LIMITS) -> CollectionImport:
    """Read a file of certificates as a collection at the time `now` (aware).

    Raises MalformedMessage where the file as a whole cannot be read. A single certificate that is malformed or has
    expired is a refusal: nothing may be imported then.
    """
    if not is_sst(data) and data:
        raised = replace(limits, certificates=limits.store_elements)
        return _checked(certificates_from(data, limits=raised), (), (), (), now)
    store = parse_sst(data, limits=limits)
    certificates: list[Certificate] = []
    lists: list[RevocationList] = []
    refusals: list[str] = []
    notes: list[str] = []
    for position, der in enumerate(store.certificates, 1):
        try:
            certificates.append(Certificate.parse(der))
        except MalformedMessage as error:
            refusals.append(f"certificate {position} of the store cannot be read: {error}")
    for position, der in enumerate(store.crls, 1):
        try:
            lists.append(RevocationList.parse(der, limits=limits))
        except LimitExceeded:
            raise
        except MalformedMessage as error:
            notes.append(f"revocation list {position} of the store is left out: {error}")
    if store.ctls:
        notes.append(f"{len(store.ctls)} certificate trust lists are left out: trust is the collection's alone")
    return _checked(certificates, lists, refusals, notes, now)


def collection_of(
    certificates: Iterable[Certificate],
    *,
    distrusted: Iterable[Certificate | bytes] = (),
    pins: Iterable[Pin] = (),
    fallback: Iterable[Certificate] = (),
) -> TrustCollection:
    """Make a collection: self-signed certificates are its anchors, all others are intermediates.

    `fallback` are the machine's own roots, behind the collection's: what on-premises Exchange falls back to. Exchange
    Online has nothing like it, so it is empty unless the caller reads a store.
    """
    listed = tuple(dict.fromkeys(certificates))
    anchors = [certificate for certificate in listed if _is_self_signed(certificate)]
    chosen = frozenset(anchors)
    intermediates = [certificate for certificate in listed if certificate not in chosen]
    return TrustCollection((*anchors, *fallback), intermediates, distrusted=distrusted, pins=pins)


def encode_collection(collection: TrustCollection, *, crls: Iterable[bytes] = ()) -> bytes:
    """Write anchors, then intermediates, as SST: byte for byte what Windows saves for the same certificates."""
    return encode_sst([certificate.der for certificate in (*collection.anchors, *collection.intermediates)], crls=crls)


def _is_self_signed(certificate: Certificate) -> bool:
    """Whether the certificate's own key made its signature.

    One that merely has its issuer's name (key roll-over) is an intermediate, and so is one whose algorithm we do not
    have: it could verify nothing.
    """
    if not certificate.is_self_issued:
        return False
    try:
        return signature_outcome_with_key(certificate, certificate.public_key) is Outcome.GOOD
    except (UnsupportedAlgorithm, MalformedMessage):
        return False


def _checked(
    certificates: Iterable[Certificate],
    lists: Iterable[RevocationList],
    refusals: Iterable[str],
    notes: Iterable[str],
    now: datetime,
) -> CollectionImport:
    listed = tuple(dict.fromkeys(certificates))
    expired = (
        f"{certificate.subject} (serial number {certificate.serial_number:x}) expired on "
        f"{certificate.not_after:%Y-%m-%d %H:%M} UTC"
        for certificate in listed
        if certificate.not_after < now
    )
    return CollectionImport(certificates=listed, crls=tuple(lists), refusals=(*refusals, *expired), notes=tuple(notes))
