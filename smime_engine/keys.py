"""Private keys as the engine sees them: the `PrivateKey` joint, the in-memory key, identities and key rings.

`PrivateKey` is the one joint to everything that holds keys: memory, PKCS #11 tokens, remote signers. An `Identity` is a
key with its certificate and the certificates above; `load_identities` reads them from PKCS #12 and PEM. A `KeyRing`
finds the identity that a recipient identifier names, old ones too: mail stays readable when a certificate is renewed.

Does not: judge certificates, choose a key for a message (the policies do), keep passwords, or wipe memory (Python
cannot promise that).

Standards: RFC 5652 section 10.2.4 (issuerAndSerialNumber), RFC 5280 section 4.2.1.2 (key identifiers), RFC 9216
(identities with separate keys for signing and encryption).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol

from smime_engine.asn1 import ber
from smime_engine.certificate import Certificate
from smime_engine.crypto.key_management import WrappedSecret, unwrap
from smime_engine.crypto.pkcs12 import load_pkcs12
from smime_engine.crypto.private_keys import load_private_key, pem_blocks, private_key_from_pem, private_key_info
from smime_engine.crypto.public_keys import public_key_of, same_public_key
from smime_engine.crypto.signature_algorithms import SignatureScheme
from smime_engine.crypto.signing import sign, signing_function
from smime_engine.errors import InvalidKey, MalformedMessage
from smime_engine.limits import DEFAULT_LIMITS, Limits
from smime_engine.names import comparable_name

__all__ = ["Identity", "InMemoryKey", "KeyRing", "PrivateKey", "load_identities", "load_identity"]


class PrivateKey(Protocol):
    """A private key, wherever it lives. Implementations may block; they must be usable from several threads."""

    @property
    def public_key_info(self) -> bytes:
        """DER SubjectPublicKeyInfo."""

    def sign(self, data: bytes | memoryview, scheme: SignatureScheme) -> bytes:
        """Sign `data`, or the digest that it is when `scheme.prehashed`. Raises UnsupportedAlgorithm."""

    def unwrap(self, wrapped: WrappedSecret) -> bytes:
        """Recover the secret of a recipient info. Raises DecryptionFailed, whatever the reason."""


class InMemoryKey:
    """A private key of `cryptography` in this process. Immutable; `load` makes one from a file's bytes."""

    __slots__ = ("_native", "_public_key_info")

    def __init__(self, native: Any) -> None:
        self._native = native
        self._public_key_info = public_key_of(native)

    @classmethod
    def load(cls, data: bytes, password: bytes | None = None, *, limits: Limits = DEFAULT_LIMITS) -> InMemoryKey:
        """Load PEM or DER, PKCS #8 (encrypted too) or traditional. Raises InvalidKey."""
        return cls(load_private_key(data, password, limits=limits))

    @property
    def public_key_info(self) -> bytes:
        """DER SubjectPublicKeyInfo."""
        return self._public_key_info

    def sign(self, data: bytes | memoryview, scheme: SignatureScheme) -> bytes:
        """Sign `data`, or the digest that it is when `scheme.prehashed`. Raises UnsupportedAlgorithm."""
        return sign(self._native, data, scheme)

    def signing_function(self, scheme: SignatureScheme) -> Callable[[bytes | memoryview], bytes]:
        """`sign` for one scheme, with everything looked up once. Raises UnsupportedAlgorithm, now or when called."""
        return signing_function(self._native, scheme)

    def unwrap(self, wrapped: WrappedSecret) -> bytes:
        """Recover the secret of a recipient info. Raises DecryptionFailed, whatever the reason."""
        return unwrap(self._native, wrapped)

    def private_key_info(self) -> bytes:
        """PKCS #8 DER in clear, for whoever seals it at once."""
        return private_key_info(self._native)

    def __repr__(self) -> str:
        return f"<InMemoryKey {hashlib.sha256(self._public_key_info).hexdigest()[:16]}>"


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """A private key, the certificate of its public key, and the CA certificates above it as far as they are known."""

    key: PrivateKey
    certificate: Certificate
    chain: tuple[Certificate, ...] = ()
    """The issuer first; self-issued roots are left out, as mail does not carry them."""

    def __post_init__(self) -> None:
        if not _belong_together(self.key, self.certificate):
            raise InvalidKey(f"the private key does not belong to the certificate of {self.certificate.subject!r}")

    @property
    def may_sign(self) -> bool:
        """Whether the key usage allows signing mail (RFC 8550 section 4.4.2); yes without the extension."""
        usage = self.certificate.key_usage
        return usage is None or not usage.isdisjoint({"digitalSignature", "nonRepudiation", "contentCommitment"})

    @property
    def may_decrypt(self) -> bool:
        """Whether the key usage allows encrypting to this certificate; yes without the extension."""
        usage = self.certificate.key_usage
        return usage is None or not usage.isdisjoint({"keyEncipherment", "keyAgreement"})


def load_identities(
    data: bytes, password: bytes | None = None, *, limits: Limits = DEFAULT_LIMITS
) -> tuple[Identity, ...]:
    """Read all identities of a PKCS #12 file or of a PEM text with keys and certificates, in the order of the keys.

    Each key is paired with the certificate that has its public key; of several, PKCS #12's localKeyId decides, then the
    latest start of validity. Raises InvalidKey when there is no key, or a key has no certificate.
    """
    if b"-----BEGIN" in data:
        keys, certificates = _from_pem(data, password, limits)
    else:
        keys, certificates = _from_pkcs12(data, password, limits)
    if not keys:
        raise InvalidKey("there is no private key in this file")
    return tuple(_identity(key, key_id, certificates) for key, key_id in keys)


def load_identity(data: bytes, password: bytes | None = None, *, limits: Limits = DEFAULT_LIMITS) -> Identity:
    """Read the identity to sign with: the first one whose key usage allows signing, else the first. See above."""
    identities = load_identities(data, password, limits=limits)
    return next((identity for identity in identities if identity.may_sign), identities[0])


class KeyRing:
    """Identities, current and former, found by what a recipient info says. Immutable; look-ups take constant time."""

    __slots__ = ("_by_key_identifier", "_by_serial", "identities")

    def __init__(self, identities: Iterable[Identity] = ()) -> None:
        self.identities = tuple(identities)
        """All of them, in the order given: put current ones first."""
        by_serial: dict[int, tuple[Identity, ...]] = {}
        by_key_identifier: dict[bytes, tuple[Identity, ...]] = {}
        for identity in self.identities:
            serial = identity.certificate.serial_number
            by_serial[serial] = (*by_serial.get(serial, ()), identity)
            for identifier in _key_identifiers(identity.certificate):
                by_key_identifier[identifier] = (*by_key_identifier.get(identifier, ()), identity)
        self._by_serial = by_serial
        self._by_key_identifier = by_key_identifier

    def __iter__(self) -> Iterator[Identity]:
        return iter(self.identities)

    def __len__(self) -> int:
        return len(self.identities)

    def by_issuer_and_serial(self, issuer_and_serial: bytes) -> tuple[Identity, ...]:
        """Identities of a DER IssuerAndSerialNumber. Names compare as RFC 5280 section 7.1 says when bytes differ."""
        try:
            start, end = ber.content(issuer_and_serial, 0, len(issuer_and_serial), 0x30, expected="a recipient")
            (_, first, _, last), (_, _, serial_start, serial_end) = ber.children(issuer_and_serial, start, end)
            serial = int.from_bytes(issuer_and_serial[serial_start:serial_end], "big", signed=True)
            found = self._by_serial.get(serial, ())
            if all(identity.certificate.issuer_der == issuer_and_serial[first:last] for identity in found):
                return found  # no identity, mostly: among thousands of recipients, names are decoded for few
            issuer = comparable_name(issuer_and_serial[first:last])
        except (MalformedMessage, ValueError):
            return ()
        return tuple(identity for identity in found if identity.certificate.comparable_issuer == issuer)

    def by_key_identifier(self, identifier: bytes) -> tuple[Identity, ...]:
        """Identities of a subject key identifier: the extension's, or the usual ones computed from the public key."""
        return self._by_key_identifier.get(bytes(identifier), ())

    def by_address(self, address: str) -> tuple[Identity, ...]:
        """Identities whose certificate names an e-mail address."""
        return tuple(identity for identity in self.identities if identity.certificate.names_address(address))


def _key_identifiers(certificate: Certificate) -> frozenset[bytes]:
    """The extension's value, and the two of RFC 5280 section 4.2.1.2, which senders compute where there is none."""
    info = certificate.public_key_info
    start, end = ber.content(info, 0, len(info), 0x30, expected="a SubjectPublicKeyInfo")
    _, _, bits_start, bits_end = ber.children(info, start, end)[1]
    digest = hashlib.sha1(info[bits_start + 1 : bits_end], usedforsecurity=False).digest()
    short = bytes((0x40 | digest[-8] & 0x0F,)) + digest[-7:]
    return frozenset({digest, short, certificate.subject_key_identifier or digest})


def _belong_together(key: PrivateKey, certificate: Certificate) -> bool:
    return same_public_key(key.public_key_info, certificate.public_key_info)


def _identity(key: InMemoryKey, key_id: bytes, certificates: list[tuple[Certificate, bytes]]) -> Identity:
    own = [entry for entry in certificates if _belong_together(key, entry[0])]
    if not own:
        raise InvalidKey("a private key in this file has no certificate there")
    certificate, _ = max(own, key=lambda entry: (bool(key_id) and entry[1] == key_id, entry[0].not_before))
    return Identity(key=key, certificate=certificate, chain=_chain(certificate, [entry[0] for entry in certificates]))


def _chain(certificate: Certificate, pool: list[Certificate]) -> tuple[Certificate, ...]:
    """The issuers of a certificate by name and key identifier, self-issued ones left out."""
    chain: list[Certificate] = []
    current = certificate
    while not current.is_self_issued:
        issuers = [other for other in pool if _may_be_issuer(other, current)]
        if not issuers or issuers[0] in chain:
            break
        current = issuers[0]
        if current.is_self_issued:
            break
        chain.append(current)
    return tuple(chain)


def _may_be_issuer(issuer: Certificate, certificate: Certificate) -> bool:
    if issuer.comparable_subject != certificate.comparable_issuer:
        return False
    wanted = certificate.authority_key_identifier
    known = issuer.subject_key_identifier
    return wanted is None or wanted.key_identifier is None or known is None or wanted.key_identifier == known


def _from_pkcs12(
    data: bytes, password: bytes | None, limits: Limits
) -> tuple[list[tuple[InMemoryKey, bytes]], list[tuple[Certificate, bytes]]]:
    contents = load_pkcs12(data, password, limits=limits)
    keys = [(InMemoryKey(entry.native), entry.local_key_id) for entry in contents.keys]
    return keys, [(_certificate(entry.der), entry.local_key_id) for entry in contents.certificates]


def _from_pem(
    data: bytes, password: bytes | None, limits: Limits
) -> tuple[list[tuple[InMemoryKey, bytes]], list[tuple[Certificate, bytes]]]:
    keys: list[tuple[InMemoryKey, bytes]] = []
    certificates: list[tuple[Certificate, bytes]] = []
    for label, block, der in pem_blocks(data):
        if label.endswith("PRIVATE KEY"):
            keys.append((InMemoryKey(private_key_from_pem(label, block, der, password, limits=limits)), b""))
        elif label in {"CERTIFICATE", "X509 CERTIFICATE"}:
            certificates.append((_certificate(der), b""))
    return keys, certificates


def _certificate(der: bytes) -> Certificate:
    try:
        return Certificate.parse(der)
    except MalformedMessage as error:
        raise InvalidKey(f"a certificate in this file is damaged: {error}") from error
