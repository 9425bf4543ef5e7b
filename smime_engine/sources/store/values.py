"""What the tenant store holds, as values.

Does: describe. Does not: read certificates or judge them: octets are as they came (a directory may hold anything), and
whoever chooses a certificate parses it. Times are aware and in UTC.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

__all__ = [
    "LOCAL",
    "AuditEvent",
    "Changes",
    "DirectoryValue",
    "HarvestedCertificate",
    "MobilePolicy",
    "StoredKey",
    "Tenant",
    "User",
]

LOCAL = "local"
"""The source of users whom an administrator has added; every other source is the name of a directory."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tenant:
    """An organisation."""

    name: str
    """What it is called in commands; never changes."""

    display_name: str = ""
    domains: tuple[str, ...] = ()
    """Accepted mail domains as A-labels in lower case. A domain belongs to one tenant."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DirectoryValue:
    """One value of one of an entry's certificate attributes."""

    attribute: str
    """`userCertificate` (DER) or `userSMIMECertificate` (SignedData or Microsoft's TLV form)."""

    value: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class User:
    """A user, or another entry of the directory that can receive mail."""

    primary_address: str
    proxy_addresses: tuple[str, ...] = ()
    """Further SMTP addresses, as written."""

    display_name: str = ""
    source: str = LOCAL
    external_id: str = ""
    """What the source calls the entry for ever (objectGUID, entryUUID, DN); empty for local users."""

    revision: str = ""
    """The source's mark of the entry's state (uSNChanged, modifyTimestamp, a digest)."""

    values: tuple[DirectoryValue, ...] = ()
    """Certificates, in the source's order; those of the keys that the store holds for the user follow."""

    members: tuple[str, ...] | None = None
    """Of a group: external identifiers or addresses of its direct members. None for everything that is no group."""

    @property
    def addresses(self) -> tuple[str, ...]:
        """All addresses, the primary one first."""
        return (self.primary_address, *self.proxy_addresses)


@dataclass(frozen=True, slots=True, kw_only=True)
class Changes:
    """What a change of the directory has done."""

    added: int = 0
    changed: int = 0
    unchanged: int = 0
    removed: int = 0
    refused: tuple[tuple[str, str], ...] = ()
    """Entries that were left out: (external identifier or primary address, reason)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredKey:
    """A private key that the store holds sealed, or that a token holds, with its certificate."""

    user_id: int
    """Never used again for another user: the seal is bound to it."""

    fingerprint: bytes
    """SHA-256 of the certificate."""

    certificate: bytes
    """DER."""

    chain: tuple[bytes, ...] = ()
    """DER of the certificates above, the issuer's first."""

    sealed: bytes | None = field(default=None, repr=False)
    """The sealed key (`master_key`); None where a token holds it."""

    token: str | None = None
    """Where a token holds the key: a PKCS #11 URI (RFC 7512) without module and PIN."""

    imported: datetime
    retired: datetime | None = None
    """Since when the key opens old mail only; it neither signs nor is it given to correspondents."""

    chosen: bool = False
    """Whether the user has chosen it for signing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MobilePolicy:
    """A policy for mobile devices: settings as the adapter for ActiveSync names them."""

    name: str
    settings: Mapping[str, Any]
    default: bool = False
    """Whether it applies to users without a policy of their own; at most one of a tenant's does."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HarvestedCertificate:
    """A correspondent's certificate that came with valid signed mail, or that somebody entered."""

    address: str
    certificate: bytes
    """DER."""

    chain: tuple[bytes, ...] = ()
    capabilities: bytes | None = None
    """DER SMIMECapabilities of the newest message that had any."""

    preferred: bool = False
    """Whether the correspondent named it as the one to encrypt to (encryption key preference)."""

    pinned: bool = False
    """Whether a rule or an administrator holds on to it: newer ones do not take its place."""

    source: str = "mail"
    first_seen: datetime
    last_seen: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditEvent:
    """Who did what to whom. Never holds a secret."""

    at: datetime
    actor: str
    """The account or program that acted."""

    action: str
    """A word for programs: `key.imported`, `user.removed`."""

    subject: str = ""
    """What it was done to: an address, a fingerprint."""

    detail: Mapping[str, Any] = field(default_factory=dict)
    tenant: str = ""
    """Empty for what concerns the whole store."""
