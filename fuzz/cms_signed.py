"""SignedData: parse and verify every signer, with and without content. Allowed: MalformedMessage."""

from __future__ import annotations

from datetime import UTC, datetime

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from smime_engine.certificate import Certificate
from smime_engine.cms.several_signers import sign_with
from smime_engine.cms.signed import parse_signed_data, signer_certificates, verify_signer
from smime_engine.cms.signed_data_writer import certificates_only
from smime_engine.cms.signer import CmsSigner, SignedAttributes
from smime_engine.errors import MalformedMessage
from smime_engine.keys import InMemoryKey

_NOW = datetime(2026, 1, 1, tzinfo=UTC)
_CONTENT = b"Content-Type: text/plain\r\n\r\nHello\r\n"


def fuzz(data: bytes) -> None:
    """Whatever the octets are, every signer gets a report."""
    try:
        signed = parse_signed_data(data)
    except MalformedMessage:
        return
    pool = []
    for der in signed.certificates[:8]:
        try:
            pool.append(Certificate.parse(der))
        except MalformedMessage:
            continue
    for signer in signed.signers[:4]:
        candidates = signer_certificates(signer, pool) or pool[:1]
        for content in (None, _CONTENT):
            check = verify_signer(signed, signer, content=content, certificate=candidates)
            assert check.digest
            assert check.algorithm
            assert isinstance(check.encryption_key_preference, bytes | None)


def seeds() -> list[bytes]:
    """Messages of the kinds that mail has, signed by a key of the moment."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Fuzz")])
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), 7, _NOW.replace(year=2025), _NOW.replace(year=2035))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    parsed = Certificate.parse(certificate.public_bytes(Encoding.DER))
    every = SignedAttributes(signing_certificate=True, encryption_certificate=parsed, capabilities=b"\x30\x00")
    usual, full, bare = (
        CmsSigner(InMemoryKey(key), parsed, attributes=attributes) for attributes in (SignedAttributes(), every, None)
    )
    by_key = CmsSigner(InMemoryKey(key), parsed, by_key_identifier=True)
    return [
        usual.sign(_CONTENT, now=_NOW),
        full.sign(_CONTENT, now=_NOW, detached=False),
        bare.sign(_CONTENT, now=_NOW),
        sign_with([usual, by_key, bare], _CONTENT, now=_NOW, detached=False),
        certificates_only([parsed.der]),
    ]
