"""Delivery to the next hop: kept connections, and mail transactions that mirror our client's.

Does: keep a bounded pool of connections, last used first; open a transaction when the client says MAIL, pass every
RCPT on while the client waits, and hand over the content once; return what the next hop said. Does not: queue, store
or retry anything that may have been delivered. A message is always either at the client or at the next hop, so
nothing is lost when this process dies, and 250 is said only after the next hop's 250.

A kept connection may be dead without our knowing. Until the content's end went out nothing can have been delivered,
so one lost connection per transaction is replaced and MAIL and RCPT are said again; the transaction goes on only if
the next hop answers as it did before.
"""

from __future__ import annotations

import asyncio
import ssl
from collections import deque
from contextlib import suppress
from time import monotonic

from smime_smtp_relay.config import NextHop
from smime_smtp_relay.connection import Connection, NextHopUnavailable
from smime_smtp_relay.envelope import UNKNOWN_CLIENT, ForwardedClient, MailCommand, RecipientCommand
from smime_smtp_relay.replies import Reply

__all__ = ["Pool", "Transaction"]

_NOT_SO_BEFORE = Reply(code=451, enhanced="4.4.2", text="the next hop changed its mind after a lost connection")
_NO_UTF8 = Reply(code=550, enhanced="5.6.7", text="the next hop does not take addresses outside ASCII")
_LOST = Reply(code=451, enhanced="4.4.2", text="the connection to the next hop was lost")
_BUSY = Reply(code=451, enhanced="4.3.2", text="all connections to the next hop are busy")
_SWEEP = 5.0


class Pool:
    """Connections to the next hop: at most `next_hop.connections`, kept for `next_hop.idle` seconds."""

    def __init__(
        self, next_hop: NextHop, context: ssl.SSLContext | None, *, hostname: str, password: str | None = None
    ) -> None:
        self._next_hop = next_hop
        self._context = context
        self._hostname = hostname
        self._password = password
        self._idle: deque[Connection] = deque()
        self._free = asyncio.Semaphore(next_hop.connections)
        self._sweeper: asyncio.Task[None] | None = None
        self.opened = 0
        """Connections opened so far."""
        self.extensions: frozenset[str] | None = None
        """The next hop's EHLO keywords, lower case, as last seen; None before the first connection."""

    async def acquire(self, *, fresh: bool = False) -> Connection:
        """A connection of one's own; give it back with `release`. NextHopUnavailable when there is none."""
        try:
            async with asyncio.timeout(self._next_hop.wait):
                await self._free.acquire()
        except TimeoutError as error:
            raise NextHopUnavailable(_BUSY, "every connection of the pool is in use") from error
        try:
            return await self._taken(fresh=fresh)
        except BaseException:
            self._free.release()
            raise

    def release(self, connection: Connection) -> None:
        """Give back a connection that stands between two transactions, or a closed one."""
        self._free.release()
        if connection.usable:
            self._idle.append(connection)
            if self._sweeper is None:
                self._sweeper = asyncio.create_task(self._sweep())
        else:
            connection.close()

    async def close(self) -> None:
        """Say goodbye on every idle connection."""
        if self._sweeper is not None:
            self._sweeper.cancel()
            with suppress(asyncio.CancelledError):
                await self._sweeper
            self._sweeper = None
        idle, self._idle = self._idle, deque()
        await asyncio.gather(*(connection.quit() for connection in idle))

    async def _taken(self, *, fresh: bool) -> Connection:
        while self._idle and not fresh:
            connection = self._idle.pop()
            if connection.usable and monotonic() - connection.used_at < self._next_hop.idle:
                return connection
            connection.close()
        connection = await Connection.open(
            self._next_hop, self._context, hostname=self._hostname, password=self._password
        )
        self.opened += 1
        self.extensions = connection.extensions
        return connection

    async def _sweep(self) -> None:
        while True:
            await asyncio.sleep(min(_SWEEP, self._next_hop.idle))
            oldest = monotonic() - self._next_hop.idle
            while self._idle and self._idle[0].used_at < oldest:
                await self._idle.popleft().quit()


class Transaction:
    """One mail transaction at the next hop. After `deliver` or `abandon` it is over."""

    def __init__(self, pool: Pool, forwarded: ForwardedClient = UNKNOWN_CLIENT) -> None:
        """`forwarded` is told to a next hop that wants to know where mail comes from (XFORWARD)."""
        self._pool = pool
        self._forwarded = forwarded
        self._connection: Connection | None = None
        self._mail: MailCommand | None = None
        self._recipients: list[RecipientCommand] = []
        self._may_reconnect = True

    @property
    def extensions(self) -> frozenset[str]:
        """EHLO keywords of the next hop, lower case."""
        return frozenset() if self._connection is None else self._connection.extensions

    async def mail(self, command: MailCommand) -> Reply:
        """Open the transaction; the next hop's reply. NextHopUnavailable as for all methods here."""
        self._connection = await self._pool.acquire()
        self._mail = command
        if command.utf8 and "smtputf8" not in self._connection.extensions:
            return _NO_UTF8
        return await self._said(b"MAIL", command)

    async def recipient(self, command: RecipientCommand) -> Reply:
        """Name a recipient; the next hop's reply."""
        reply = await self._said(b"RCPT", command)
        if reply.positive:
            self._recipients.append(command)
        return reply

    async def deliver(self, message: bytes) -> Reply:
        """Hand over the message (lines end in CRLF) for all accepted recipients; the next hop's final reply.

        The transaction is over afterwards, whatever came out. NextHopUnavailable says with `perhaps_delivered`
        whether the message may have arrived.
        """
        try:
            refused = await self._begun_data()
            if refused is not None:
                return refused
            connection = self._connected()
            reply = await connection.content(message)
        except BaseException:
            self._drop()
            raise
        self._connection = None
        self._pool.release(connection)
        return reply

    async def abandon(self) -> None:
        """End the transaction without delivering; never fails."""
        connection, self._connection = self._connection, None
        if connection is None:
            return
        try:
            with suppress(NextHopUnavailable):
                if not (await connection.command(b"RSET")).positive:
                    connection.close()
        finally:
            self._pool.release(connection)

    async def _begun_data(self) -> Reply | None:
        connection = self._connected()
        try:
            refused = await connection.begin_data()
        except NextHopUnavailable as error:
            refused = await (await self._reconnected(error)).begin_data()
        if refused is not None:
            await self.abandon()
        return refused

    async def _said(self, verb: bytes, command: MailCommand | RecipientCommand) -> Reply:
        connection = self._connected()
        opened = verb != b"MAIL"
        try:
            if not opened:
                await self._forward(connection)
            return await connection.command(verb, command.encode(connection.extensions))
        except NextHopUnavailable as error:
            connection = await self._reconnected(error, opened=opened)
            if not opened:
                await self._forward(connection)
            return await connection.command(verb, command.encode(connection.extensions))

    async def _forward(self, connection: Connection) -> None:
        """Tell where the mail comes from; a next hop that does not believe us (5yz) is not asked again."""
        argument = self._forwarded.encode(connection.forwarding)
        if argument is not None and not (await connection.command(b"XFORWARD", argument)).positive:
            connection.forwarding = frozenset()

    async def _reconnected(self, error: NextHopUnavailable, *, opened: bool = True) -> Connection:
        """Replace the lost connection, once, and bring the new one to where the old one was."""
        # A next hop that is silent for minutes would be so again, and our client does not wait that long.
        if not self._may_reconnect or isinstance(error.__cause__, TimeoutError):
            self._drop()
            raise error
        self._may_reconnect = False
        self._drop()
        self._connection = connection = await self._pool.acquire(fresh=True)
        if opened:
            assert self._mail is not None
            await self._forward(connection)
            said = [(b"MAIL", self._mail.encode(connection.extensions))]
            said += [(b"RCPT", recipient.encode(connection.extensions)) for recipient in self._recipients]
            for verb, argument in said:
                if not (await connection.command(verb, argument)).positive:
                    # Going on would deliver to fewer recipients than our client was told.
                    self._drop()
                    raise NextHopUnavailable(_NOT_SO_BEFORE, "refused what it had accepted before")
        return connection

    def _connected(self) -> Connection:
        if self._connection is None:
            raise NextHopUnavailable(_LOST, "the connection was lost earlier in this transaction")
        return self._connection

    def _drop(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()
            self._pool.release(connection)
