"""A small DNS server for SMIMEA records, over UDP and TCP on the loopback interface.

    async with DnsServer({name: [record, …]}) as server: server.port

Its answers carry the AD bit where `validated` says so, as those of a resolver that checks DNSSEC do. Over UDP an answer
of more than 1,232 octets is cut.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Self

import dns.exception
import dns.flags
import dns.message
import dns.rcode
import dns.rdatatype
import dns.rrset


class DnsServer(asyncio.DatagramProtocol):
    """`records` maps names (with final dot) to records as text; `code` is said instead of an answer."""

    def __init__(
        self,
        records: Mapping[str, Sequence[str]],
        *,
        validated: bool = True,
        code: int = 0,
        aliases: Mapping[str, str] | None = None,
        raw: bytes | None = None,
    ) -> None:
        self._records = records
        self._validated = validated
        self._code = code
        self._aliases = aliases or {}
        self._raw = raw
        self.asked: list[str] = []
        self.port = 0

    async def __aenter__(self) -> Self:
        loop = asyncio.get_running_loop()
        self._tcp = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._tcp.sockets[0].getsockname()[1]
        self._udp, _ = await loop.create_datagram_endpoint(lambda: self, local_addr=("127.0.0.1", self.port))
        return self

    async def __aexit__(self, *_: object) -> None:
        self._udp.close()
        self._tcp.close()
        await self._tcp.wait_closed()

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        reply = self._reply(data)
        if len(reply) > 1_232:
            cut = dns.message.make_response(dns.message.from_wire(data))
            cut.flags |= dns.flags.TC
            reply = cut.to_wire()
        self._udp.sendto(reply, addr)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        size = int.from_bytes(await reader.readexactly(2), "big")
        reply = self._reply(await reader.readexactly(size))
        writer.write(len(reply).to_bytes(2, "big") + reply)
        await writer.drain()
        writer.close()
        await writer.wait_closed()

    def _reply(self, data: bytes) -> bytes:
        query = dns.message.from_wire(data)
        if self._raw is not None:
            return data[:2] + self._raw
        name = query.question[0].name.to_text()
        self.asked.append(name)
        reply = dns.message.make_response(query)
        if self._validated and query.flags & dns.flags.AD:
            reply.flags |= dns.flags.AD
        if name in self._aliases:
            reply.answer.append(dns.rrset.from_text(name, 60, "IN", "CNAME", self._aliases[name]))
            name = self._aliases[name]
        records = self._records.get(name)
        if records:
            reply.answer.append(dns.rrset.from_text(name, 60, "IN", "SMIMEA", *records))
        if self._code:
            reply.set_rcode(self._code)
        elif not records:
            reply.set_rcode(dns.rcode.NXDOMAIN)
        return reply.to_wire(max_size=65_535)
