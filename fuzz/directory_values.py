"""Values of userSMIMECertificate, property lists, and whole entries. Allowed: MalformedMessage."""

from __future__ import annotations

from datetime import UTC, datetime

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from smime_engine.certificate import Certificate
from smime_engine.directory.attributes import entry_from_attributes
from smime_engine.directory.choosing import ChoicePolicy, choose_certificates
from smime_engine.directory.entries import Answer
from smime_engine.directory.publishing import published_value
from smime_engine.directory.smime_certificate import preferred_certificate, read_user_smime_certificate
from smime_engine.errors import MalformedMessage
from smime_engine.keys import Identity, InMemoryKey
from smime_engine.trust.collection import TrustCollection

_NOW = datetime(2026, 1, 1, tzinfo=UTC)
_ADDRESS = "fuzz@example.org"
_POLICY = ChoicePolicy(collection=TrustCollection())


def fuzz(data: bytes) -> None:
    """Whatever a directory holds, it becomes an entry, and every recipient gets a certificate or a reason."""
    try:
        read = read_user_smime_certificate(data)
    except MalformedMessage:
        pass
    else:
        preferred_certificate(data[:80], [found.certificate for found in read.certificates])
    attributes = {
        "mail": [_ADDRESS.encode(), data[:200]],
        "proxyAddresses": data.split(b"\n")[:20],
        "userSMIMECertificate": [data],
        "userCertificate;binary": [data, data[4:]],
    }
    entry = entry_from_attributes(attributes, source="fuzz", identifier="cn=fuzz")
    (choice,) = choose_certificates([Answer(address=_ADDRESS, entries=(entry,))], _POLICY, _NOW)
    assert choice.certificate is None
    assert choice.reason is not None


def seeds() -> list[bytes]:
    """What Outlook publishes, a property list, a bare certificate, addresses."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Fuzz")])
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), 7, _NOW.replace(year=2025), _NOW.replace(year=2035))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.SubjectAlternativeName([x509.RFC822Name(_ADDRESS)]), critical=False)
        .sign(key, hashes.SHA256())
    )
    der = made.public_bytes(Encoding.DER)
    identity = Identity(key=InMemoryKey(key), certificate=Certificate.parse(der))
    version = b"\x01\x00\x08\x00\x01\x00\x00\x00"
    listed = version + b"\x08\x00" + (len(der) + 4).to_bytes(2, "little") + der
    return [
        published_value(identity, now=_NOW),
        listed,
        der,
        b"SMTP:fuzz@example.org\nsmtp:other@example.org\nx400:c=US",
    ]
