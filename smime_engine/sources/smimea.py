"""SMIMEA records as a source of certificates: asked from one resolver that validates DNSSEC.

Only answers that the resolver vouches for (the AD bit) count. So the way to it must be safe: the resolver is on this
machine or in a network that is trusted; on 127.0.0.1 nobody is in between. An answer without AD is no answer at all: it
is as good as what a stranger says.

Does: ask over UDP, then TCP where the answer is cut; several at once. Does not: validate signatures itself, or cache.
Needs dnspython (extra `dns`).

Standards: RFC 8162, RFC 4035 section 3.2.3 (AD), RFC 6840 section 5.7 (asking for it).
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

from smime_engine.directory.entries import Answer, DirectoryEntry, SourceFailure
from smime_engine.directory.smimea import SmimeaRecord, entry_of_records, smimea_name
from smime_engine.errors import SourceUnavailable

__all__ = ["SmimeaSource"]

_AT_ONCE = 32
_UNSIGNED: list[SmimeaRecord] = []
"""Stands for records that nobody vouches for."""


class SmimeaSource:
    """A resolver."""

    def __init__(self, name: str, *, resolver: str = "127.0.0.1", port: int = 53, seconds: float = 5.0) -> None:
        try:
            import dns.asyncquery  # noqa: PLC0415 - an extra
            import dns.message  # noqa: PLC0415
        except ImportError as error:
            raise SourceUnavailable("SMIMEA records need dnspython: install smime-engine[dns]") from error
        self._dns: Any = dns
        self._name = name
        self._resolver = resolver
        self._port = port
        self._seconds = seconds
        self._turns = asyncio.Semaphore(_AT_ONCE)

    @property
    def name(self) -> str:
        """The name that its entries carry."""
        return self._name

    async def look_up(self, addresses: Sequence[str]) -> tuple[Answer, ...]:
        """An answer for each address, in their order."""
        return tuple(await asyncio.gather(*map(self._look_up, addresses)))

    async def look_up_members(self, members: Sequence[str]) -> Mapping[str, DirectoryEntry | None]:
        """DNS holds no groups."""
        return dict.fromkeys(members)

    async def aclose(self) -> None:
        """Nothing to do."""

    async def _look_up(self, address: str) -> Answer:
        name = smimea_name(address)
        if name is None:
            return Answer(address=address)
        try:
            async with self._turns:
                records = await self._records(name)
        except SourceUnavailable as error:
            return Answer(address=address, failures=(SourceFailure(source=self._name, text=str(error)),))
        if records is _UNSIGNED:
            defects = ("the records are not signed (DNSSEC), and do not count",)
            entry: DirectoryEntry | None
            entry = DirectoryEntry(source=self._name, identifier=name, primary=address, defects=defects)
        else:
            entry = entry_of_records(address, records, source=self._name)
        return Answer(address=address, entries=() if entry is None else (entry,))

    async def _records(self, name: str) -> list[SmimeaRecord]:
        dns = self._dns
        try:
            query = dns.message.make_query(name, "SMIMEA", want_dnssec=True)
            query.flags |= dns.flags.AD
            reply, _ = await dns.asyncquery.udp_with_fallback(
                query, self._resolver, port=self._port, timeout=self._seconds
            )
        except (dns.exception.DNSException, OSError, ValueError, EOFError) as error:
            said = str(error) or type(error).__name__
            raise SourceUnavailable(f"DNS resolver {self._resolver}: {said[:200]}") from error
        code = reply.rcode()
        if code not in {dns.rcode.NOERROR, dns.rcode.NXDOMAIN}:
            # SERVFAIL is also what a validating resolver says about signatures that are wrong.
            raise SourceUnavailable(f"DNS resolver {self._resolver}: {dns.rcode.to_text(code)}")
        if not reply.flags & dns.flags.AD:
            if any(rrset.rdtype == dns.rdatatype.SMIMEA for rrset in reply.answer):
                return _UNSIGNED
            return []  # an unsigned zone has no say, and says nothing
        wanted = dns.name.from_text(name)
        owners = _aliases(dns, reply, wanted)
        return [
            SmimeaRecord(found.usage, found.selector, found.mtype, found.cert)
            for rrset in reply.answer
            if rrset.rdtype == dns.rdatatype.SMIMEA and rrset.name in owners
            for found in rrset
        ]


def _aliases(dns: Any, reply: Any, wanted: Any) -> set[Any]:
    """The name that was asked for, and those that it is an alias of."""
    aliases = {rrset.name: rrset[0].target for rrset in reply.answer if rrset.rdtype == dns.rdatatype.CNAME}
    owners = {wanted}
    while wanted in aliases and aliases[wanted] not in owners:
        wanted = aliases[wanted]
        owners.add(wanted)
    return owners
