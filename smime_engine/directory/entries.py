"""What directories know about people, as values: entries, their certificates, and the answer for one address.

Every certificate says where it came from. That decides its place in the order of choice and nothing else: whether it is
trusted is decided by the tenant's collection (`choosing.py`), never by the source.

Does: hold values and compare addresses. Does not: read attributes (`attributes.py`), judge, choose, or ask anybody.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import Enum

from smime_engine.addresses import comparable_address
from smime_engine.certificate import Certificate
from smime_engine.cms.capabilities import Capability

__all__ = ["Answer", "DirectoryEntry", "ListedCertificate", "Origin", "SourceFailure", "Standing"]


class Origin(Enum):
    """Where a certificate was found; the value is its name in reports."""

    PINNED = "pinned by an administrator or user"
    USER_SMIME_CERTIFICATE = "userSMIMECertificate"
    USER_CERTIFICATE = "userCertificate"
    SIGNED_MAIL = "signed mail"
    SMIMEA = "SMIMEA record"
    FILE = "file"


class Standing(Enum):
    """What the source says about a certificate beside the others of the same value, best first."""

    PREFERRED = 0
    """Marked as the one to encrypt to: Outlook's default certificate."""
    SIGNER = 1
    """The one that signed the value it came in."""
    LISTED = 2
    """There, and nothing is said about it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ListedCertificate:
    """A certificate of an entry, and what the source says about it."""

    certificate: Certificate
    origin: Origin
    standing: Standing = Standing.LISTED
    capabilities: tuple[Capability, ...] | None = None
    """What its owner's client announces; None where the source says nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DirectoryEntry:
    """One person, contact or group of one source."""

    source: str
    """The name of the source, as configured."""

    identifier: str
    """What names the entry there: a distinguished name, a file, a DNS name."""

    name: str = ""
    """For people."""

    primary: str | None = None
    """The primary SMTP address; None where the source has none."""

    proxies: tuple[str, ...] = ()
    """Further addresses of the same mailbox."""

    certificates: tuple[ListedCertificate, ...] = ()
    """In the order of the source, which for LDAP means nothing."""

    pool: tuple[Certificate, ...] = field(default=(), repr=False)
    """Certificates of authorities that came along: they may help to build a path, and are not trusted."""

    members: tuple[str, ...] | None = None
    """Of a group: identifiers or addresses of its direct members. None for everything that is no group."""

    defects: tuple[str, ...] = ()
    """Values that were left out, and why."""

    @property
    def is_group(self) -> bool:
        """Whether mail to this entry goes to others."""
        return self.members is not None

    @property
    def addresses(self) -> tuple[str, ...]:
        """Primary address, then the others."""
        return self.proxies if self.primary is None else (self.primary, *self.proxies)

    def has_address(self, address: str) -> bool:
        """Whether mail to this address goes to this entry."""
        wanted = comparable_address(address)
        return wanted is not None and any(wanted == comparable_address(own) for own in self.addresses)


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceFailure:
    """A source that did not answer."""

    source: str
    text: str
    """Why, for an administrator."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """Everything that is known about one address."""

    address: str
    entries: tuple[DirectoryEntry, ...] = ()
    """Of the sources in the order in which they were asked."""

    failures: tuple[SourceFailure, ...] = ()
    """Sources that should have been asked and did not answer: nothing found does not mean that there is nothing."""

    stale: bool = False
    """Whether the entries are older than they should be, because their source does not answer."""

    @classmethod
    def joined(cls, address: str, answers: Iterable[Answer]) -> Answer:
        """Answers of several sources about one address, in their order."""
        found = tuple(answers)
        return cls(
            address=address,
            entries=tuple(entry for answer in found for entry in answer.entries),
            failures=tuple(dict.fromkeys(failure for answer in found for failure in answer.failures)),
            stale=any(answer.stale for answer in found),
        )
