"""The part of the configuration that says what happens to mail that leaves, and for whom rules are made.

Does: hold the TOML tables `[outbound]`, `[tenants.NAME]`, `[domains."NAME"]`, `[people."ADDRESS"]` and `[recipients]`,
and turn them into the policy's layers of rules. Does not: decide anything (`smime_engine.policy`) or read files.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import msgspec

from smime_engine.addresses import comparable_address, comparable_domain
from smime_engine.policy.rules import (
    Certificates,
    Encryption,
    FieldTrigger,
    OutboundRules,
    PartialRules,
    RecipientRule,
    Signing,
    Triggers,
    layered,
    rules_from_smime_config,
)
from smime_engine.policy.smime_config import BccForking, SmimeConfig
from smime_smtp_relay.inbound_config import Inbound

__all__ = ["Domain", "Outbound", "Person", "Recipients", "RuleBook", "Tenant"]

_BCC = {"each": BccForking.EACH, "together": BccForking.TOGETHER, "visible": BccForking.NONE}


class RecipientEncryption(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An exception for some recipients: `[[outbound.recipients]]`."""

    match: tuple[str, ...]
    """Addresses, and domains with a leading `@`."""
    encrypt: Encryption


class Request(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What asks for something in a message: `[outbound.sign_on]`, `[outbound.encrypt_on]`."""

    subject: tuple[str, ...] = ()
    """Words such as `[encrypt]`; removed from the Subject."""
    fields: tuple[str, ...] = ()
    """Header fields, `Name` or `Name: value`; removed from the header."""

    @property
    def triggers(self) -> Triggers:
        """The same for the policy."""
        return Triggers(subject_tags=self.subject, fields=tuple(map(_field_trigger, self.fields)))


class Outbound(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One layer of rules; what is not said here is settled by the layer below."""

    sign: Signing | None = None
    encrypt: Encryption | None = None
    recipients: tuple[RecipientEncryption, ...] = ()
    sign_on: Request | None = None
    encrypt_on: Request | None = None
    form: Literal["clear", "opaque"] | None = None
    triple_wrap: bool | None = None
    bcc: Literal["each", "together", "visible"] | None = None
    encrypt_to_sender: bool | None = None
    certificates: Certificates | None = None
    by_key_identifier: bool | None = None
    capabilities: bool | None = None
    cipher: str | None = None

    @property
    def rules(self) -> PartialRules:
        """The same for the policy."""
        return PartialRules(
            sign=self.sign,
            encrypt=self.encrypt,
            recipients=tuple(RecipientRule(match=row.match, encrypt=row.encrypt) for row in self.recipients),
            sign_triggers=None if self.sign_on is None else self.sign_on.triggers,
            encrypt_triggers=None if self.encrypt_on is None else self.encrypt_on.triggers,
            clear=None if self.form is None else self.form == "clear",
            triple_wrap=self.triple_wrap,
            bcc=None if self.bcc is None else _BCC[self.bcc],
            encrypt_to_sender=self.encrypt_to_sender,
            certificates=self.certificates,
            by_key_identifier=self.by_key_identifier,
            capabilities=self.capabilities,
            cipher=self.cipher,
        )


class Tenant(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Several domains of one organisation: `[tenants.NAME]`."""

    domains: tuple[str, ...]
    settings: Path | None = None
    """A folder of `smime tenant`: its Set-SmimeConfig is the layer below `outbound`."""
    stored_as: str | None = None
    """The same for a tenant of the store: its name there."""
    outbound: Outbound = Outbound()
    inbound: Inbound = Inbound()


class Domain(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One domain: `[domains."example.org"]`."""

    outbound: Outbound = Outbound()
    inbound: Inbound = Inbound()


class Person(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One sender: `[people."alice@example.org"]`."""

    outbound: Outbound = Outbound()
    inbound: Inbound = Inbound()


class Recipients(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where recipients' certificates come from: `[recipients]`."""

    certificates: Path | None = None
    """A file or a folder of files: DER, PEM, PKCS#7."""
    trust: Path | None = None
    """Roots (file or folder) that their chains must end in; without it what lies in `certificates` is trusted."""


class RuleBook:
    """All layers, and the rules for a sender."""

    def __init__(
        self,
        *,
        base: OutboundRules,
        tenants: dict[str, Tenant],
        domains: dict[str, Domain],
        people: dict[str, Person],
        exchange: Mapping[str, SmimeConfig] | None = None,
    ) -> None:
        """`exchange` are the settings of those tenants that have some."""
        self._base = base
        self._tenants = {
            comparable_domain(domain): _layers_of(tenant, (exchange or {}).get(name))
            for name, tenant in tenants.items()
            for domain in tenant.domains
        }
        self._domains = {comparable_domain(name): domain.outbound.rules for name, domain in domains.items()}
        self._people = {comparable_address(name): person.outbound.rules for name, person in people.items()}
        self._known: dict[str, OutboundRules] = {}

    def rules_for(self, sender: str) -> OutboundRules:
        """The rules for mail of this address (default < tenant < domain < person)."""
        if not (self._tenants or self._domains or self._people):
            return self._base
        address = comparable_address(sender) or ""
        if address not in self._known:
            if len(self._known) > 10_000:
                self._known.clear()
            domain = address.rpartition("@")[2]
            found = (*self._tenants.get(domain, ()), self._domains.get(domain), self._people.get(address))
            self._known[address] = layered(self._base, [layer for layer in found if layer is not None])
        return self._known[address]


def _layers_of(tenant: Tenant, config: SmimeConfig | None) -> tuple[PartialRules, ...]:
    own = tenant.outbound.rules
    return (own,) if config is None else (rules_from_smime_config(config), own)


def _field_trigger(text: str) -> FieldTrigger:
    name, colon, value = text.partition(":")
    return FieldTrigger(name=name.strip(), value=value.strip() if colon else None)
