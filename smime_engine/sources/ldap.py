"""An LDAP directory as a source of certificates: Active Directory, OpenLDAP and their like.

    directory = LdapDirectory("contoso", LdapAccess(servers=("ldaps://dc1.contoso.example",)), base="DC=contoso,…")
    answers = await directory.look_up(addresses)

Does: look up many addresses in few queries, page by page, several queries at once in threads; read the rest of values
that Active Directory gives in ranges; read members of groups, many requests under way on one connection; list and read
everybody for a synchronisation. A query that is too much for the server is halved. Does not: write, follow referrals,
cache, or judge certificates.

Standards: RFC 4511, RFC 4515, RFC 2696 (paging), RFC 4522 (`;binary`), MS-ADTS (ranges).
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

from smime_engine.addresses import comparable_address
from smime_engine.directory.attributes import AttributeNames, entry_from_attributes
from smime_engine.directory.entries import Answer, DirectoryEntry, SourceFailure
from smime_engine.directory.synchronising import IDENTIFIERS
from smime_engine.errors import SourceUnavailable
from smime_engine.limits import DEFAULT_LIMITS, Limits
from smime_engine.sources.ldap_queries import address_filter, batches, requested_attributes, whole_values
from smime_engine.sources.ldap_servers import LdapAccess, LdapServers

__all__ = ["LdapAccess", "LdapDirectory"]

_PAGE = 500
_READS = 100  # requests under way on one connection
_RANGES = 100  # parts of the values of one entry; Active Directory's have 1,500 values each
_NOBODY = ("NO_SUCH_OBJECT", "INVALID_DN_SYNTAX", "REFERRAL", "NOT_ALLOWED_ON_NONLEAF", "INSUFFICIENT_ACCESS")


class LdapDirectory:
    """One directory. Connects when it is first asked. `also` is a filter that every entry must meet."""

    def __init__(
        self,
        name: str,
        access: LdapAccess,
        *,
        base: str,
        names: AttributeNames = AttributeNames(),  # noqa: B008 - immutable
        also: str = "",
        batch: int = 50,
        size_limit: int = 2_000,
        limits: Limits = DEFAULT_LIMITS,
    ) -> None:
        self._name = name
        self._servers = LdapServers(access)
        self._base = base
        self._names = names
        self._also = also
        self._batch = batch
        self._size_limit = size_limit
        self._limits = limits
        self._requested = requested_attributes(names)
        self._threads = ThreadPoolExecutor(access.connections, thread_name_prefix=f"ldap {name}")

    @property
    def name(self) -> str:
        """The name that its entries carry."""
        return self._name

    async def look_up(self, addresses: Sequence[str]) -> tuple[Answer, ...]:
        """An answer for each address, in their order; a batch that fails fails for its own addresses alone."""
        usable = list(dict.fromkeys(filter(comparable_address, addresses)))
        pieces = list(batches(usable, self._batch))
        results = await asyncio.gather(*(self._in_thread(partial(self._look_up_batch, piece)) for piece in pieces))
        answers = {answer.address: answer for result in results for answer in result}
        return tuple(answers.get(address) or Answer(address=address) for address in addresses)

    async def look_up_members(self, members: Sequence[str]) -> Mapping[str, DirectoryEntry | None]:
        """Entries by distinguished name; None for those that are not there, or elsewhere. Raises SourceUnavailable."""
        pieces = list(batches(list(dict.fromkeys(members)), _READS * 10))
        found: dict[str, DirectoryEntry | None] = {}
        for result in await asyncio.gather(*(self._in_thread(partial(self._read_batch, piece)) for piece in pieces)):
            found.update(result)
        return found

    async def aclose(self) -> None:
        """Close the connections; searches under way are waited for."""
        await asyncio.to_thread(self.close)

    def close(self) -> None:
        """The same, blocking."""
        self._threads.shutdown()
        self._servers.close()

    # --- everybody, for synchronisation; these block

    @property
    def attribute_names(self) -> AttributeNames:
        """Which attributes hold what."""
        return self._names

    def list_entries(self, attributes: Sequence[str]) -> Iterator[tuple[str, Mapping[str, Sequence[bytes]]]]:
        """Every entry that has a mail address, with these attributes; page by page, without a limit of ours.

        All are read before the first is handed out, so that a list that breaks off is none. Raises SourceUnavailable.
        """
        present = "".join(f"({name}=*)" for name in (*self._names.mail, *self._names.proxies))
        query = f"(&{self._also}(|{present}))"
        ldap = self._servers.ldap
        try:
            found = self._servers.ask(
                lambda connection: list(self._pages(connection, query, list(attributes), critical=True))
            )
        except (ldap.SIZELIMIT_EXCEEDED, ldap.TIMELIMIT_EXCEEDED, ldap.ADMINLIMIT_EXCEEDED) as error:
            raise SourceUnavailable(f"{self._base}: {self._servers.text_of(error)}: the list is not whole") from error
        yield from ((name, values) for page in found for name, values in page if name is not None)

    def read_entries(self, names: Sequence[str]) -> Iterator[tuple[str, Mapping[str, Sequence[bytes]]]]:
        """Whole entries by distinguished name; those that are gone are left out. Raises SourceUnavailable."""
        wanted = [*self._requested, *IDENTIFIERS]
        for piece in batches(names, _READS):
            found = self._servers.ask(partial(self._read_raw, names=piece, attributes=wanted))
            yield from ((name, values) for name, values in found if values is not None)

    async def _in_thread(self, act: Any) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self._threads, act)

    def _read_raw(
        self, connection: Any, names: Sequence[str], attributes: Sequence[str]
    ) -> list[tuple[str, Mapping[str, Sequence[bytes]] | None]]:
        return list(self._raw(connection, names, attributes))

    # --- addresses, in a thread

    def _look_up_batch(self, addresses: Sequence[str]) -> list[Answer]:
        try:
            entries = self._matching(addresses)
        except SourceUnavailable as error:
            failure = SourceFailure(source=self._name, text=str(error))
            return [Answer(address=address, failures=(failure,)) for address in addresses]
        by_address: dict[str | None, list[DirectoryEntry]] = {}
        for entry in entries:
            # What the server found by rules of its own counts only where the address is really there.
            for comparable in {comparable_address(own) for own in entry.addresses}:
                by_address.setdefault(comparable, []).append(entry)
        return [
            Answer(address=address, entries=tuple(by_address.get(comparable_address(address), ())))
            for address in addresses
        ]

    def _matching(self, addresses: Sequence[str]) -> list[DirectoryEntry]:
        """All entries that have one of the addresses; where that is too much for the server, half by half."""
        ldap = self._servers.ldap
        query = address_filter(addresses, self._names, also=self._also)
        try:
            found = self._servers.ask(lambda connection: self._search(connection, query))
        except (ldap.SIZELIMIT_EXCEEDED, ldap.TIMELIMIT_EXCEEDED, ldap.ADMINLIMIT_EXCEEDED) as error:
            if len(addresses) == 1:
                raise SourceUnavailable(f"{self._base}: {self._servers.text_of(error)}") from error
            middle = len(addresses) // 2
            return [*self._matching(addresses[:middle]), *self._matching(addresses[middle:])]
        return [self._entry(name, attributes) for name, attributes in found]

    def _search(self, connection: Any, query: str) -> list[tuple[str, Mapping[str, Sequence[bytes]]]]:
        """One query, with all values of what it finds."""
        found: list[tuple[str, Mapping[str, Sequence[bytes]]]] = []
        for data in self._pages(connection, query, self._requested, size_limit=self._size_limit):
            found += [
                (name, self._whole(connection, name, attributes)) for name, attributes in data if name is not None
            ]
            if len(found) > self._size_limit:
                raise self._servers.ldap.SIZELIMIT_EXCEEDED({"desc": f"more than {self._size_limit:,} entries"})
        return found

    def _pages(
        self, connection: Any, query: str, attributes: Sequence[str], *, size_limit: int = 0, critical: bool = False
    ) -> Iterator[Any]:
        """One query, page by page. A server that cannot page refuses it where that is `critical`."""
        ldap, seconds = self._servers.ldap, self._servers.access.seconds
        page = ldap.controls.SimplePagedResultsControl(criticality=critical, size=_PAGE, cookie=b"")
        while True:
            message = connection.search_ext(
                self._base,
                ldap.SCOPE_SUBTREE,
                query,
                attributes,
                serverctrls=[page],
                timeout=seconds,
                sizelimit=size_limit,
            )
            _, data, _, controls = connection.result3(message, timeout=seconds)
            yield data
            cookies = [c.cookie for c in controls if c.controlType == page.controlType]
            if not cookies or not cookies[0]:
                return
            page.cookie = cookies[0]

    # --- members, in a thread

    def _read_batch(self, names: Sequence[str]) -> dict[str, DirectoryEntry | None]:
        def read(connection: Any) -> dict[str, DirectoryEntry | None]:
            found: dict[str, DirectoryEntry | None] = {}
            for piece in batches(names, _READS):
                found.update(self._read_at_once(connection, piece))
            return found

        return self._servers.ask(read)

    def _read_at_once(self, connection: Any, names: Iterable[str]) -> Iterator[tuple[str, DirectoryEntry | None]]:
        for name, values in self._raw(connection, names, self._requested):
            yield name, None if values is None else self._entry(name, values)

    def _raw(
        self, connection: Any, names: Iterable[str], attributes: Sequence[str]
    ) -> Iterator[tuple[str, Mapping[str, Sequence[bytes]] | None]]:
        """Send all requests, then collect the answers: all values of each entry, None where there is none."""
        ldap, seconds = self._servers.ldap, self._servers.access.seconds
        messages = [
            (name, connection.search_ext(name, ldap.SCOPE_BASE, "(objectClass=*)", attributes, timeout=seconds))
            for name in names
        ]
        nobody = tuple(getattr(ldap, error) for error in _NOBODY)
        for name, message in messages:
            try:
                _, data = connection.result(message, timeout=seconds)
            except nobody:
                yield name, None
                continue
            whole = (self._whole(connection, found, values) for found, values in data if found is not None)
            yield name, next(whole, None)

    # --- entries

    def _whole(self, connection: Any, name: str, attributes: Any) -> dict[str, list[bytes]]:
        """All values, also those that the server did not give at once."""
        ldap, seconds = self._servers.ldap, self._servers.access.seconds
        values, missing = whole_values(attributes)
        most = max(self._limits.directory_values, self._limits.group_members)
        for _ in range(_RANGES):
            if not missing:
                break
            wanted, *others = missing
            data = connection.search_ext_s(name, ldap.SCOPE_BASE, "(objectClass=*)", [wanted.request], timeout=seconds)
            more, further = whole_values(data[0][1] if data and data[0][0] is not None else {})
            for description, some in more.items():
                values.setdefault(description, []).extend(some)
            # Only what goes on counts: a server that begins again would never end.
            goes_on = [found for found in further if found.start > wanted.start and found.start <= most]
            missing = (*others, *goes_on)
        return values

    def _entry(self, name: str, attributes: Mapping[str, Sequence[bytes]]) -> DirectoryEntry:
        return entry_from_attributes(
            attributes, source=self._name, identifier=name, names=self._names, limits=self._limits
        )
