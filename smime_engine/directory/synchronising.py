"""What a synchronisation takes over from a directory, and what it changes: pure.

As Entra Connect does it: an entry goes over with its addresses and certificates; an attribute with more than 15
certificates goes over empty, for Entra ID would refuse the entry and every other change of it.

Does: read one entry as it goes over; compare two states of an entry, and lists of revisions; decide whether so many
deletions are believable. Does not: ask directories or write into the store (`sources.directory_sync`).

Sources: Microsoft's documentation of Entra Connect (outbound rule "User ExchangeOnline"; prevention of accidental
deletes, whose default is 500 objects).
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from smime_engine.directory.attributes import AttributeNames, base_name, entry_from_attributes
from smime_engine.errors import ConfigurationError
from smime_engine.limits import DEFAULT_LIMITS, Limits

__all__ = [
    "IDENTIFIERS",
    "MOST_DELETIONS",
    "MOST_VALUES",
    "REVISIONS",
    "Difference",
    "SynchronisedEntry",
    "difference_of",
    "differences",
    "entry_to_synchronise",
    "identifier_of",
    "require_believable",
    "revision_of",
]

MOST_VALUES = 15
"""Certificates in one attribute of one entry: Entra ID's limit."""

MOST_DELETIONS = 500
"""Entries that one synchronisation deletes without being told that it may: Entra Connect's default."""

IDENTIFIERS = ("objectGUID", "entryUUID", "nsUniqueId")
"""Attributes that name an entry for ever, the first that is there counts; without one the distinguished name does."""

REVISIONS = ("uSNChanged", "entryCSN", "modifyTimestamp")
"""Attributes that change with each change of an entry. The last counts in seconds: two changes in one look alike."""

_ATTRIBUTES = ("userSMIMECertificate", "userCertificate")


@dataclass(frozen=True, slots=True, kw_only=True)
class SynchronisedEntry:
    """An entry as it goes over."""

    identifier: str
    revision: str
    primary: str
    proxies: tuple[str, ...] = ()
    name: str = ""
    certificates: Mapping[str, tuple[bytes, ...]]
    """Values of `userSMIMECertificate` and `userCertificate`, as they are."""

    members: tuple[str, ...] | None = None
    withheld: tuple[str, ...] = ()
    """Attributes that go over empty, and why: the limit of 15 values."""


def identifier_of(name: str, attributes: Mapping[str, Sequence[bytes]]) -> str:
    """What names an entry for ever: a UUID in its usual form, or the distinguished name."""
    for wanted in IDENTIFIERS:
        value = _first(attributes, wanted)
        if value:
            # Active Directory stores GUIDs as Windows does in memory: the first three fields little-endian.
            return str(uuid.UUID(bytes_le=value)) if len(value) == 16 else value.decode("utf-8", "replace").lower()
    return name


def revision_of(attributes: Mapping[str, Sequence[bytes]]) -> str:
    """The mark of the entry's state; empty where the server keeps none: then the entry is read each time."""
    for wanted in REVISIONS:
        value = _first(attributes, wanted)
        if value:
            return f"{wanted}={value.decode('ascii', 'replace')}"
    return ""


def entry_to_synchronise(
    name: str,
    attributes: Mapping[str, Sequence[bytes]],
    *,
    identifiers: Mapping[str, str],
    names: AttributeNames = AttributeNames(),  # noqa: B008 - immutable
    limits: Limits = DEFAULT_LIMITS,
) -> SynchronisedEntry | str:
    """Read an entry; the text says why it cannot go over. `identifiers` of other entries by distinguished name."""
    identifier = identifier_of(name, attributes)
    entry = entry_from_attributes(attributes, source="", identifier=identifier, names=names, limits=limits)
    primary = entry.primary or next(iter(entry.proxies), None)
    if primary is None:
        return "no mail address"
    certificates: dict[str, tuple[bytes, ...]] = {}
    withheld = []
    for attribute, chosen in zip(_ATTRIBUTES, (names.smime_certificates, names.certificates), strict=True):
        wanted = {each.lower() for each in chosen}
        values = tuple(
            dict.fromkeys(value for key, some in attributes.items() if base_name(key) in wanted for value in some)
        )
        if len(values) > MOST_VALUES:
            withheld.append(f"{attribute}: {len(values)} values, and no more than {MOST_VALUES} go over: none does")
            values = ()
        certificates[attribute] = values
    members = entry.members
    return SynchronisedEntry(
        identifier=identifier,
        revision=revision_of(attributes),
        primary=primary,
        proxies=tuple(address for address in entry.proxies if address != primary),
        name=entry.name,
        certificates=certificates,
        members=None if members is None else tuple(identifiers.get(each.lower(), each) for each in members),
        withheld=tuple(withheld),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """Which entries differ between the directory and the store, by identifier."""

    wanted: tuple[str, ...]
    """New ones, and those whose revision is another one: to be read."""

    gone: tuple[str, ...]
    unchanged: int


def difference_of(here: Mapping[str, str], there: Mapping[str, str]) -> Difference:
    """Compare identifier -> revision of the store (`here`) and of the directory (`there`)."""
    wanted = tuple(each for each, revision in there.items() if not revision or here.get(each) != revision)
    gone = tuple(each for each in here if each not in there)
    return Difference(wanted=wanted, gone=gone, unchanged=len(there) - len(wanted))


def require_believable(difference: Difference, *, known: int, allowed: int | None) -> None:
    """Refuse a synchronisation that would delete more entries than `allowed` (None: any number), or all of them.

    A filter that is wrong, or a base that moved, looks just like that. Raises ConfigurationError.
    """
    gone = len(difference.gone)
    if allowed is None or not gone:
        return
    if gone > allowed or (gone == known and not difference.wanted):
        raise ConfigurationError(
            f"{gone:,} of {known:,} entries are gone from the directory: nothing was changed; allow it if that is right"
        )


def differences(old: SynchronisedEntry | None, new: SynchronisedEntry | None) -> Iterator[str]:
    """What changes in one entry, in words."""
    if old is None or new is None:
        return
    if old.primary != new.primary:
        yield f"primary address {old.primary} becomes {new.primary}"
    for added in sorted(set(new.proxies) - set(old.proxies)):
        yield f"address {added} added"
    for removed in sorted(set(old.proxies) - set(new.proxies) - {new.primary}):
        yield f"address {removed} removed"
    if old.name != new.name:
        yield f"name {old.name!r} becomes {new.name!r}"
    for attribute in _ATTRIBUTES:
        before, after = set(old.certificates.get(attribute, ())), set(new.certificates.get(attribute, ()))
        if before != after:
            yield f"{attribute}: {len(after - before)} added, {len(before - after)} removed"
    if old.members != new.members:
        yield f"members: {len(old.members or ())} become {len(new.members or ())}"


def _first(attributes: Mapping[str, Sequence[bytes]], wanted: str) -> bytes:
    for description, values in attributes.items():
        if base_name(description) == wanted.lower() and values:
            return values[0]
    return b""
