"""From recipients and keys to content keys: which keys fit which recipient, and what each of them yields.

Every recipient that one of the keys fits becomes a `Candidate`, whatever its place in the message; the caller tries
them one after the other. Algorithms are looked up before any private key is used, so an unsupported one is told by
name without telling anything about keys.

No oracle. A candidate always yields a content key of the right size. Where recovery failed, that is a substitute
(RFC 3218): with PKCS #1 v1.5 padding the caller goes on with it as if nothing had happened, elsewhere (`usable` is
False) it goes on too, and drops the result, so that all failures take the same way and the same time.

Limits: as many candidates as `limits.unwrap_attempts`, as many PBKDF2 rounds in all as `limits.pbkdf2_iterations`.

Standards: RFC 5652 sections 6.2 and 6.3, RFC 3218, RFC 5753 section 3.1, RFC 8418, RFC 9629, RFC 3211.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import NamedTuple

from smime_engine.asn1 import ber, oids
from smime_engine.certificate import Certificate
from smime_engine.cms.recipients import (
    KekRecipientInfo,
    KemRecipientInfo,
    KeyAgreementRecipientInfo,
    KeyTransportRecipientInfo,
    OriginatorKey,
    OtherRecipientInfo,
    PasswordRecipientInfo,
    RecipientDescription,
    RecipientEncryptedKey,
    RecipientIdentifier,
    RecipientInfo,
    descriptions,
)
from smime_engine.crypto.digests import split_identifier
from smime_engine.crypto.encryption_algorithms import (
    ContentEncryption,
    Mode,
    content_encryption_from_identifier,
    key_wrap_from_identifier,
)
from smime_engine.crypto.key_management import (
    AgreementPublicKey,
    KemCiphertext,
    RsaCiphertext,
    agreement_key,
    kem_key,
    password_key,
    password_unwrap,
    substitute_key,
    unwrap_key,
)
from smime_engine.crypto.key_management_algorithms import (
    hkdf_from_identifier,
    kem_from_identifier,
    key_agreement_from_identifier,
    pbkdf2_from_identifier,
    rsa_scheme_from_identifier,
)
from smime_engine.errors import DecryptionFailed, LimitExceeded, MalformedMessage, NoMatchingKey, UnsupportedAlgorithm
from smime_engine.keys import Identity, KeyRing
from smime_engine.limits import Limits

__all__ = ["Candidate", "ContentKey", "DecryptionKeys", "KeyEncryptionKey", "candidates"]


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyEncryptionKey:
    """A symmetric key that sender and recipient share."""

    identifier: bytes
    """What messages name it by."""

    key: bytes = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class DecryptionKeys:
    """Everything that may open a message."""

    ring: KeyRing = field(default_factory=KeyRing)
    passwords: tuple[bytes, ...] = field(default=(), repr=False)
    """Octets as PBKDF2 takes them; UTF-8 for text."""

    key_encryption_keys: tuple[KeyEncryptionKey, ...] = ()
    content_keys: tuple[bytes, ...] = field(default=(), repr=False)
    """Keys of EncryptedData, which has no recipients."""

    certificates: tuple[Certificate, ...] = ()
    """Of senders with static key-agreement keys."""


class ContentKey(NamedTuple):
    """What a candidate yields."""

    key: bytes
    usable: bool
    """False: the key is a substitute for sure, and what it decrypts must be dropped."""


class Candidate(NamedTuple):
    """A recipient with a key that fits it."""

    info: RecipientInfo
    place: int
    """Which of the info's recipients (a key agreement has several)."""

    recover: Callable[[], ContentKey]
    """Uses the private key. Does not raise."""

    @property
    def description(self) -> RecipientDescription:
        """The recipient, for reports."""
        return descriptions(self.info)[self.place]


def candidates(
    infos: Iterable[RecipientInfo], keys: DecryptionKeys, encryption: ContentEncryption, limits: Limits
) -> list[Candidate]:
    """Find all recipients that `keys` fit; those whose failure is certain to show come first.

    Raises NoMatchingKey; UnsupportedAlgorithm where only algorithms stand in the way; LimitExceeded.
    """
    certain: list[Candidate] = []
    uncertain: list[Candidate] = []
    unsupported: UnsupportedAlgorithm | MalformedMessage | None = None
    finder = _Finder(keys, encryption, limits)
    for info in infos:
        try:
            (uncertain if _is_pkcs1_v1_5(info) else certain).extend(finder.find(info))
        except LimitExceeded:
            raise
        except (UnsupportedAlgorithm, MalformedMessage) as error:
            unsupported = unsupported or error
        if len(certain) + len(uncertain) > limits.unwrap_attempts:
            raise LimitExceeded("unwrap_attempts", limits.unwrap_attempts)
    found = certain + uncertain
    if found:
        return found
    raise unsupported or _why_none(infos)


def _is_pkcs1_v1_5(info: RecipientInfo) -> bool:
    return isinstance(info, KeyTransportRecipientInfo) and info.algorithm[2:13] == oids.RSA_ENCRYPTION.tlv


class _Finder:
    """Finds the candidates of one info after the other, and keeps account of what they may cost."""

    def __init__(self, keys: DecryptionKeys, encryption: ContentEncryption, limits: Limits) -> None:
        self.keys = keys
        self.encryption = encryption
        self.limits = limits
        self.iterations = 0

    def find(self, info: RecipientInfo) -> Iterator[Candidate]:
        if isinstance(info, KeyTransportRecipientInfo):
            return self._key_transport(info)
        if isinstance(info, KeyAgreementRecipientInfo):
            return self._key_agreement(info)
        if isinstance(info, KemRecipientInfo):
            return self._kem(info)
        if isinstance(info, KekRecipientInfo):
            return self._kek(info)
        if isinstance(info, PasswordRecipientInfo):
            return self._password(info)
        return iter(())

    def _identities(self, identifier: RecipientIdentifier) -> tuple[Identity, ...]:
        """Identities that the identifier names, one for each key: renewed certificates often share one."""
        if identifier.issuer_and_serial is not None:
            found = self.keys.ring.by_issuer_and_serial(identifier.issuer_and_serial)
        else:
            found = self.keys.ring.by_key_identifier(identifier.key_identifier or b"")
        if len(found) < 2:
            return found
        return tuple({identity.key.public_key_info: identity for identity in reversed(found)}.values())

    def _candidate(
        self, info: RecipientInfo, secret: Callable[[], bytes], salt: bytes, *, place: int = 0, hides: bool = False
    ) -> Candidate:
        """`secret` yields a content key or DecryptionFailed; `hides`: nobody may learn which (PKCS #1 v1.5)."""
        cipher = self.encryption.cipher

        def recover() -> ContentKey:
            substitute = substitute_key(cipher.key_size, salt)
            try:
                key = secret()
            except DecryptionFailed:
                return ContentKey(substitute, hides)
            if len(key) not in cipher.key_sizes:
                return ContentKey(substitute, hides)
            return ContentKey(key, True)

        return Candidate(info, place, recover)

    def _key_transport(self, info: KeyTransportRecipientInfo) -> Iterator[Candidate]:
        identities = self._identities(info.identifier)
        if not identities:
            return
        scheme = rsa_scheme_from_identifier(info.algorithm)
        wrapped = RsaCiphertext(scheme=scheme, ciphertext=info.encrypted_key)
        for identity in identities:
            key = identity.key
            salt = key.public_key_info + info.encrypted_key
            yield self._candidate(info, partial(key.unwrap, wrapped), salt, hides=scheme.digest is None)

    def _key_agreement(self, info: KeyAgreementRecipientInfo) -> Iterator[Candidate]:
        for place, entry in enumerate(info.keys):
            for identity in self._identities(entry.identifier):
                secret = self._agreed(info, entry, identity)
                if secret is not None:
                    yield self._candidate(info, secret, entry.encrypted_key, place=place)

    def _agreed(
        self, info: KeyAgreementRecipientInfo, entry: RecipientEncryptedKey, identity: Identity
    ) -> Callable[[], bytes] | None:
        scheme, wrap_identifier = key_agreement_from_identifier(info.algorithm)
        wrap = key_wrap_from_identifier(wrap_identifier)
        public_key_info = self._originator(info.originator, identity)
        if public_key_info is None:
            return None

        def secret() -> bytes:
            shared = identity.key.unwrap(AgreementPublicKey(public_key_info=public_key_info))
            return unwrap_key(wrap, agreement_key(scheme, shared, wrap, wrap_identifier, info.ukm), entry.encrypted_key)

        return secret

    def _originator(self, originator: OriginatorKey, identity: Identity) -> bytes | None:
        """SubjectPublicKeyInfo of the other side; None where its certificate is not known."""
        if originator.public_key is not None:
            info = identity.key.public_key_info
            start, end = ber.content(info, 0, len(info), 0x30, expected="a SubjectPublicKeyInfo")
            _, first, _, last = ber.children(info, start, end)[0]
            return ber.encode(0x30, info[first:last], ber.encode(0x03, b"\0", originator.public_key))
        for certificate in self.keys.certificates:
            if originator.identifier in {
                RecipientIdentifier(certificate.issuer_and_serial, None),
                RecipientIdentifier(None, certificate.subject_key_identifier),
            }:
                return certificate.public_key_info
        return None

    def _kem(self, info: KemRecipientInfo) -> Iterator[Candidate]:
        identities = self._identities(info.identifier)
        if not identities:
            return
        kem_from_identifier(info.kem)
        digest = hkdf_from_identifier(info.derivation)
        wrap = key_wrap_from_identifier(info.wrap)
        if info.key_size != wrap.key_size:
            raise MalformedMessage(f"a kekLength of {wrap.key_size} for {wrap.name}")
        wrapped = KemCiphertext(ciphertext=info.ciphertext)
        for identity in identities:
            key = identity.key

            def secret(unwrap: Callable[[KemCiphertext], bytes] = key.unwrap) -> bytes:
                key_encryption_key = kem_key(digest, unwrap(wrapped), info.wrap, info.key_size, info.ukm)
                return unwrap_key(wrap, key_encryption_key, info.encrypted_key)

            yield self._candidate(info, secret, info.encrypted_key)

    def _kek(self, info: KekRecipientInfo) -> Iterator[Candidate]:
        for entry in self.keys.key_encryption_keys:
            if entry.identifier == info.key_identifier:
                wrap = key_wrap_from_identifier(info.algorithm)
                yield self._candidate(
                    info, partial(unwrap_key, wrap, entry.key, info.encrypted_key), info.encrypted_key
                )

    def _password(self, info: PasswordRecipientInfo) -> Iterator[Candidate]:
        if not self.keys.passwords and not self.keys.key_encryption_keys:
            return
        oid, parameters = split_identifier(info.algorithm)
        if oid != oids.ID_ALG_PWRI_KEK:
            raise UnsupportedAlgorithm(oids.name_of(oid), purpose="password key-wrap")
        wrap = content_encryption_from_identifier(parameters)
        if wrap.cipher.mode is not Mode.CBC:
            raise UnsupportedAlgorithm(wrap.name, purpose="password key-wrap")
        for derive in self._password_keys(info, wrap):
            secret = partial(_unwrapped, wrap, derive, info.encrypted_key)
            yield self._candidate(info, secret, info.encrypted_key)

    def _password_keys(self, info: PasswordRecipientInfo, wrap: ContentEncryption) -> Iterator[Callable[[], bytes]]:
        """The key-encryption keys to try: derived from passwords, or as they are where the message derives none."""
        size = wrap.cipher.key_size
        if info.derivation is None:
            for entry in self.keys.key_encryption_keys:
                if len(entry.key) == size:
                    yield partial(bytes, entry.key)
            return
        derivation = pbkdf2_from_identifier(info.derivation)
        if derivation.key_size not in {None, size}:
            raise MalformedMessage(f"a derived key of {size} octets for {wrap.name}")
        for password in self.keys.passwords:
            self.iterations += derivation.iterations
            if self.iterations > self.limits.pbkdf2_iterations:
                raise LimitExceeded("pbkdf2_iterations", self.limits.pbkdf2_iterations)
            yield partial(password_key, derivation, password, size)


def _unwrapped(wrap: ContentEncryption, derive: Callable[[], bytes], encrypted_key: bytes) -> bytes:
    return password_unwrap(wrap, derive(), encrypted_key)


def _why_none(infos: Iterable[RecipientInfo]) -> NoMatchingKey | UnsupportedAlgorithm | MalformedMessage:
    """Nothing fits: because no recipient can be read, or none has a supported algorithm, or simply so."""
    reasons = [_why_unusable(info) for info in infos]
    first = reasons[0] if reasons else None
    return NoMatchingKey() if first is None or None in reasons else first


def _why_unusable(info: RecipientInfo) -> UnsupportedAlgorithm | MalformedMessage | None:
    try:
        if isinstance(info, OtherRecipientInfo):
            return info.error or UnsupportedAlgorithm(oids.name_of(info.type), purpose="recipient")
        if isinstance(info, KeyTransportRecipientInfo):
            rsa_scheme_from_identifier(info.algorithm)
        elif isinstance(info, KeyAgreementRecipientInfo):
            key_agreement_from_identifier(info.algorithm)
        elif isinstance(info, KemRecipientInfo):
            kem_from_identifier(info.kem)
    except (UnsupportedAlgorithm, MalformedMessage) as error:
        return error
    return None
