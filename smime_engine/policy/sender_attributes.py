"""What is shown of a certificate that does not name the sender of the message: OWASenderCertificateAttributesToDisplay.

A reader who decides to trust such a message needs to see who the certificate belongs to. The setting lists attributes
by dotted identifier; here they are attributes of the subject, and of the alternative names for their identifier.

Source: Microsoft's reference of Set-SmimeConfig. [Which attributes Exchange looks at besides the subject's is unknown.]
"""

from __future__ import annotations

from collections.abc import Iterable

from smime_engine.asn1 import oids
from smime_engine.certificate import Certificate
from smime_engine.names import values_of

__all__ = ["sender_attributes"]


def sender_attributes(certificate: Certificate, wanted: Iterable[str]) -> tuple[tuple[str, tuple[str, ...]], ...]:
    """(name or dotted identifier, values) of each wanted attribute that the certificate has, in the order wanted."""
    found = []
    for identifier in dict.fromkeys(wanted):
        values = values_of(certificate.subject_der, identifier)
        if identifier == oids.ID_CE_SUBJECT_ALT_NAME:
            values = certificate.addresses
        if values:
            found.append((oids.name_of(identifier), values))
    return tuple(found)
