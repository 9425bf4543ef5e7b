"""Recipients as a sender names them, and the RecipientInfo that hands each of them a content key.

    recipient_for(certificate)                                   # whatever suits the certificate's key
    KeyTransportRecipient(certificate=c, scheme=oaep("sha256"))  # or exactly so

`prepare` does once what is the same for every message, and returns a function from content key to RecipientInfo. Does
not: judge certificates, choose algorithms by capabilities (`policy.capabilities`), or encrypt contents (`sealing.py`).

Standards: RFC 5652 section 6.2, RFC 5753 section 3.1 (key agreement; the originator's parameters are absent, as OpenSSL
writes them and all known readers take them), RFC 8418, RFC 9629 section 3, RFC 9936, RFC 3211.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from secrets import token_bytes

from smime_engine.asn1 import ber, oids
from smime_engine.certificate import Certificate
from smime_engine.cms.opening import KeyEncryptionKey
from smime_engine.crypto.digests import DIGESTS
from smime_engine.crypto.encryption_algorithms import (
    CONTENT_CIPHERS,
    KEY_WRAPS,
    ContentCipher,
    KeyWrap,
    content_encryption,
)
from smime_engine.crypto.key_management import (
    agree,
    agreement_key,
    encapsulate,
    kem_key,
    password_key,
    password_wrap,
    rsa_encryptor,
    wrap_key,
)
from smime_engine.crypto.key_management_algorithms import (
    HKDF_DERIVATIONS,
    KEMS,
    KEY_AGREEMENTS,
    PKCS1_V1_5,
    Pbkdf2,
    RsaScheme,
)
from smime_engine.crypto.public_keys import KeyKind, PublicKey, load_public_key
from smime_engine.errors import UnsupportedAlgorithm

__all__ = [
    "KekRecipient",
    "KemRecipient",
    "KeyAgreementRecipient",
    "KeyTransportRecipient",
    "PasswordRecipient",
    "Recipient",
    "prepare",
    "recipient_for",
]

_INTEGER, _OCTET_STRING, _SEQUENCE = 0x02, 0x04, 0x30


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyTransportRecipient:
    """The holder of an RSA certificate."""

    certificate: Certificate
    scheme: RsaScheme = PKCS1_V1_5
    by_key_identifier: bool = False
    """Name the recipient by subject key identifier instead of issuer and serial number, if the certificate has one."""

    @property
    def names_key(self) -> bool:
        """Whether the recipient is named by key identifier."""
        return self.by_key_identifier and self.certificate.subject_key_identifier is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyAgreementRecipient:
    """The holder of an elliptic-curve certificate: NIST, Brainpool, X25519, X448."""

    certificate: Certificate
    scheme: str = ""
    """Name in `KEY_AGREEMENTS`; empty for what suits the curve."""

    wrap: str = ""
    """Name in `KEY_WRAPS`; empty for AES with keys as long as the content's."""

    ukm: bytes = b""
    by_key_identifier: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class KemRecipient:
    """The holder of an ML-KEM certificate."""

    certificate: Certificate
    digest: str = "sha256"
    """Of HKDF: a name in `HKDF_DERIVATIONS`."""

    wrap: str = "aes256-wrap"
    ukm: bytes | None = None
    by_key_identifier: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class KekRecipient:
    """Somebody with whom a symmetric key is shared."""

    key_encryption_key: KeyEncryptionKey
    wrap: str = ""
    """Name in `KEY_WRAPS`; empty for the AES key wrap that the key's size fits."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PasswordRecipient:
    """Somebody who knows a password."""

    password: bytes = field(repr=False)
    """Octets as PBKDF2 takes them; UTF-8 for text."""

    iterations: int = 600_000
    """OWASP's advice for HMAC-SHA-256; about 0.2 s."""

    digest: str = "sha256"
    cipher: str = "aes256-cbc"
    """Of the password key wrap (RFC 3211): a CBC cipher of `CONTENT_CIPHERS`."""


Recipient = KeyTransportRecipient | KeyAgreementRecipient | KemRecipient | KekRecipient | PasswordRecipient


def recipient_for(certificate: Certificate, *, rsa_scheme: RsaScheme = PKCS1_V1_5, wrap: str = "") -> Recipient:
    """The recipient that suits the certificate's key. Raises UnsupportedAlgorithm for keys that only sign."""
    kind = load_public_key(certificate.public_key_info).kind
    if kind is KeyKind.RSA:
        return KeyTransportRecipient(certificate=certificate, scheme=rsa_scheme)
    if kind in {KeyKind.EC, KeyKind.X25519, KeyKind.X448}:
        return KeyAgreementRecipient(certificate=certificate, wrap=wrap)
    if kind.value in KEMS:
        return KemRecipient(certificate=certificate)
    raise UnsupportedAlgorithm(kind.value, purpose="encryption key")


def prepare(recipient: Recipient, cipher: ContentCipher) -> Callable[[bytes], bytes]:
    """Prepare a recipient -> a function from content key (of this cipher) to DER RecipientInfo.

    Raises UnsupportedAlgorithm where key, scheme, wrap and cipher do not go together.
    """
    if isinstance(recipient, KeyTransportRecipient):
        return _key_transport(recipient)
    if isinstance(recipient, KeyAgreementRecipient):
        return _key_agreement(recipient, cipher)
    if isinstance(recipient, KemRecipient):
        return _kem(recipient, cipher)
    if isinstance(recipient, KekRecipient):
        return _kek(recipient, cipher)
    return _password(recipient)


def _key_transport(recipient: KeyTransportRecipient) -> Callable[[bytes], bytes]:
    public_key = load_public_key(recipient.certificate.public_key_info)
    encrypted = rsa_encryptor(public_key, recipient.scheme)
    identifier = _identifier(recipient.certificate, 0x80, by_key_identifier=recipient.by_key_identifier)
    version = b"\x02\x01\x02" if identifier[0] == 0x80 else b"\x02\x01\x00"
    # The ciphertext is as long as the modulus, so that everything before it is constant.
    size = (public_key.bits + 7) // 8
    end = bytes((_OCTET_STRING,)) + ber.encode_length(size)
    start = version + identifier + recipient.scheme.identifier + end
    prefix = bytes((_SEQUENCE,)) + ber.encode_length(len(start) + size) + start
    return lambda secret: prefix + encrypted(secret)


def _key_agreement(recipient: KeyAgreementRecipient, cipher: ContentCipher) -> Callable[[bytes], bytes]:
    public_key = load_public_key(recipient.certificate.public_key_info)
    scheme = KEY_AGREEMENTS[recipient.scheme or _usual_scheme(public_key)]
    wrap = _usable_wrap(recipient.wrap or f"aes{8 * max(cipher.key_size, 16)}-wrap", cipher)
    originator_algorithm = ber.encode(_SEQUENCE, _KEY_OIDS[public_key.kind].tlv)
    identifier = _identifier(recipient.certificate, 0xA0, by_key_identifier=recipient.by_key_identifier)
    ukm = ber.encode(0xA1, ber.encode(_OCTET_STRING, recipient.ukm)) if recipient.ukm else b""
    middle = ukm + ber.encode(_SEQUENCE, scheme.oid.tlv, wrap.identifier)

    def recipient_info(secret: bytes) -> bytes:
        point, shared = agree(public_key)
        key = agreement_key(scheme, shared, wrap, wrap.identifier, recipient.ukm)
        encrypted = ber.encode(_SEQUENCE, identifier, ber.encode(_OCTET_STRING, wrap_key(wrap, key, secret)))
        originator = ber.encode(0xA0, ber.encode(0xA1, originator_algorithm, ber.encode(0x03, b"\0", point)))
        return ber.encode(0xA1, b"\x02\x01\x03", originator, middle, ber.encode(_SEQUENCE, encrypted))

    return recipient_info


def _kem(recipient: KemRecipient, cipher: ContentCipher) -> Callable[[bytes], bytes]:
    public_key = load_public_key(recipient.certificate.public_key_info)
    if public_key.kind.value not in KEMS:
        raise UnsupportedAlgorithm(public_key.kind.value, purpose="KEM")
    digest = DIGESTS[recipient.digest]
    wrap = _usable_wrap(recipient.wrap, cipher)
    identifier = _identifier(recipient.certificate, 0x80, by_key_identifier=recipient.by_key_identifier)
    kem = ber.encode(_SEQUENCE, KEMS[public_key.kind.value].oid.tlv)
    derivation = ber.encode(_SEQUENCE, HKDF_DERIVATIONS[digest.name].tlv)
    key_size = bytes((_INTEGER, 1, wrap.key_size))
    ukm = b"" if recipient.ukm is None else ber.encode(0xA0, ber.encode(_OCTET_STRING, recipient.ukm))
    start = b"\x02\x01\x00" + identifier + kem
    middle = derivation + key_size + ukm + wrap.identifier

    def recipient_info(secret: bytes) -> bytes:
        ciphertext, shared = encapsulate(public_key)
        key = kem_key(digest, shared, wrap.identifier, wrap.key_size, recipient.ukm)
        encrypted = ber.encode(_OCTET_STRING, wrap_key(wrap, key, secret))
        info = ber.encode(_SEQUENCE, start, ber.encode(_OCTET_STRING, ciphertext), middle, encrypted)
        return ber.encode(0xA4, oids.ID_ORI_KEM.tlv, info)

    return recipient_info


def _kek(recipient: KekRecipient, cipher: ContentCipher) -> Callable[[bytes], bytes]:
    entry = recipient.key_encryption_key
    wrap = _usable_wrap(recipient.wrap or f"aes{8 * len(entry.key)}-wrap", cipher)
    if len(entry.key) != wrap.key_size:
        raise UnsupportedAlgorithm(f"{wrap.name} with a key of {len(entry.key)} octets", purpose="key-wrap")
    start = b"\x02\x01\x04" + ber.encode(_SEQUENCE, ber.encode(_OCTET_STRING, entry.identifier)) + wrap.identifier
    return lambda secret: ber.encode(0xA2, start, ber.encode(_OCTET_STRING, wrap_key(wrap, entry.key, secret)))


def _password(recipient: PasswordRecipient) -> Callable[[bytes], bytes]:
    """The key is derived once for all messages of one encryptor: it is slow on purpose, and the salt is random."""
    cipher = CONTENT_CIPHERS[recipient.cipher]
    if cipher.authenticates or cipher.family == "camellia":
        raise UnsupportedAlgorithm(cipher.name, purpose="password key-wrap")
    derivation = Pbkdf2(
        digest=DIGESTS[recipient.digest],
        salt=token_bytes(16),
        iterations=recipient.iterations,
        key_size=cipher.key_size,
    )
    key = password_key(derivation, recipient.password, cipher.key_size)
    derivation_identifier = derivation.identifier
    start = b"\x02\x01\x00" + b"\xa0" + derivation_identifier[1:]  # [0] IMPLICIT

    def recipient_info(secret: bytes) -> bytes:
        wrap = content_encryption(cipher)
        algorithm = ber.encode(_SEQUENCE, oids.ID_ALG_PWRI_KEK.tlv, wrap.identifier)
        return ber.encode(0xA3, start, algorithm, ber.encode(_OCTET_STRING, password_wrap(wrap, key, secret)))

    return recipient_info


_KEY_OIDS = {KeyKind.EC: oids.ID_EC_PUBLIC_KEY, KeyKind.X25519: oids.ID_X25519, KeyKind.X448: oids.ID_X448}


def _usual_scheme(public_key: PublicKey) -> str:
    """RFC 8551 section 2.3 and RFC 8418 section 2: a derivation as strong as the curve."""
    if public_key.kind is KeyKind.X25519:
        return "ecdh-hkdf-sha256"
    if public_key.kind is KeyKind.X448:
        return "ecdh-hkdf-sha512"
    if public_key.kind is not KeyKind.EC:
        raise UnsupportedAlgorithm(public_key.kind.value, purpose="key-agreement")
    digest = "sha256" if public_key.bits <= 256 else "sha384" if public_key.bits <= 384 else "sha512"
    return f"ecdh-{digest}kdf"


def _usable_wrap(name: str, cipher: ContentCipher) -> KeyWrap:
    wrap = KEY_WRAPS.get(name)
    if wrap is None:
        raise UnsupportedAlgorithm(name, purpose="key-wrap")
    wrap_key(wrap, bytes(wrap.key_size), bytes(cipher.key_size))  # does it take keys of this size?
    return wrap


def _identifier(certificate: Certificate, tag: int, *, by_key_identifier: bool) -> bytes:
    """RecipientIdentifier, DER: `tag` is the context tag of a subjectKeyIdentifier, or of an rKeyId around it."""
    key_identifier = certificate.subject_key_identifier
    if not by_key_identifier or key_identifier is None:
        return certificate.issuer_and_serial
    return ber.encode(tag, key_identifier if tag == 0x80 else ber.encode(_OCTET_STRING, key_identifier))
