"""The tenant store as a source of directory entries: its users, and the certificates harvested from signed mail.

Does: turn rows into the entries that `directory.choosing` chooses from; the database is asked in a thread, once for all
addresses. Does not: trust what it finds: the octets are read like those of any directory, and the tenant's collection
decides. A value that cannot be read spoils no other.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence

from smime_engine.certificate import Certificate
from smime_engine.cms.capabilities import Capability, parse_capabilities
from smime_engine.directory.attributes import listed_certificates
from smime_engine.directory.entries import (
    Answer,
    DirectoryEntry,
    ListedCertificate,
    Origin,
    SourceFailure,
    Standing,
)
from smime_engine.errors import MalformedMessage, SmimeError
from smime_engine.sources.store.tenants import StoredTenant
from smime_engine.sources.store.values import DirectoryValue, HarvestedCertificate, User

__all__ = ["StoreSource"]

_ORIGINS = {
    "usersmimecertificate": Origin.USER_SMIME_CERTIFICATE,
    "usercertificate": Origin.USER_CERTIFICATE,
}


class StoreSource:
    """A tenant of a store, as `directory_source.DirectorySource`. Closing it calls `close`, nothing by default."""

    def __init__(self, name: str, tenant: StoredTenant, *, close: Callable[[], None] = lambda: None) -> None:
        self._name = name
        self._tenant = tenant
        self._close = close

    @property
    def name(self) -> str:
        """The name that its entries carry."""
        return self._name

    async def look_up(self, addresses: Sequence[str]) -> tuple[Answer, ...]:
        """An answer for each address, in their order. A store that does not answer says so in each."""
        try:
            return await asyncio.to_thread(self._look_up, addresses)
        except SmimeError as error:
            failure = SourceFailure(source=self._name, text=str(error))
            return tuple(Answer(address=address, failures=(failure,)) for address in addresses)

    async def look_up_members(self, members: Sequence[str]) -> Mapping[str, DirectoryEntry | None]:
        """Entries by external identifier or address; None for nobody. Raises SourceUnavailable."""
        return await asyncio.to_thread(self._look_up_members, members)

    async def aclose(self) -> None:
        """Close what was opened for this source."""
        self._close()

    def _look_up(self, addresses: Sequence[str]) -> tuple[Answer, ...]:
        users = self._tenant.directory.find(addresses)
        harvested = self._tenant.harvest.find(addresses)
        answers = []
        for address in addresses:
            entries = [self._entry(user) for user in users.get(address, ())]
            if address in harvested:
                entries.append(self._harvested(address, harvested[address]))
            answers.append(Answer(address=address, entries=tuple(entries)))
        return tuple(answers)

    def _look_up_members(self, members: Sequence[str]) -> Mapping[str, DirectoryEntry | None]:
        directory = self._tenant.directory
        named = {member: users[0] for member, users in directory.find(members).items()}
        named.update(directory.find_identified(member for member in members if member not in named))
        return {member: self._entry(named[member]) if member in named else None for member in members}

    def _entry(self, user: User) -> DirectoryEntry:
        listed: list[ListedCertificate] = []
        pool: list[Certificate] = []
        defects: list[str] = []
        for attribute, origin in _ORIGINS.items():
            certificates, authorities, left_out = listed_certificates(_values(user.values, attribute), origin=origin)
            listed += certificates
            pool += authorities
            defects += left_out
        return DirectoryEntry(
            source=self._name,
            identifier=user.external_id or user.primary_address,
            name=user.display_name,
            primary=user.primary_address,
            proxies=user.proxy_addresses,
            certificates=tuple(dict.fromkeys(listed)),
            pool=tuple(dict.fromkeys(pool)),
            members=user.members,
            defects=tuple(defects),
        )

    def _harvested(self, address: str, records: Iterable[HarvestedCertificate]) -> DirectoryEntry:
        listed: list[ListedCertificate] = []
        pool: dict[Certificate, None] = {}
        defects: list[str] = []
        for record in records:
            try:
                certificate = Certificate.parse(record.certificate)
                pool.update(dict.fromkeys(map(Certificate.parse, record.chain)))
            except MalformedMessage as error:
                defects.append(f"a harvested certificate left out: {error}")
                continue
            listed.append(
                ListedCertificate(
                    certificate=certificate,
                    origin=Origin.PINNED if record.pinned else Origin.SIGNED_MAIL,
                    standing=Standing.PREFERRED if record.preferred else Standing.LISTED,
                    capabilities=_capabilities(record.capabilities),
                )
            )
        return DirectoryEntry(
            source=self._name,
            identifier=address,
            primary=address,
            certificates=tuple(listed),
            pool=tuple(pool),
            defects=tuple(defects),
        )


def _values(values: Iterable[DirectoryValue], attribute: str) -> list[bytes]:
    return [value.value for value in values if value.attribute.lower() == attribute]


def _capabilities(encoded: bytes | None) -> tuple[Capability, ...] | None:
    if encoded is None:
        return None
    try:
        return parse_capabilities(encoded)
    except MalformedMessage:
        return None
