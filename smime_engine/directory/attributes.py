"""From the attributes of an LDAP entry to a `DirectoryEntry`: Active Directory's, and those of RFC servers.

Attribute descriptions compare without regard to case and options (`userCertificate;binary`). One value that cannot be
read spoils no other: it is left out and told in the entry's `defects`.

Does: read names, addresses, certificates and members, within limits. Does not: ask servers (`sources`), judge, choose.

In proxyAddresses `SMTP:` marks the primary address and `smtp:` the others.

Standards: RFC 4512 section 2.5 (descriptions and options), RFC 4523, RFC 2798 section 2.8, MS-ADA1 and MS-ADA3.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from smime_engine.addresses import comparable_address
from smime_engine.certificate import Certificate
from smime_engine.directory.entries import DirectoryEntry, ListedCertificate, Origin
from smime_engine.directory.smime_certificate import read_user_smime_certificate
from smime_engine.errors import MalformedMessage
from smime_engine.limits import DEFAULT_LIMITS, Limits

__all__ = ["AttributeNames", "base_name", "entry_from_attributes", "listed_certificates"]

_GROUP_CLASSES = frozenset({"group", "groupofnames", "groupofuniquenames", "distributionlist", "maildistributiongroup"})
_NAMES_IN_DEFECTS = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class AttributeNames:
    """Which attributes hold what; the first that has values counts where one is needed."""

    mail: tuple[str, ...] = ("mail",)
    """The primary address, where no proxy address is marked as such."""

    proxies: tuple[str, ...] = ("proxyAddresses", "mailLocalAddress")
    """Further addresses, with or without `smtp:`; those with other schemes (`x400:`) are left out."""

    smime_certificates: tuple[str, ...] = ("userSMIMECertificate",)
    certificates: tuple[str, ...] = ("userCertificate",)
    name: tuple[str, ...] = ("displayName", "cn")
    members: tuple[str, ...] = ("member", "uniqueMember")

    @property
    def all(self) -> tuple[str, ...]:
        """Every one of them, and objectClass, each once."""
        groups = (self.mail, self.proxies, self.smime_certificates, self.certificates, self.name, self.members)
        return tuple(dict.fromkeys((*(name for group in groups for name in group), "objectClass")))


def base_name(description: str) -> str:
    """An attribute description without options, in lower case: what descriptions are compared by."""
    return description.partition(";")[0].lower()


def entry_from_attributes(
    attributes: Mapping[str, Sequence[bytes]],
    *,
    source: str,
    identifier: str,
    names: AttributeNames = AttributeNames(),
    limits: Limits = DEFAULT_LIMITS,
) -> DirectoryEntry:
    """Read one entry. Never raises for what it holds."""
    values = _Values(attributes, limits)
    certificates: list[ListedCertificate] = []
    pool: list[Certificate] = []
    for origin, chosen in (
        (Origin.USER_SMIME_CERTIFICATE, names.smime_certificates),
        (Origin.USER_CERTIFICATE, names.certificates),
    ):
        for name in chosen:
            listed, authorities, defects = listed_certificates(values.of(name), origin=origin, limits=limits)
            certificates += listed
            pool += authorities
            values.defects += [f"{name}: {defect}" for defect in defects]
    primary, proxies = _addresses(values, names)
    members = tuple(member for name in names.members for member in values.texts(name))
    classes = {text.lower() for text in values.texts("objectClass")}
    return DirectoryEntry(
        source=source,
        identifier=identifier,
        name=next((text for name in names.name for text in values.texts(name)), ""),
        primary=primary,
        proxies=proxies,
        certificates=tuple(dict.fromkeys(certificates)),
        pool=tuple(dict.fromkeys(pool)),
        members=members if members or classes & _GROUP_CLASSES else None,
        defects=_shortened(values.defects),
    )


def listed_certificates(
    values: Iterable[bytes], *, origin: Origin, limits: Limits = DEFAULT_LIMITS
) -> tuple[list[ListedCertificate], list[Certificate], list[str]]:
    """Read values of a certificate attribute -> certificates, those of authorities, why values were left out."""
    listed: list[ListedCertificate] = []
    pool: list[Certificate] = []
    defects: list[str] = []
    for value in values:
        try:
            published = read_user_smime_certificate(value, origin=origin, limits=limits)
        except MalformedMessage as error:
            defects.append(f"a value left out: {error}")
        else:
            listed += published.certificates
            pool += published.pool
            defects += published.defects
    return listed, pool, defects


class _Values:
    """Attributes by base name, within limits."""

    def __init__(self, attributes: Mapping[str, Sequence[bytes]], limits: Limits) -> None:
        self.defects: list[str] = []
        self._limits = limits
        self._values: dict[str, list[bytes]] = {}
        for description, values in attributes.items():
            self._values.setdefault(base_name(description), []).extend(values)

    def of(self, name: str) -> tuple[bytes, ...]:
        """The values of one attribute, each once: a server may give them under several descriptions."""
        values = dict.fromkeys(self._values.get(name.lower(), ()))
        allowed = self._limits.directory_values
        if len(values) > allowed:
            self.defects.insert(0, f"{name}: only {allowed:,} of {len(values):,} values are read")
        return tuple(values)[:allowed]

    def texts(self, name: str) -> Iterator[str]:
        """The values of one attribute that are UTF-8 text of a sensible length. Members are limited elsewhere."""
        for value in self._values.get(name.lower(), ())[: self._limits.group_members]:
            if len(value) <= 4_096:
                try:
                    yield value.decode("utf-8")
                except UnicodeDecodeError:
                    self.defects.append(f"{name}: a value left out that is no UTF-8")


def _addresses(values: _Values, names: AttributeNames) -> tuple[str | None, tuple[str, ...]]:
    """The primary address and the others, each mailbox once."""
    mail = [text.strip() for name in names.mail for text in values.texts(name)]
    proxies = [text for name in names.proxies for text in values.texts(name)]
    marked = [text[5:] for text in proxies if text.startswith("SMTP:")]
    others = [text[5:] if text[:5].lower() == "smtp:" else text for text in proxies]
    found: dict[str, str] = {}
    for address in (*marked, *mail, *others):
        comparable = comparable_address(address)
        if comparable is not None and ":" not in comparable.partition("@")[0]:
            found.setdefault(comparable, address)
    # Only what is marked, or stands in `mail`, can be primary.
    primary = next((address for address in (*marked, *mail) if address in found.values()), None)
    return primary, tuple(address for address in found.values() if address != primary)


def _shortened(defects: Sequence[str]) -> tuple[str, ...]:
    if len(defects) <= _NAMES_IN_DEFECTS:
        return tuple(defects)
    return (*defects[:_NAMES_IN_DEFECTS], f"and {len(defects) - _NAMES_IN_DEFECTS:,} more")
