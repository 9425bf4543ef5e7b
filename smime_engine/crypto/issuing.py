"""A small certification authority: keys and certificates for demonstrations and laboratories.

Does: make keys, a self-signed root and e-mail certificates under it (RFC 5280, RFC 8550: key identifiers, key usage,
e-mail protection, addresses as rfc822Name), and write them as PEM and PKCS#12. Does not: keep files, revoke, publish,
or follow anybody's certification practice; real certificates come from a real authority.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import pkcs12
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from smime_engine.errors import InvalidKey, UnsupportedAlgorithm

__all__ = ["Issued", "issue", "load_issued", "new_root"]

_KINDS: dict[str, Callable[[], Any]] = {
    "rsa2048": lambda: rsa.generate_private_key(65537, 2048),
    "rsa3072": lambda: rsa.generate_private_key(65537, 3072),
    "p256": lambda: ec.generate_private_key(ec.SECP256R1()),
    "p384": lambda: ec.generate_private_key(ec.SECP384R1()),
}
_CA_USES = ("key_cert_sign", "crl_sign")
_MAIL_USES = ("digital_signature", "content_commitment", "key_encipherment")
_ECC_MAIL_USES = ("digital_signature", "content_commitment", "key_agreement")
_USES = (
    *("digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement"),
    *("key_cert_sign", "crl_sign", "encipher_only", "decipher_only"),
)


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Issued:
    """A private key and its certificate, fresh or read again."""

    key: Any
    certificate: x509.Certificate

    def certificate_pem(self) -> bytes:
        """The certificate in PEM."""
        return self.certificate.public_bytes(serialization.Encoding.PEM)

    def pem(self) -> bytes:
        """Key (PKCS#8, not encrypted) and certificate in PEM."""
        form = serialization.PrivateFormat.PKCS8
        key: bytes = self.key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption())
        return key + self.certificate_pem()

    def pkcs12(self, password: bytes, *, name: str) -> bytes:
        """Key and certificate as PKCS#12 under a password, with a name for people."""
        encryption = serialization.BestAvailableEncryption(password)
        return pkcs12.serialize_key_and_certificates(name.encode(), self.key, self.certificate, None, encryption)


def new_root(common_name: str, *, not_before: datetime, not_after: datetime, kind: str = "p256") -> Issued:
    """A new key (`rsa2048`, `rsa3072`, `p256` or `p384`) and a self-signed certificate for it."""
    key = _new_key(kind)
    builder = _builder(common_name, key, not_before, not_after)
    builder = builder.issuer_name(_name(common_name))
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
    builder = builder.add_extension(_key_usage(_CA_USES), critical=True)
    return Issued(key=key, certificate=builder.sign(key, hashes.SHA256()))


def issue(
    root: Issued,
    common_name: str,
    addresses: Sequence[str],
    *,
    not_before: datetime,
    not_after: datetime,
    kind: str = "rsa2048",
) -> Issued:
    """A new key and a certificate that names the addresses, for signing and encrypting mail."""
    key = _new_key(kind)
    authority = root.certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    identifier = x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(authority)
    names = x509.SubjectAlternativeName([x509.RFC822Name(address) for address in addresses])
    purposes = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.EMAIL_PROTECTION])
    builder = _builder(common_name, key, not_before, not_after).issuer_name(root.certificate.subject)
    builder = builder.add_extension(identifier, critical=False)
    builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
    builder = builder.add_extension(_key_usage(_MAIL_USES if kind.startswith("rsa") else _ECC_MAIL_USES), critical=True)
    builder = builder.add_extension(purposes, critical=False).add_extension(names, critical=False)
    return Issued(key=key, certificate=builder.sign(root.key, hashes.SHA256()))


def load_issued(pem: bytes) -> Issued:
    """Read what `Issued.pem` wrote; InvalidKey where it is something else."""
    try:
        key = serialization.load_pem_private_key(pem, None)
        return Issued(key=key, certificate=x509.load_pem_x509_certificate(pem))
    except (ValueError, TypeError) as error:
        raise InvalidKey("not a private key and its certificate in PEM") from error


def _new_key(kind: str) -> Any:
    if kind not in _KINDS:
        raise UnsupportedAlgorithm(kind, purpose="key")
    return _KINDS[kind]()


def _name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _builder(common_name: str, key: Any, not_before: datetime, not_after: datetime) -> x509.CertificateBuilder:
    public_key = key.public_key()
    return (
        x509.CertificateBuilder()
        .subject_name(_name(common_name))
        .public_key(public_key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(not_before)
        .not_valid_after(not_after)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public_key), critical=False)
    )


def _key_usage(uses: Sequence[str]) -> x509.KeyUsage:
    return x509.KeyUsage(**{use: use in uses for use in _USES})
