"""The part of the configuration that says what happens to mail that arrives.

Does: hold the TOML tables `[inbound]` (also within tenants, domains and people), `[verification]` and `[[decryption]]`,
and lay the layers over each other. Does not: decide anything (`smime_engine.policy.receiving`) or read files.
"""

from __future__ import annotations

from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path

import msgspec

from smime_engine.addresses import comparable_address, comparable_domain
from smime_engine.policy.receiving import Disposal, InboundRules, State, Treatment
from smime_engine.trust.path import RevocationMode

__all__ = ["DecryptionFile", "Inbound", "InboundBook", "Verification"]


class Inbound(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One layer of rules; what is not said here is settled by the layer below."""

    treatment: Treatment | None = None
    invalid: Disposal | None = None
    unknown: Disposal | None = None
    undecryptable: Disposal | None = None
    malformed: Disposal | None = None
    quarantine: str | None = None
    """The address that quarantined mail goes to."""
    tags: dict[str, str] = {}
    """Words before the Subject by state: `valid`, `invalid`, `unknown`, `unsigned`, `undecryptable`, `malformed`."""
    explain: bool | None = None

    def over(self, below: InboundRules) -> InboundRules:
        """The complete rules when this layer lies over `below`."""
        names = ("treatment", "invalid", "unknown", "undecryptable", "malformed", "quarantine", "explain")
        settled = {name: value for name in names if (value := getattr(self, name)) is not None}
        tags = {**dict(below.tags), **{State[name.upper()]: text for name, text in self.tags.items()}}
        return InboundRules(
            **{**{name: getattr(below, name) for name in names}, **settled, "tags": tuple(tags.items())}
        )

    def complaints(self) -> list[str]:
        """What is wrong with this layer."""
        states = {state.name.lower() for state in State} - {State.UNPROTECTED.name.lower()}
        found = [f"tags.{name}: not one of {', '.join(sorted(states))}" for name in self.tags if name not in states]
        found += [f"tags.{name}: only printable ASCII" for name, text in self.tags.items() if not _is_plain(text)]
        if self.quarantine is not None and comparable_address(self.quarantine) is None:
            found.append(f"quarantine: {self.quarantine} is no e-mail address")
        return found


class Verification(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How signatures of others are judged: `[verification]`."""

    trust: Path | None = None
    """Roots and intermediates (file or folder)."""
    revocation: RevocationMode = RevocationMode.NONE
    fetch: bool = False
    """Fetch missing issuers, revocation lists and OCSP responses over the network."""
    fetch_from: tuple[str, ...] = ()
    """Networks that are not public and may be fetched from, such as `10.0.0.0/8`."""
    harvest: Path | None = None
    """Folder that certificates of valid signatures are put into; they are then used for encrypting."""

    @property
    def networks(self) -> tuple[IPv4Network | IPv6Network, ...]:
        """`fetch_from`; ValueError where one is no network."""
        return tuple(map(ip_network, self.fetch_from))


class DecryptionFile(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Keys that open mail for somebody, old ones too: `[[decryption]]`."""

    file: Path
    """PKCS#12 or PEM with keys and certificates."""
    password_file: Path | None = None
    addresses: tuple[str, ...] = ()
    """Whose mail they open; left out: the addresses that the certificates name."""
    domains: tuple[str, ...] = ()
    """Every address of these domains (a domain's own key)."""


class InboundBook:
    """All layers, and the rules for a recipient (default < tenant < domain < person)."""

    def __init__(
        self,
        base: Inbound,
        *,
        tenants: dict[str, Inbound],
        domains: dict[str, Inbound],
        people: dict[str, Inbound],
    ) -> None:
        self._base = base.over(InboundRules())
        self._tenants = {comparable_domain(name): layer for name, layer in tenants.items()}
        self._domains = {comparable_domain(name): layer for name, layer in domains.items()}
        self._people = {comparable_address(name): layer for name, layer in people.items()}

    def rules_for(self, recipient: str) -> InboundRules:
        """The rules for mail to this address."""
        address = comparable_address(recipient) or ""
        domain = address.rpartition("@")[2]
        rules = self._base
        for layer in (self._tenants.get(domain), self._domains.get(domain), self._people.get(address)):
            rules = rules if layer is None else layer.over(rules)
        return rules


def _is_plain(text: str) -> bool:
    return text.isascii() and text.isprintable()
