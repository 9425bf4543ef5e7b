"""Take a directory over into the tenant store: `smime directory sync`.

    report = synchronise(ldap_directory, tenant.directory)

First the identifiers and revisions of all entries are listed, page by page; then those that are new or changed are
read and stored, piece by piece, each piece in one transaction; then what is gone is deleted. Whoever is killed goes on
where he was: what is stored already has the right revision and is not read again. A list that breaks off changes
nothing, least of all deletes.

Does: compare, read, store, report. Does not: schedule itself (the command does), use Active Directory's DirSync control
(decision 0115), write into the directory.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from itertools import islice
from typing import Protocol

from smime_engine.directory.attributes import AttributeNames
from smime_engine.directory.synchronising import (
    IDENTIFIERS,
    MOST_DELETIONS,
    REVISIONS,
    SynchronisedEntry,
    difference_of,
    differences,
    entry_to_synchronise,
    identifier_of,
    require_believable,
    revision_of,
)
from smime_engine.sources.store.directory import Directory
from smime_engine.sources.store.values import DirectoryValue, User

__all__ = ["Change", "SyncReport", "SyncSource", "synchronise"]

_PIECE = 1_000
_SECOND = "modifyTimestamp="

Listed = tuple[str, Mapping[str, Sequence[bytes]]]
"""Distinguished name and attributes."""


class SyncSource(Protocol):
    """A directory that can be listed (`ldap.LdapDirectory`). Methods block and raise SourceUnavailable."""

    @property
    def name(self) -> str:
        """Its name: the source of its entries in the store."""

    @property
    def attribute_names(self) -> AttributeNames:
        """Which attributes hold what."""

    def list_entries(self, attributes: Sequence[str]) -> Iterator[Listed]:
        """Every entry that has an address, with these attributes. Complete, or an error at the end."""

    def read_entries(self, names: Sequence[str]) -> Iterator[Listed]:
        """Whole entries by distinguished name; those that are gone are left out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """What happens to one entry."""

    kind: str
    """`added`, `changed`, `removed`, `refused`."""

    address: str
    details: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class SyncReport:
    """What a synchronisation did, or (`dry`) would do."""

    source: str
    dry: bool
    listed: int = 0
    added: int = 0
    changed: int = 0
    removed: int = 0
    unchanged: int = 0
    changes: tuple[Change, ...] = ()
    """Of a dry run every change; else what was refused."""

    withheld: tuple[Change, ...] = ()
    """Entries of which an attribute goes over empty, as it has more than 15 values."""


@dataclass(slots=True)
class _Run:
    """One synchronisation under way."""

    source: SyncSource
    directory: Directory
    dry: bool
    names: dict[str, str] = field(default_factory=dict)
    """Identifier -> distinguished name."""
    identifiers: dict[str, str] = field(default_factory=dict)
    """The reverse, in lower case."""
    changes: list[Change] = field(default_factory=list)
    withheld: list[Change] = field(default_factory=list)
    added: int = 0
    changed: int = 0


def synchronise(
    source: SyncSource,
    directory: Directory,
    *,
    dry: bool = False,
    allowed_deletions: int | None = MOST_DELETIONS,
    progress: Callable[[int, int], None] | None = None,
    clock: Callable[[], datetime] = lambda: datetime.now(UTC),
) -> SyncReport:
    """Synchronise once. `progress` is told (done, all) of the entries that must be read.

    Raises SourceUnavailable, ConfigurationError for more deletions than `allowed_deletions` (None: any number). What
    was stored before stays stored.
    """
    run = _Run(source, directory, dry)
    began = clock()
    there: dict[str, str] = {}
    for name, attributes in source.list_entries((*IDENTIFIERS, *REVISIONS)):
        identifier = identifier_of(name, attributes)
        there[identifier] = _certain(revision_of(attributes), began)
        run.names[identifier] = name
        run.identifiers[name.lower()] = identifier
    here = directory.revisions(source.name)
    difference = difference_of(here, there)
    require_believable(difference, known=len(here), allowed=allowed_deletions)
    done = 0
    for piece in _pieces(difference.wanted, _PIECE):
        _take_over(run, piece, there)
        done += len(piece)
        if progress is not None:
            progress(done, len(difference.wanted))
    removed = _remove(run, difference.gone, began, len(there))
    return SyncReport(
        source=source.name,
        dry=dry,
        listed=len(there),
        added=run.added,
        changed=run.changed,
        removed=removed,
        unchanged=difference.unchanged,
        changes=tuple(run.changes),
        withheld=tuple(run.withheld),
    )


def _certain(revision: str, now: datetime) -> str:
    """The revision, or nothing where the entry may change again without its time showing it: in the same seconds."""
    if not revision.startswith(_SECOND):
        return revision
    try:
        changed = datetime.strptime(revision[len(_SECOND) :][:14], "%Y%m%d%H%M%S").replace(tzinfo=UTC)
    except ValueError:
        return ""
    return "" if (now - changed).total_seconds() < 60 else revision  # a minute: the server has a clock of its own


def _take_over(run: _Run, piece: Sequence[str], there: Mapping[str, str]) -> None:
    entries: list[SynchronisedEntry] = []
    for name, attributes in run.source.read_entries([run.names[identifier] for identifier in piece]):
        entry = entry_to_synchronise(name, attributes, identifiers=run.identifiers, names=run.source.attribute_names)
        if isinstance(entry, str):
            run.changes.append(Change(kind="refused", address=name, details=(entry,)))
            continue
        if entry.withheld:
            run.withheld.append(Change(kind="withheld", address=entry.primary, details=entry.withheld))
        # What was listed counts: an entry that changed since then is read again the next time.
        entries.append(replace(entry, revision=there.get(entry.identifier, "")))
    if run.dry:
        _foresee(run, entries, run.directory.find_identified([entry.identifier for entry in entries]))
        return
    found = run.directory.apply(run.source.name, [_user(entry) for entry in entries])
    run.added += found.added
    run.changed += found.changed
    run.changes += [Change(kind="refused", address=who, details=(why,)) for who, why in found.refused]


def _foresee(run: _Run, entries: Iterable[SynchronisedEntry], known: Mapping[str, User]) -> None:
    for entry in entries:
        old = known.get(entry.identifier)
        if old is None:
            run.added += 1
            count = sum(map(len, entry.certificates.values()))
            details: tuple[str, ...] = (f"{count} certificates",) if entry.members is None else ("a group",)
            run.changes.append(Change(kind="added", address=entry.primary, details=details))
            continue
        details = tuple(differences(_entry(old), entry))
        if details:
            run.changed += 1
            run.changes.append(Change(kind="changed", address=entry.primary, details=details))


def _remove(run: _Run, gone: Sequence[str], began: datetime, listed: int) -> int:
    if run.dry:
        for identifier, user in run.directory.find_identified(gone).items():
            run.changes.append(Change(kind="removed", address=user.primary_address or identifier))
        return len(gone)
    state = json.dumps({"synchronised": began.isoformat(), "listed": listed})
    found = run.directory.apply(run.source.name, remove=gone, state=state)
    run.changes += [Change(kind="refused", address=who, details=(why,)) for who, why in found.refused]
    return found.removed


def _user(entry: SynchronisedEntry) -> User:
    return User(
        primary_address=entry.primary,
        proxy_addresses=entry.proxies,
        display_name=entry.name,
        external_id=entry.identifier,
        revision=entry.revision,
        values=tuple(
            DirectoryValue(attribute=attribute, value=value)
            for attribute, values in entry.certificates.items()
            for value in values
        ),
        members=entry.members,
    )


def _entry(user: User) -> SynchronisedEntry:
    certificates: dict[str, tuple[bytes, ...]] = {}
    for value in user.values:
        certificates[value.attribute] = (*certificates.get(value.attribute, ()), value.value)
    return SynchronisedEntry(
        identifier=user.external_id,
        revision=user.revision,
        primary=user.primary_address,
        proxies=user.proxy_addresses,
        name=user.display_name,
        certificates=certificates,
        members=user.members,
    )


def _pieces(identifiers: Iterable[str], size: int) -> Iterator[tuple[str, ...]]:
    remaining = iter(identifiers)
    while piece := tuple(islice(remaining, size)):
        yield piece
