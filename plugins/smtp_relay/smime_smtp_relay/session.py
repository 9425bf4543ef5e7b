"""One client's mail transactions.

Does: MAIL and RCPT passed on to the next hop while the client waits, DATA read in large pieces (RFC 5321); bounds time
and memory. Does not: greet, secure and authenticate (`greeting`), look into messages or decide what happens to them
(`gateway`).

aiosmtpd reads DATA line by line, refuses lines of more than 1,000 octets, does not know DSN parameters, and counts
its time-out through our delivery; all of that is replaced here.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Coroutine
from time import monotonic
from typing import Any

from smime_smtp_relay.config import Listener
from smime_smtp_relay.connection import NextHopUnavailable
from smime_smtp_relay.delivery import Transaction
from smime_smtp_relay.dispatch import Submission
from smime_smtp_relay.envelope import UNKNOWN_CLIENT, CommandRefused, MailCommand, RecipientCommand
from smime_smtp_relay.gateway import Gateway
from smime_smtp_relay.greeting import GOODBYE, GreetedSession
from smime_smtp_relay.incoming import IncomingMessage
from smime_smtp_relay.parcels import Order
from smime_smtp_relay.replies import Reply
from smime_smtp_relay.trace import Arrival, new_identifier

__all__ = ["RelaySession"]

_CHUNK = 4 * 1024 * 1024
"""More than a transport ever hands over at once: `read` then leaves nothing behind in the reader."""

_TOO_LARGE = Reply(code=552, enhanced="5.3.4", text="the message is larger than this gateway takes")
_NO_MEMORY = Reply(code=452, enhanced="4.3.1", text="too many messages at a time")


class RelaySession(GreetedSession):
    """A session on one listener."""

    def __init__(self, gateway: Gateway, listener: Listener, tls: ssl.SSLContext | None) -> None:
        self._mail: MailCommand | None = None
        self._transaction: Transaction | None = None
        self._recipients: list[RecipientCommand] = []
        self._lmtp = listener.protocol == "lmtp"
        self._direction = listener.direction
        self._forwarded = UNKNOWN_CLIENT
        self._held = 0
        super().__init__(gateway, listener, tls)

    @property
    def _in_transaction(self) -> bool:
        return self._mail is not None

    def connection_lost(self, error: Exception | None) -> None:
        """Forget the session; an open transaction at the next hop is reset."""
        super().connection_lost(error)
        transaction, self._transaction = self._transaction, None
        if transaction is not None:
            self._gateway.in_background(transaction.abandon())

    async def smtp_MAIL(self, argument: str | None) -> None:  # noqa: N802 - aiosmtpd's naming
        """MAIL: checked here, then said to the next hop, whose reply is the client's."""
        if await self.check_helo_needed("EHLO"):
            return
        if self._demands_authentication and self._user is None:
            await self.push("530 5.7.0 authentication required")
            return
        if self._draining:
            self._say_goodbye(GOODBYE)
            return
        try:
            if self._transaction is not None:
                raise CommandRefused(Reply(code=503, enhanced="5.5.1", text="a transaction is already open"))  # noqa: TRY301
            command = MailCommand.parse(argument)
            self._check(command)
        except CommandRefused as refused:
            await self._answer(refused.reply)
            return
        self._transaction = Transaction(self._gateway.pool, self._forwarded)
        self._mail = command
        reply = await self._next_hop(self._transaction.mail(command))
        await self._answer(reply)
        if not reply.positive:
            await self._abandon()

    async def smtp_RCPT(self, argument: str | None) -> None:  # noqa: N802 - aiosmtpd's naming
        """RCPT: said to the next hop, whose reply is the client's."""
        try:
            if self._transaction is None or self._mail is None:
                raise CommandRefused(Reply(code=503, enhanced="5.5.1", text="MAIL comes first"))  # noqa: TRY301
            if len(self._recipients) >= self._limits.recipients:
                raise CommandRefused(Reply(code=452, enhanced="4.5.3", text="too many recipients"))  # noqa: TRY301
            command = RecipientCommand.parse(argument, utf8=self._mail.utf8)
        except CommandRefused as refused:
            await self._answer(refused.reply)
            return
        now = self._gateway.clock()
        planner = self._gateway.planners[self._direction]
        reply = await planner.refusal_at_rcpt(self._mail.sender, command.recipient, now=now)
        if reply is None:
            reply = await self._next_hop(self._transaction.recipient(command))
            if reply.positive:
                self._recipients.append(command)
        await self._answer(reply)

    async def smtp_DATA(self, argument: str | None) -> None:  # noqa: N802 - aiosmtpd's naming
        """DATA: the content is read whole, processed and delivered; the reply is that of the next hop."""
        if argument:
            await self.push("501 5.5.4 DATA has no argument")
            return
        if self._transaction is None:
            await self.push("503 5.5.1 MAIL comes first")
            return
        if not self._recipients:
            await self.push("554 5.5.1 no valid recipients")
            return
        await self.push("354 end with <CRLF>.<CRLF>")
        try:
            incoming = IncomingMessage(self._limits.message_size)
            refusal = await self._received(incoming)
            replies = (refusal,) if refusal else await self._processed(incoming.message())
        finally:
            self._gateway.memory.give_back(self._held)
            self._held = 0
        if self._lmtp and len(replies) == 1:
            # RFC 2033 section 4.2: one reply for each recipient that was accepted.
            replies *= len(self._recipients)
        for reply in replies:
            await self._answer(reply)
        await self._abandon()
        if self._draining:
            self._say_goodbye(GOODBYE)

    async def smtp_XFORWARD(self, argument: str | None) -> None:  # noqa: N802 - aiosmtpd's naming
        """XFORWARD: where the server in front of us has the next message from (Postfix's XFORWARD_README)."""
        try:
            if not self._may_forward:
                raise CommandRefused(Reply(code=550, enhanced="5.7.1", text="not from here"))  # noqa: TRY301
            if self._in_transaction:
                raise CommandRefused(Reply(code=503, enhanced="5.5.1", text="not within a transaction"))  # noqa: TRY301
            self._forwarded = self._forwarded.including(argument)
        except CommandRefused as refused:
            await self._answer(refused.reply)
        else:
            await self.push("250 2.0.0 OK")

    async def smtp_RSET(self, argument: str | None) -> None:  # noqa: N802 - aiosmtpd's naming
        """RSET."""
        if argument:
            await self.push("501 5.5.4 RSET has no argument")
            return
        await self._abandon()
        await self.push("250 2.0.0 OK")

    async def smtp_VRFY(self, argument: str | None) -> None:  # noqa: N802 - aiosmtpd's naming
        """VRFY, without an answer, as RFC 5321 section 7.3 allows."""
        await self.push("252 2.1.5 send some mail, and you will see" if argument else "501 5.5.4 VRFY needs an address")

    async def smtp_HELP(self, _: str | None) -> None:  # noqa: N802 - aiosmtpd's naming
        """HELP."""
        await self.push("214 2.0.0 this gateway speaks RFC 5321")

    def _check(self, command: MailCommand) -> None:
        assert self.session is not None
        if (command.size or 0) > self._limits.message_size:
            raise CommandRefused(_TOO_LARGE)
        if self._user is not None and command.sender and not self._gateway.owns(self._user, command.sender):
            raise CommandRefused(Reply(code=553, enhanced="5.7.1", text="this is not an address of the user"))

    async def _answer(self, reply: Reply) -> None:
        self._writer.write(reply.encode(utf8=self._mail is not None and self._mail.utf8) + b"\r\n")
        await self._writer.drain()

    async def _next_hop(self, exchange: Coroutine[Any, Any, Reply]) -> Reply:
        self._pause_timeout()
        try:
            reply = await exchange
        except NextHopUnavailable as error:
            self._gateway.trouble = f"next hop: {error.reply}"
            self._gateway.metrics.count("smime_relay_next_hop_failures_total")
            self._gateway.log.warning("next_hop.unavailable", client=self.client, detail=error.detail)
            return error.reply
        else:
            self._gateway.trouble = ""
            return reply
        finally:
            self._reset_timeout()

    async def _abandon(self) -> None:
        transaction, self._transaction = self._transaction, None
        self._mail = None
        self._recipients = []
        self._forwarded = UNKNOWN_CLIENT
        if transaction is not None:
            await transaction.abandon()

    async def _received(self, incoming: IncomingMessage) -> Reply | None:
        """Read until the end of the content; why it cannot be taken, if so."""
        limits = self._limits
        started = monotonic()
        rest = None
        while rest is None:
            # Slow loris: silence is bounded, and so is the average over the whole content.
            spare = limits.data_timeout + incoming.received / limits.data_rate - (monotonic() - started)
            self._reset_timeout(max(0.01, min(limits.data_timeout, spare)))
            chunk = await self._reader.read(_CHUNK)
            if not chunk:
                raise asyncio.CancelledError
            rest = incoming.feed(chunk)
            self._account(incoming, len(chunk))
            if incoming.received > 2 * limits.message_size + _CHUNK:
                self._say_goodbye(Reply(code=421, enhanced="4.3.4", text="far too large"))
        self._reset_timeout()
        if rest:
            # The client pipelined (RFC 2920): what follows the end is its next command.
            self._reader.feed_data(rest)
        if not incoming.discarded:
            return None
        return _TOO_LARGE if incoming.received > limits.message_size else _NO_MEMORY

    def _account(self, incoming: IncomingMessage, size: int) -> None:
        if incoming.discarded:
            return
        if self._gateway.memory.take(size):
            self._held += size
        else:
            incoming.discard()

    async def _processed(self, message: bytes) -> tuple[Reply, ...]:
        assert self.session is not None
        assert self._mail is not None
        assert self._transaction is not None
        recipients = tuple(self._recipients)
        arrival = Arrival(
            client=self.client,
            greeting=self.session.host_name or "",
            protocol=self._transmission_type(),
            utf8=self._mail.utf8,
            recipients=tuple(command.recipient for command in recipients),
            identifier=new_identifier(),
        )
        submission = Submission(
            order=Order(
                message=message, mail=self._mail, recipients=recipients, user=self._user, forwarded=self._forwarded
            ),
            arrival=arrival,
            transaction=self._transaction,
            wanted=lambda: self.transport is not None and not self.transport.is_closing(),
            one_reply=not self._lmtp,
        )
        # From here on the submission owns the transaction. Should the client go away, the delivery still ends in an
        # orderly way: cut off in the middle, nobody would know whether the next hop has the message.
        self._transaction = None
        self._pause_timeout()
        try:
            return (await asyncio.shield(self._gateway.submit(submission, self._direction))).replies
        finally:
            self._reset_timeout()

    def _transmission_type(self) -> str:
        """The transmission type for the trace field (RFC 3848, RFC 6531 section 4.3)."""
        assert self.session is not None
        if not self.session.extended_smtp:
            return "SMTP"
        name = "LMTP" if self._lmtp else "SMTP"
        prefix = "UTF8" if self._mail is not None and self._mail.utf8 else "" if self._lmtp else "E"
        return prefix + name + ("S" if self._secure else "") + ("A" if self._user is not None else "")

    def _pause_timeout(self) -> None:
        """Our client waits for us, not we for it."""
        if self._timeout_handle is not None:
            self._timeout_handle.cancel()
