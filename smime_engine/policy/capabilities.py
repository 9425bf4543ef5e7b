"""Choose how to encrypt for a set of recipients, and say why: a pure function of what they announce.

    choice = choose_encryption([Addressee(certificate=alice, capabilities=known), Addressee(certificate=bob)])
    Encryptor(choice.recipients, cipher=choice.cipher, derives_key=choice.derives_key)

One content is encrypted once for all, so that the cipher must suit everybody: the first one in the order of preference
that all announce. Who announces nothing is taken to read AES in CBC mode, as everything since 2010 does. RSA scheme
and key wrap are each recipient's own. Nothing weak is ever chosen unless the caller's order of preference contains it
or the caller demands it.

Does not: look for capabilities in signatures, decide who gets the message, or refuse to send.

Standards: RFC 8551 sections 2.5.2, 2.7 and 2.7.1.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

from smime_engine.asn1 import oids
from smime_engine.certificate import Certificate
from smime_engine.cms.addressing import KeyAgreementRecipient, KeyTransportRecipient, Recipient, recipient_for
from smime_engine.cms.capabilities import Capability, announced_ciphers, certificate_capabilities
from smime_engine.crypto.digests import algorithm_identifier
from smime_engine.crypto.encryption_algorithms import CONTENT_CIPHERS, key_wrap_from_identifier
from smime_engine.crypto.key_management_algorithms import PKCS1_V1_5, RsaScheme, rsa_scheme_from_identifier
from smime_engine.errors import MalformedMessage, UnsupportedAlgorithm

__all__ = ["ASSUMED", "DEFAULT_PREFERENCE", "Addressee", "Choice", "Explanation", "Reason", "choose_encryption"]

DEFAULT_PREFERENCE = (
    "aes256-gcm",
    "chacha20-poly1305",
    "aes128-gcm",
    "aes256-cbc",
    "aes192-cbc",
    "aes128-cbc",
)
"""Content ciphers that are chosen by themselves, strongest first: those that authenticate before those that do not."""


ASSUMED = ("aes256-cbc", "aes192-cbc", "aes128-cbc")
"""What a client reads that announces nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Addressee:
    """A recipient, and what is known of the client."""

    certificate: Certificate
    capabilities: tuple[Capability, ...] | None = None
    """From a signed message or a directory; None where there is none: then the certificate's own count (RFC 4262)."""

    @property
    def known_capabilities(self) -> tuple[Capability, ...] | None:
        """What the choice rests on."""
        return certificate_capabilities(self.certificate) if self.capabilities is None else self.capabilities


class Reason(Enum):
    """Why something was chosen; the name is the stable identifier in reports."""

    DEMANDED = "the caller demands this cipher"
    STRONGEST_COMMON = "the first cipher in the order of preference that every recipient announces"
    NO_CAPABILITIES = "this recipient announces no ciphers and is taken to read what everybody reads"
    NO_COMMON_CIPHER = "no acceptable cipher is announced by all: the default is used"
    CIPHER_NOT_ANNOUNCED = "this recipient announces other ciphers alone and may not be able to read the message"
    DERIVED_KEY = "every recipient announces CEK-HKDF (RFC 9709)"
    OAEP_ANNOUNCED = "this recipient announces RSA-OAEP"
    WRAP_ANNOUNCED = "this recipient announces this key wrap"


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """One reason, for one recipient or for the message as a whole."""

    reason: Reason
    recipient: int | None = None
    """Place among the addressees; None for the message."""

    detail: str = ""
    """The algorithm that it is about."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """How to encrypt: arguments for `cms.sealing.Encryptor`."""

    cipher: str
    derives_key: bool
    recipients: tuple[Recipient, ...]
    """In the order of the addressees."""

    explanations: tuple[Explanation, ...]

    @property
    def may_be_unreadable(self) -> tuple[int, ...]:
        """Places of the addressees who announce ciphers, but not the one that was chosen."""
        return tuple(
            entry.recipient
            for entry in self.explanations
            if entry.reason is Reason.CIPHER_NOT_ANNOUNCED and entry.recipient is not None
        )


def choose_encryption(
    addressees: Sequence[Addressee],
    *,
    preference: Sequence[str] = DEFAULT_PREFERENCE,
    assumed: Sequence[str] = ASSUMED,
    demanded: str | None = None,
    rsa_scheme: RsaScheme = PKCS1_V1_5,
) -> Choice:
    """Choose cipher, RSA schemes and key wraps.

    `preference`: acceptable ciphers, best first; `assumed`: what those read of whom nothing is known, the first of them
    being the default where there is no common one; `demanded`: a policy's cipher, whatever is announced; `rsa_scheme`:
    for recipients who do not announce OAEP. Raises UnsupportedAlgorithm for unknown ciphers and for certificates whose
    keys only sign.
    """
    for name in (*preference, *assumed, demanded or assumed[0]):
        if name not in CONTENT_CIPHERS:
            raise UnsupportedAlgorithm(name, purpose="content-encryption")
    known = [addressee.known_capabilities for addressee in addressees]
    announced = [None if capabilities is None else announced_ciphers(capabilities) for capabilities in known]
    cipher, explanations = _cipher(announced, preference, assumed, demanded)
    derives_key = bool(known) and all(_announces(capabilities, oids.ID_ALG_CEK_HKDF_SHA256) for capabilities in known)
    if derives_key:
        explanations.append(Explanation(reason=Reason.DERIVED_KEY))
    recipients = []
    for place, (addressee, capabilities) in enumerate(zip(addressees, known, strict=True)):
        recipient, reason, detail = _recipient(addressee.certificate, capabilities or (), cipher, rsa_scheme)
        recipients.append(recipient)
        if reason is not None:
            explanations.append(Explanation(reason=reason, recipient=place, detail=detail))
    return Choice(
        cipher=cipher, derives_key=derives_key, recipients=tuple(recipients), explanations=tuple(explanations)
    )


def _cipher(
    announced: Sequence[tuple[str, ...] | None],
    preference: Sequence[str],
    assumed: Sequence[str],
    demanded: str | None,
) -> tuple[str, list[Explanation]]:
    explanations = [
        Explanation(reason=Reason.NO_CAPABILITIES, recipient=place)
        for place, ciphers in enumerate(announced)
        if not ciphers
    ]
    readable = [set(ciphers or assumed) for ciphers in announced]
    common = next((name for name in preference if readable and all(name in ciphers for ciphers in readable)), None)
    if demanded is not None:
        chosen, reason = demanded, Reason.DEMANDED
    elif common is not None:
        chosen, reason = common, Reason.STRONGEST_COMMON
    else:
        chosen, reason = assumed[0], Reason.NO_COMMON_CIPHER
    explanations.insert(0, Explanation(reason=reason, detail=chosen))
    explanations += [
        Explanation(reason=Reason.CIPHER_NOT_ANNOUNCED, recipient=place, detail=chosen)
        for place, ciphers in enumerate(announced)
        if ciphers and chosen not in ciphers
    ]
    return chosen, explanations


def _recipient(
    certificate: Certificate, capabilities: tuple[Capability, ...], cipher: str, rsa_scheme: RsaScheme
) -> tuple[Recipient, Reason | None, str]:
    oaep = _announced_oaep(capabilities)
    recipient = recipient_for(certificate, rsa_scheme=oaep or rsa_scheme)
    if isinstance(recipient, KeyAgreementRecipient):
        wrap = _announced_wrap(capabilities, cipher)
        if wrap:
            return recipient_for(certificate, wrap=wrap), Reason.WRAP_ANNOUNCED, wrap
    elif oaep is not None and isinstance(recipient, KeyTransportRecipient):
        return recipient, Reason.OAEP_ANNOUNCED, oaep.name
    return recipient, None, ""


def _announces(capabilities: tuple[Capability, ...] | None, oid: str) -> bool:
    return any(capability.oid == oid for capability in capabilities or ())


def _announced_oaep(capabilities: tuple[Capability, ...]) -> RsaScheme | None:
    """The first OAEP scheme that this engine can do; without parameters it is the one with SHA-1 (RFC 4055)."""
    for capability in capabilities:
        if capability.oid == oids.ID_RSAES_OAEP:
            try:
                return rsa_scheme_from_identifier(algorithm_identifier(capability.oid, capability.parameters))
            except (UnsupportedAlgorithm, MalformedMessage):
                continue
    return None


def _announced_wrap(capabilities: tuple[Capability, ...], cipher: str) -> str:
    """A key wrap at least as strong as the content's key, the weakest such; empty where none is announced."""
    wraps = []
    for capability in capabilities:
        identifiers = (algorithm_identifier(capability.oid, capability.parameters), capability.parameters)
        for identifier in identifiers:  # alone, or as parameter of a key agreement (RFC 5753 section 8)
            try:
                wraps.append(key_wrap_from_identifier(identifier))
            except (UnsupportedAlgorithm, MalformedMessage):
                continue
    enough = [wrap for wrap in wraps if wrap.family == "aes" and wrap.key_size >= CONTENT_CIPHERS[cipher].key_size]
    return min(enough, key=lambda wrap: wrap.key_size).name if enough else ""
