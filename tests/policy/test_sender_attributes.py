"""What is shown of a certificate that does not name the sender."""

from __future__ import annotations

from cryptography import x509
from cryptography.x509.oid import NameOID

from smime_engine.certificate import Certificate
from smime_engine.policy.sender_attributes import sender_attributes
from tests import pki


def test_wanted_attributes_that_are_there_in_the_order_wanted() -> None:
    subject = x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Example Ltd"),
            x509.NameAttribute(NameOID.COMMON_NAME, "Alice"),
        ]
    )
    holder = pki.authority("Root").issue("Alice", "alice@example.org", "a@example.org", subject=subject)
    certificate = Certificate.parse(holder.certificate_der)
    wanted = ("2.5.29.17", "2.5.4.3", "2.5.4.7", "2.5.4.10", "2.5.4.3")
    assert [values for _, values in sender_attributes(certificate, wanted)] == [
        ("alice@example.org", "a@example.org"),
        ("Alice",),
        ("Example Ltd",),
    ]
    assert sender_attributes(certificate, ()) == ()
