"""A certification authority for tests: every key and certificate is made at run time, nothing is ever committed.

    root = pki.authority("Example Root")
    ca = root.subordinate("Example CA")
    alice = ca.issue("Alice", "alice@example.org", kind="rsa2048", usage="sign")
    alice.pkcs12(b"secret"), alice.certificate_der, ca.crl({alice: x509.ReasonFlags.key_compromise})

Keys are kept per process by (kind, label), because RSA keys take long to make: `new_key("rsa2048")` is always the
same key, `new_key("rsa2048", "another")` is a different one; `issue` labels its keys by the holder's name.
Certificates are valid from `NOT_BEFORE` to `NOT_AFTER`; `MOMENT` lies in between, and so does the real clock.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache
from itertools import count
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed448, ed25519, mldsa, mlkem, padding, rsa, x448, x25519
from cryptography.hazmat.primitives.serialization import pkcs12
from cryptography.x509 import ocsp
from cryptography.x509.oid import AuthorityInformationAccessOID, ExtendedKeyUsageOID, NameOID

NOT_BEFORE = datetime(2024, 1, 1, tzinfo=UTC)
MOMENT = datetime(2026, 6, 1, 12, 0, tzinfo=UTC)
NOT_AFTER = datetime(2048, 1, 1, tzinfo=UTC)

_MAKERS: dict[str, Callable[[], Any]] = {
    "rsa1024": lambda: rsa.generate_private_key(65537, 1024),
    "rsa2048": lambda: rsa.generate_private_key(65537, 2048),
    "rsa3072": lambda: rsa.generate_private_key(65537, 3072),
    "rsa4096": lambda: rsa.generate_private_key(65537, 4096),
    "p256": lambda: ec.generate_private_key(ec.SECP256R1()),
    "p384": lambda: ec.generate_private_key(ec.SECP384R1()),
    "p521": lambda: ec.generate_private_key(ec.SECP521R1()),
    "brainpool256": lambda: ec.generate_private_key(ec.BrainpoolP256R1()),
    "brainpool384": lambda: ec.generate_private_key(ec.BrainpoolP384R1()),
    "brainpool512": lambda: ec.generate_private_key(ec.BrainpoolP512R1()),
    "ed25519": ed25519.Ed25519PrivateKey.generate,
    "ed448": ed448.Ed448PrivateKey.generate,
    "x25519": x25519.X25519PrivateKey.generate,
    "x448": x448.X448PrivateKey.generate,
    "mldsa44": mldsa.MLDSA44PrivateKey.generate,
    "mldsa65": mldsa.MLDSA65PrivateKey.generate,
    "mldsa87": mldsa.MLDSA87PrivateKey.generate,
    "mlkem768": mlkem.MLKEM768PrivateKey.generate,
    "mlkem1024": mlkem.MLKEM1024PrivateKey.generate,
    "dsa2048": lambda: dsa.generate_private_key(2048),
}
KINDS = tuple(_MAKERS)
SIGNING_KINDS = tuple(kind for kind in KINDS if not kind.startswith(("x", "mlkem")))

_USAGES = {
    "sign": ("digital_signature", "content_commitment"),
    "encrypt": ("key_encipherment", "key_agreement"),
    "both": ("digital_signature", "content_commitment", "key_encipherment", "key_agreement"),
    "ca": ("key_cert_sign", "crl_sign"),
}
_KEY_USAGE_NAMES = (
    "digital_signature",
    "content_commitment",
    "key_encipherment",
    "data_encipherment",
    "key_agreement",
    "key_cert_sign",
    "crl_sign",
    "encipher_only",
    "decipher_only",
)
_serial_numbers = count(0x1000)


@cache
def new_key(kind: str, label: str = "") -> Any:
    """The private key of this kind and label: the same object each time within one process."""
    return _MAKERS[kind]()


def key_usage(*names: str) -> x509.KeyUsage:
    """A key usage extension value with the named bits (`digital_signature`, …) set."""
    return x509.KeyUsage(**{name: name in names for name in _KEY_USAGE_NAMES})


def name(common_name: str, **more: str) -> x509.Name:
    """`name("Alice", organization_name="Example", email_address="a@example.org")`."""
    pairs = [(NameOID.COMMON_NAME, common_name), *((getattr(NameOID, key.upper()), more[key]) for key in more)]
    return x509.Name([x509.NameAttribute(oid, value) for oid, value in pairs])


@dataclass(frozen=True, eq=False)
class Credential:
    """A private key, its certificate, and the certificates above it up to and including the root."""

    key: Any
    certificate: x509.Certificate
    issuers: tuple[x509.Certificate, ...] = ()

    @property
    def certificate_der(self) -> bytes:
        """The certificate in DER."""
        return self.certificate.public_bytes(serialization.Encoding.DER)

    @property
    def certificate_pem(self) -> bytes:
        """The certificate in PEM."""
        return self.certificate.public_bytes(serialization.Encoding.PEM)

    @property
    def chain(self) -> tuple[x509.Certificate, ...]:
        """The issuers without the root: what a message carries besides the certificate."""
        return self.issuers[:-1]

    @property
    def chain_der(self) -> tuple[bytes, ...]:
        """`chain` in DER."""
        return tuple(certificate.public_bytes(serialization.Encoding.DER) for certificate in self.chain)

    @property
    def chain_pem(self) -> bytes:
        """`chain` as a PEM bundle."""
        return b"".join(certificate.public_bytes(serialization.Encoding.PEM) for certificate in self.chain)

    @property
    def root(self) -> x509.Certificate:
        """The root of the chain; a root's own certificate for itself."""
        return self.issuers[-1] if self.issuers else self.certificate

    @property
    def root_der(self) -> bytes:
        """`root` in DER."""
        return self.root.public_bytes(serialization.Encoding.DER)

    @property
    def root_pem(self) -> bytes:
        """`root` in PEM."""
        return self.root.public_bytes(serialization.Encoding.PEM)

    def key_pem(self, password: bytes | None = None) -> bytes:
        """The private key in PKCS#8 PEM, encrypted if a password is given."""
        encoded: bytes = self.key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, _encryption(password)
        )
        return encoded

    def key_der(self, password: bytes | None = None) -> bytes:
        """The private key in PKCS#8 DER, encrypted if a password is given."""
        encoded: bytes = self.key.private_bytes(
            serialization.Encoding.DER, serialization.PrivateFormat.PKCS8, _encryption(password)
        )
        return encoded

    def pem(self, password: bytes | None = None) -> bytes:
        """Key, certificate and chain in one PEM text."""
        return self.key_pem(password) + self.certificate_pem + self.chain_pem

    def pkcs12(self, password: bytes | None = None, *, friendly_name: str = "test", old: bool = False) -> bytes:
        """Key, certificate and chain as PKCS#12; `old` uses PBE-SHA1-3DES, which old readers need."""
        return pkcs12.serialize_key_and_certificates(
            friendly_name.encode(), self.key, self.certificate, self.chain or None, _encryption(password, old=old)
        )

    def write(self, folder: Path, stem: str) -> Path:
        """Write `stem`.key, .crt, .chain, .root and .pem (all of it) as PEM into a folder; returns the .pem."""
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{stem}.key").write_bytes(self.key_pem())
        (folder / f"{stem}.crt").write_bytes(self.certificate_pem)
        (folder / f"{stem}.chain").write_bytes(self.chain_pem)
        (folder / f"{stem}.root").write_bytes(self.root_pem)
        everything = folder / f"{stem}.pem"
        everything.write_bytes(self.pem())
        return everything


@dataclass(frozen=True, eq=False)
class Authority(Credential):
    """A credential that issues certificates, revocation lists and OCSP responses."""

    crl_urls: tuple[str, ...] = field(default=(), kw_only=True)
    ocsp_urls: tuple[str, ...] = field(default=(), kw_only=True)
    issuer_urls: tuple[str, ...] = field(default=(), kw_only=True)

    def issue(
        self,
        common_name: str,
        *addresses: str,
        kind: str = "p256",
        usage: str | x509.KeyUsage | None = "both",
        extended_key_usage: Sequence[x509.ObjectIdentifier] | None = (ExtendedKeyUsageOID.EMAIL_PROTECTION,),
        **options: Any,
    ) -> Credential:
        """An end-entity certificate for e-mail; see `_certificate` for the further options."""
        key = options.pop("key", None) or new_key(kind, common_name)
        options.setdefault("subject", name(common_name))
        certificate = _certificate(
            self, key, addresses=addresses, usage=usage, extended_key_usage=extended_key_usage, **options
        )
        return Credential(key, certificate, (self.certificate, *self.issuers))

    def subordinate(
        self,
        common_name: str,
        *,
        kind: str = "p256",
        path_length: int | None = None,
        crl_urls: Sequence[str] = (),
        ocsp_urls: Sequence[str] = (),
        issuer_urls: Sequence[str] = (),
        **options: Any,
    ) -> Authority:
        """An intermediate authority; the urls go into what *it* issues; see `_certificate` for further options."""
        key = options.pop("key", None) or new_key(kind, common_name)
        options.setdefault("subject", name(common_name))
        options.setdefault("usage", "ca")
        certificate = _certificate(self, key, ca=True, path_length=path_length, **options)
        issuers = (self.certificate, *self.issuers)
        urls = {"crl_urls": tuple(crl_urls), "ocsp_urls": tuple(ocsp_urls), "issuer_urls": tuple(issuer_urls)}
        return Authority(key, certificate, issuers, **urls)

    def crl(
        self,
        revoked: Mapping[Credential | int, x509.ReasonFlags | None] | None = None,
        *,
        this_update: datetime = MOMENT - timedelta(days=1),
        next_update: datetime = NOT_AFTER,
        revoked_at: datetime = MOMENT - timedelta(days=30),
        number: int = 1,
        extra: Sequence[tuple[x509.ExtensionType, bool]] = (),
    ) -> bytes:
        """A revocation list in DER; `revoked` maps credentials or serial numbers to reasons (None: no reason)."""
        builder = (
            x509.CertificateRevocationListBuilder()
            .issuer_name(self.certificate.subject)
            .last_update(this_update)
            .next_update(next_update)
            .add_extension(x509.CRLNumber(number), critical=False)
            .add_extension(_authority_key_identifier(self.certificate), critical=False)
        )
        for extension, critical in extra:
            builder = builder.add_extension(extension, critical=critical)
        for holder, reason in (revoked or {}).items():
            serial = holder if isinstance(holder, int) else holder.certificate.serial_number
            entry = x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(revoked_at)
            if reason is not None:
                entry = entry.add_extension(x509.CRLReason(reason), critical=False)
            builder = builder.add_revoked_certificate(entry.build())
        return builder.sign(self.key, _digest_for(self.key)).public_bytes(serialization.Encoding.DER)

    def ocsp_response(
        self,
        holder: Credential,
        *,
        status: ocsp.OCSPCertStatus = ocsp.OCSPCertStatus.GOOD,
        responder: Credential | None = None,
        this_update: datetime = MOMENT - timedelta(hours=1),
        next_update: datetime | None = NOT_AFTER,
        revoked_at: datetime = MOMENT - timedelta(days=30),
        nonce: bytes | None = None,
    ) -> bytes:
        """An OCSP response in DER about one certificate, signed by this authority or by a delegated responder."""
        signer = responder or self
        is_revoked = status is ocsp.OCSPCertStatus.REVOKED
        builder = (
            ocsp.OCSPResponseBuilder()
            .add_response(
                cert=holder.certificate,
                issuer=self.certificate,
                algorithm=hashes.SHA256(),
                cert_status=status,
                this_update=this_update,
                next_update=next_update,
                revocation_time=revoked_at if is_revoked else None,
                revocation_reason=x509.ReasonFlags.key_compromise if is_revoked else None,
            )
            .responder_id(ocsp.OCSPResponderEncoding.HASH, signer.certificate)
        )
        if responder is not None:
            builder = builder.certificates([responder.certificate])
        if nonce is not None:
            builder = builder.add_extension(x509.OCSPNonce(nonce), critical=False)
        return builder.sign(signer.key, _digest_for(signer.key)).public_bytes(serialization.Encoding.DER)


def authority(common_name: str = "Test Root", *, kind: str = "p256", **options: Any) -> Authority:
    """A self-signed root; `crl_urls`, `ocsp_urls` and `issuer_urls` go into what it issues."""
    key = options.pop("key", None) or new_key(kind, common_name)
    urls = {key_: tuple(options.pop(key_, ())) for key_ in ("crl_urls", "ocsp_urls", "issuer_urls")}
    options.setdefault("subject", name(common_name))
    options.setdefault("usage", "ca")
    return Authority(key, _certificate(None, key, ca=True, **options), **urls)


def _certificate(
    issuer: Authority | None,
    key: Any,
    *,
    subject: x509.Name,
    addresses: Sequence[str] = (),
    names: Sequence[x509.GeneralName] = (),
    usage: str | x509.KeyUsage | None = "both",
    extended_key_usage: Sequence[x509.ObjectIdentifier] | None = None,
    ca: bool = False,
    path_length: int | None = None,
    not_before: datetime = NOT_BEFORE,
    not_after: datetime = NOT_AFTER,
    serial_number: int | None = None,
    key_identifiers: bool = True,
    digest: Any = None,
    pss: bool = False,
    extra: Sequence[tuple[x509.ExtensionType, bool]] = (),
) -> x509.Certificate:
    """Build and sign one certificate.

    `addresses` become rfc822Names beside the further subject alternative `names`; `usage` is sign, encrypt, both,
    ca, an extension value or None; `key_identifiers=False` leaves SKI and AKI away; `digest` and `pss` choose the
    issuer's signature; `extra` adds (extension, critical) pairs.
    """
    signer = key if issuer is None else issuer.key
    builder = x509.CertificateBuilder(
        subject_name=subject,
        issuer_name=subject if issuer is None else issuer.certificate.subject,
        public_key=key.public_key(),
        serial_number=serial_number if serial_number is not None else next(_serial_numbers),
        not_valid_before=not_before,
        not_valid_after=not_after,
    )
    for extension, critical in (
        *_constraint_extensions(ca=ca, path_length=path_length, usage=usage, extended_key_usage=extended_key_usage),
        *_name_extensions(addresses, names),
        *(_identifier_extensions(issuer, key) if key_identifiers else ()),
        *_pointer_extensions(issuer),
        *extra,
    ):
        builder = builder.add_extension(extension, critical=critical)
    chosen = digest or _digest_for(signer)
    if pss:
        assert chosen is not None
        return builder.sign(signer, chosen, rsa_padding=padding.PSS(padding.MGF1(chosen), padding.PSS.DIGEST_LENGTH))
    return builder.sign(signer, chosen)


_Extensions = tuple[tuple[x509.ExtensionType, bool], ...]


def _constraint_extensions(
    *,
    ca: bool,
    path_length: int | None,
    usage: str | x509.KeyUsage | None,
    extended_key_usage: Sequence[x509.ObjectIdentifier] | None,
) -> _Extensions:
    found: list[tuple[x509.ExtensionType, bool]] = []
    if ca:
        found.append((x509.BasicConstraints(ca=True, path_length=path_length), True))
    if usage is not None:
        found.append((key_usage(*_USAGES[usage]) if isinstance(usage, str) else usage, True))
    if extended_key_usage is not None:
        found.append((x509.ExtendedKeyUsage(extended_key_usage), False))
    return tuple(found)


def _name_extensions(addresses: Sequence[str], names: Sequence[x509.GeneralName]) -> _Extensions:
    general_names = [*(x509.RFC822Name(address) for address in addresses), *names]
    return ((x509.SubjectAlternativeName(general_names), False),) if general_names else ()


def _identifier_extensions(issuer: Authority | None, key: Any) -> _Extensions:
    own = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
    if issuer is None:
        return ((own, False),)
    return ((own, False), (_authority_key_identifier(issuer.certificate), False))


def _authority_key_identifier(issuer: x509.Certificate) -> x509.AuthorityKeyIdentifier:
    try:
        known = issuer.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    except x509.ExtensionNotFound:
        key: Any = issuer.public_key()
        return x509.AuthorityKeyIdentifier.from_issuer_public_key(key)
    return x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(known)


def _pointer_extensions(issuer: Authority | None) -> _Extensions:
    if issuer is None:
        return ()
    found: list[tuple[x509.ExtensionType, bool]] = []
    if issuer.crl_urls:
        points = [_distribution_point(url) for url in issuer.crl_urls]
        found.append((x509.CRLDistributionPoints(points), False))
    methods = {
        AuthorityInformationAccessOID.OCSP: issuer.ocsp_urls,
        AuthorityInformationAccessOID.CA_ISSUERS: issuer.issuer_urls,
    }
    access = [
        x509.AccessDescription(method, x509.UniformResourceIdentifier(url))
        for method, urls in methods.items()
        for url in urls
    ]
    if access:
        found.append((x509.AuthorityInformationAccess(access), False))
    return tuple(found)


def _distribution_point(url: str) -> x509.DistributionPoint:
    location = [x509.UniformResourceIdentifier(url)]
    return x509.DistributionPoint(full_name=location, relative_name=None, reasons=None, crl_issuer=None)


def _digest_for(key: Any) -> Any:
    """The digest that goes with a signing key: SHA-256, or None where the algorithm brings its own."""
    edwards = (ed25519.Ed25519PrivateKey, ed448.Ed448PrivateKey)
    lattice = (mldsa.MLDSA44PrivateKey, mldsa.MLDSA65PrivateKey, mldsa.MLDSA87PrivateKey)
    return None if isinstance(key, (*edwards, *lattice)) else hashes.SHA256()


def _encryption(password: bytes | None, *, old: bool = False) -> serialization.KeySerializationEncryption:
    if password is None:
        return serialization.NoEncryption()
    if not old:
        return serialization.BestAvailableEncryption(password)
    builder = serialization.PrivateFormat.PKCS12.encryption_builder()
    return (
        builder.key_cert_algorithm(pkcs12.PBES.PBESv1SHA1And3KeyTripleDESCBC).hmac_hash(hashes.SHA1()).build(password)
    )
