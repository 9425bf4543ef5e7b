"""A small LDAP server for what OpenLDAP does not do: ranges of values, references, silence, names that are no text.

    async with LdapServer(answer) as server: server.url

`answer` gets each search request and returns what to send: entries, references, a result code; None for silence.
Every other operation is answered with success.

Standards: RFC 4511 (the ASN.1 of sections 4.2, 4.5).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Self

from smime_engine.asn1 import ber

Attributes = dict[str, list[bytes]]


@dataclass(frozen=True)
class Search:
    """A request."""

    base: str
    scope: int
    attributes: tuple[str, ...]


@dataclass(frozen=True)
class Reply:
    """What is sent back."""

    entries: tuple[tuple[bytes, Attributes], ...] = ()
    references: tuple[str, ...] = ()
    code: int = 0


class LdapServer:
    """The server; `searches` are the requests that it got."""

    def __init__(self, answer: Callable[[Search], Reply | None]) -> None:
        self._answer = answer
        self.searches: list[Search] = []
        self._server: asyncio.Server | None = None
        self._clients: dict[asyncio.StreamWriter, asyncio.Task[None] | None] = {}

    @property
    def url(self) -> str:
        assert self._server is not None
        return f"ldap://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        clients = dict(self._clients)
        for writer in clients:
            writer.close()
        await asyncio.gather(*(task for task in clients.values() if task is not None), return_exceptions=True)
        await self._server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._clients[writer] = asyncio.current_task()
        try:
            while True:
                message = await _read_message(reader)
                for reply in self._replies(message):
                    writer.write(reply)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()
        finally:
            del self._clients[writer]

    def _replies(self, message: bytes) -> list[bytes]:
        start, end = ber.content(message, 0, len(message), 0x30, expected="an LDAPMessage")
        (_, first, _, last), (tag, _, inner, inner_end), *_ = ber.children(message, start, end)
        number = message[first:last]
        if tag == 0x42:  # unbind
            return []
        if tag != 0x63:
            return [_message(number, tag + 1, _result(0))]
        search = _search(message, inner, inner_end)
        self.searches.append(search)
        reply = self._answer(search)
        if reply is None:
            return []
        return [
            *(_message(number, 0x64, _entry(name, attributes)) for name, attributes in reply.entries),
            *(_message(number, 0x73, _octets(reference.encode())) for reference in reply.references),
            _message(number, 0x65, _result(reply.code)),
        ]


async def _read_message(reader: asyncio.StreamReader) -> bytes:
    head = await reader.readexactly(2)
    if head[1] >= 0x80:
        head += await reader.readexactly(head[1] & 0x7F)
        size = int.from_bytes(head[2:], "big")
    else:
        size = head[1]
    return head + await reader.readexactly(size)


def _search(message: bytes, start: int, end: int) -> Search:
    fields = ber.children(message, start, end)
    texts = ber.children(message, fields[7][2], fields[7][3])
    return Search(
        base=message[fields[0][2] : fields[0][3]].decode(),
        scope=message[fields[1][2]],
        attributes=tuple(message[first:last].decode() for _, _, first, last in texts),
    )


def _message(number: bytes, tag: int, content: bytes) -> bytes:
    return ber.encode(0x30, number, ber.encode(tag, content))


def _octets(value: bytes) -> bytes:
    return ber.encode(0x04, value)


def _result(code: int) -> bytes:
    return ber.encode(0x0A, bytes((code,))) + _octets(b"") + _octets(b"")


def _entry(name: bytes, attributes: Attributes) -> bytes:
    listed = (
        ber.encode(0x30, _octets(description.encode()), ber.encode(0x31, *map(_octets, values)))
        for description, values in attributes.items()
    )
    return _octets(name) + ber.encode(0x30, *listed)
