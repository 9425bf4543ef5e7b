"""The rules for mail that leaves: what an operator, a tenant, a domain and a user have settled.

Does: hold complete rules and partial ones, lay the partial ones over each other (default < tenant < domain < user),
find the rule for a recipient (its address before its domain before the general one), and read Exchange's settings as
rules. Does not: look at messages (`sending`), or know where the rules are written.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from enum import Enum
from typing import Any

from smime_engine.addresses import comparable_address, comparable_domain
from smime_engine.policy.capabilities import DEFAULT_PREFERENCE
from smime_engine.policy.preferences import cipher_preference, digest_preference
from smime_engine.policy.smime_config import BccForking, SmimeConfig

__all__ = [
    "Certificates",
    "Encryption",
    "FieldTrigger",
    "OutboundRules",
    "PartialRules",
    "RecipientRule",
    "Signing",
    "Triggers",
    "layered",
    "rules_from_smime_config",
]


class Signing(Enum):
    """When a message is signed."""

    NEVER = "never"
    ON_REQUEST = "on-request"
    """When the Subject or a header field asks for it."""
    ALWAYS = "always"


class Encryption(Enum):
    """When a message is encrypted for a recipient. A request in the message makes every one of these REQUIRED."""

    NEVER = "never"
    """Not even on request: a message that asks for it is refused."""
    ON_REQUEST = "on-request"
    WHEN_POSSIBLE = "when-possible"
    """When there is a certificate."""
    REQUIRED = "required"
    """Without a certificate the recipient is refused."""


class Certificates(Enum):
    """Which certificates a signed message carries."""

    NONE = "none"
    SIGNER = "signer"
    CHAIN = "chain"
    """The signer's and the authorities' above it, without the root."""
    CHAIN_AND_ROOT = "chain-and-root"


@dataclass(frozen=True, slots=True, kw_only=True)
class FieldTrigger:
    """A header field that asks for something; it is removed before the message leaves."""

    name: str
    value: str | None = None
    """Compared without regard to case; None: any value."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Triggers:
    """What asks for signing or encryption in a message; it is removed before the message leaves."""

    subject_tags: tuple[str, ...] = ()
    """Such as `[encrypt]`, anywhere in the Subject, in any letter case."""
    fields: tuple[FieldTrigger, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class RecipientRule:
    """What holds for some recipients."""

    match: tuple[str, ...]
    """Addresses, and domains with a leading `@`."""
    encrypt: Encryption


@dataclass(frozen=True, slots=True, kw_only=True)
class OutboundRules:
    """Complete rules."""

    sign: Signing = Signing.ALWAYS
    encrypt: Encryption = Encryption.NEVER
    recipients: tuple[RecipientRule, ...] = ()
    """Exceptions from `encrypt`; those of a later layer come first."""
    sign_triggers: Triggers = Triggers()
    encrypt_triggers: Triggers = Triggers()
    clear: bool = True
    """multipart/signed instead of opaque."""
    triple_wrap: bool = False
    """Sign, encrypt, sign again (RFC 2634)."""
    bcc: BccForking = BccForking.EACH
    encrypt_to_sender: bool = True
    """The sender can read what was sent."""
    certificates: Certificates = Certificates.CHAIN
    by_key_identifier: bool = False
    """Name recipients by subject key identifier instead of issuer and serial number."""
    capabilities: bool = False
    """Say in the signature what the sender can decrypt."""
    cipher: str | None = None
    """A content cipher that is demanded, whatever the recipients announce."""
    ciphers: tuple[str, ...] = DEFAULT_PREFERENCE
    """Content ciphers that may be chosen when none is demanded, best first."""
    digest: str = ""
    """A digest to sign with; empty, or where the key cannot, the one that suits the key."""

    @property
    def is_plain(self) -> bool:
        """Whether nobody is ever encrypted to and nothing in a message is asked for."""
        triggers = (self.sign_triggers, self.encrypt_triggers)
        return (
            self.encrypt is Encryption.NEVER
            and all(rule.encrypt is Encryption.NEVER for rule in self.recipients)
            and not any(trigger.subject_tags or trigger.fields for trigger in triggers)
        )

    def encryption_for(self, recipient: str) -> Encryption:
        """The rule for a recipient: of the most specific match, the first."""
        address = comparable_address(recipient) or recipient
        domain = f"@{address.rpartition('@')[2]}"
        for wanted in (address, domain):
            for rule in self.recipients:
                if wanted in map(_comparable, rule.match):
                    return rule.encrypt
        return self.encrypt


@dataclass(frozen=True, slots=True, kw_only=True)
class PartialRules:
    """Rules of one layer: None leaves to the layer below what it has settled."""

    sign: Signing | None = None
    encrypt: Encryption | None = None
    recipients: tuple[RecipientRule, ...] = ()
    sign_triggers: Triggers | None = None
    encrypt_triggers: Triggers | None = None
    clear: bool | None = None
    triple_wrap: bool | None = None
    bcc: BccForking | None = None
    encrypt_to_sender: bool | None = None
    certificates: Certificates | None = None
    by_key_identifier: bool | None = None
    capabilities: bool | None = None
    cipher: str | None = None
    ciphers: tuple[str, ...] | None = None
    digest: str | None = None

    def over(self, below: OutboundRules) -> OutboundRules:
        """The complete rules when this layer lies over `below`."""
        settled: dict[str, Any] = {
            field.name: value for field in fields(self) if (value := getattr(self, field.name)) is not None
        }
        settled["recipients"] = (*self.recipients, *below.recipients)
        return replace(below, **settled)


def layered(below: OutboundRules, layers: Sequence[PartialRules]) -> OutboundRules:
    """Lay partial rules over complete ones, the first layer lowest."""
    for layer in layers:
        below = layer.over(below)
    return below


def rules_from_smime_config(config: SmimeConfig) -> PartialRules:
    """A tenant's Exchange settings as a layer.

    `OWAAlwaysEncrypt` means REQUIRED: Outlook asks the sender to remove recipients without a certificate, and never
    sends to them in clear.
    """
    return PartialRules(
        sign=Signing.ALWAYS if config.owa_always_sign else None,
        encrypt=Encryption.REQUIRED if config.owa_always_encrypt else None,
        clear=config.owa_clear_sign,
        triple_wrap=config.owa_triple_wrap_signed_encrypted_mail,
        bcc=config.bcc_forking,
        certificates=_certificates(config),
        by_key_identifier=config.owa_use_key_identifier,
        capabilities=config.owa_include_smime_capabilities_in_message,
        ciphers=cipher_preference(config) or None,
        digest=digest_preference(config) or None,
    )


def _certificates(config: SmimeConfig) -> Certificates:
    if not config.owa_signed_email_certificate_inclusion:
        return Certificates.NONE
    if config.owa_include_certificate_chain_and_root_certificate:
        return Certificates.CHAIN_AND_ROOT
    if config.owa_include_certificate_chain_without_root_certificate:
        return Certificates.CHAIN
    return Certificates.SIGNER


def _comparable(pattern: str) -> str | None:
    if pattern.startswith("@"):
        domain = comparable_domain(pattern[1:])
        return None if domain is None else f"@{domain}"
    return comparable_address(pattern)
