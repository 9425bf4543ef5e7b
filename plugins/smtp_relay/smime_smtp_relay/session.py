"""One client's SMTP session: aiosmtpd's command loop, TLS and authentication, with our own mail commands.

Does: EHLO with what is true (RFC 5321, PIPELINING RFC 2920, SIZE RFC 1870, 8BITMIME RFC 6152, SMTPUTF8 RFC 6531,
STARTTLS RFC 3207, AUTH PLAIN and LOGIN RFC 4954, DSN RFC 3461, ENHANCEDSTATUSCODES RFC 2034); passes MAIL and RCPT on
to the next hop while the client waits; reads DATA in large pieces; bounds time, memory, sessions and failed logins.
Does not: look into messages or decide what happens to them (`gateway`).

aiosmtpd reads DATA line by line, refuses lines of more than 1,000 octets, does not know DSN parameters, counts its
time-out through our delivery, and logs commands and content; all of that is replaced here.
"""

from __future__ import annotations

import asyncio
import ssl
from base64 import b64decode
from collections import defaultdict
from collections.abc import Coroutine
from time import monotonic
from typing import Any

from aiosmtpd.smtp import MISSING, SMTP, AuthResult

from smime_smtp_relay.config import Listener
from smime_smtp_relay.connection import NextHopUnavailable
from smime_smtp_relay.delivery import Transaction
from smime_smtp_relay.envelope import CommandRefused, MailCommand, RecipientCommand
from smime_smtp_relay.gateway import Gateway, Submission
from smime_smtp_relay.incoming import IncomingMessage
from smime_smtp_relay.replies import Reply
from smime_smtp_relay.trace import Arrival, new_identifier

__all__ = ["RelaySession"]

_CHUNK = 4 * 1024 * 1024
"""More than a transport ever hands over at once: `read` then leaves nothing behind in the reader."""

_COMMAND_LENGTH = 2_048
"""RFC 5321 allows 512 octets, SIZE, BODY, SMTPUTF8 and DSN add more; AUTH may be longer (RFC 4954 section 4)."""

# Commands that do nothing may not be said for ever; mail commands may, on a kept connection.
_CALLS = {"*": 1_000_000_000, "NOOP": 200, "VRFY": 50, "EXPN": 50, "HELP": 50, "EHLO": 50, "HELO": 50, "AUTH": 20}

_TOO_LARGE = Reply(code=552, enhanced="5.3.4", text="the message is larger than this gateway takes")
_NO_MEMORY = Reply(code=452, enhanced="4.3.1", text="too many messages at a time")
_LOCAL_ERROR = Reply(code=451, enhanced="4.3.0", text="local error")
_GOODBYE = Reply(code=421, enhanced="4.3.2", text="the service is shutting down")
_TIMEOUT = Reply(code=421, enhanced="4.4.2", text="timeout")
_TOO_MANY_SESSIONS = Reply(code=421, enhanced="4.7.0", text="too many connections")


class RelaySession(SMTP):
    """A session on one listener."""

    # The reader's limit: longest line that the command loop waits for; DATA is read without lines.
    line_length_limit = 16_384

    def __init__(self, gateway: Gateway, listener: Listener, tls: ssl.SSLContext | None) -> None:
        limits = gateway.configuration.limits
        self._gateway = gateway
        self._limits = limits
        self._implicit_tls = listener.tls == "implicit"
        self._offers_authentication = listener.authentication != "none"
        self._demands_authentication = listener.authentication == "required"
        self._admitted = False
        self._greeted = False
        self._draining = False
        self._failed_logins = 0
        self._user: str | None = None
        self._mail: MailCommand | None = None
        self._transaction: Transaction | None = None
        self._recipients: list[str] = []
        self._held = 0
        # aiosmtpd's own dictionary is shared by all sessions, and each new one empties it.
        self.command_size_limits = defaultdict(lambda: _COMMAND_LENGTH, AUTH=self.line_length_limit)
        self.command_size_limit = _COMMAND_LENGTH
        super().__init__(
            object(),
            data_size_limit=limits.message_size,
            enable_SMTPUTF8=True,
            hostname=gateway.configuration.hostname,
            ident="ESMTP",
            tls_context=None if self._implicit_tls else tls,
            require_starttls=listener.tls == "required",
            timeout=limits.command_timeout,
            auth_require_tls=not self._implicit_tls,
            command_call_limit=_CALLS,
            loop=asyncio.get_running_loop(),
        )
        self.command_size_limits["AUTH"] = self.line_length_limit

    # ------------------------------------------------------------------------------------------------ connection

    @property
    def client(self) -> str:
        """The client's IP address."""
        peer: object = None if self.session is None else self.session.peer
        return str(peer[0]) if isinstance(peer, tuple) else "unknown"

    def drain(self) -> None:
        """Finish the running transaction, if there is one, and then say 421."""
        self._draining = True
        if self._mail is None and self._greeted:
            self._say_goodbye(_GOODBYE)

    def cut(self) -> None:
        """End at once: the client keeps what it has no reply for."""
        self._say_goodbye(_GOODBYE)

    def connection_lost(self, error: Exception | None) -> None:
        """Forget the session; an open transaction at the next hop is reset."""
        super().connection_lost(error)
        if self._admitted:
            self._admitted = False
            self._gateway.left(self)
        transaction, self._transaction = self._transaction, None
        if transaction is not None:
            self._gateway.in_background(transaction.abandon())

    def _timeout_cb(self) -> None:
        self._say_goodbye(_TIMEOUT)

    def _say_goodbye(self, reply: Reply) -> None:
        if isinstance(self.transport, asyncio.WriteTransport) and not self.transport.is_closing():
            self.transport.write(reply.encode() + b"\r\n")
            self.transport.close()

    async def _handle_client(self) -> None:
        # Counted before the greeting, so that a flood of connections costs one line each.
        self._admitted = self._gateway.entered(self)
        if not self._admitted:
            self._say_goodbye(_TOO_MANY_SESSIONS)
            return
        await super()._handle_client()

    async def handle_exception(self, error: Exception) -> str:
        """Answer a programming or system error without telling the client about it."""
        self._gateway.log.error("session.error", client=self.client, exc_info=error)
        await self._abandon()
        return _LOCAL_ERROR.encode().decode()

    async def push(self, status: str | bytes) -> None:
        """Send a reply of aiosmtpd's own, with an enhanced status code (RFC 2034) where one belongs."""
        line = status if isinstance(status, bytes) else status.encode("utf-8", "replace")
        # The greeting has none, nor have intermediate replies (3yz).
        if self._greeted and not line.startswith(b"3"):
            line = Reply.of(int(line[:3]), line[4:].decode("utf-8", "replace")).encode()
        self._greeted = True
        await super().push(line)

    async def _answer(self, reply: Reply) -> None:
        self._writer.write(reply.encode(utf8=self._mail is not None and self._mail.utf8) + b"\r\n")
        await self._writer.drain()

    # -------------------------------------------------------------------------------------------------- greeting

    async def smtp_HELO(self, hostname: str | None) -> None:  # noqa: N802 - aiosmtpd's naming
        """HELO, without extensions."""
        await self._hello(hostname, extended=False)

    async def smtp_EHLO(self, hostname: str | None) -> None:  # noqa: N802 - aiosmtpd's naming
        """EHLO."""
        await self._hello(hostname, extended=True)

    async def _hello(self, hostname: str | None, *, extended: bool) -> None:
        if not hostname or not hostname.isprintable():
            await self.push("501 5.5.4 a host name must be given")
            return
        await self._abandon()
        assert self.session is not None
        self.session.host_name = hostname
        self.session.extended_smtp = extended
        lines = [self.hostname, *(self._extensions() if extended else ())]
        replies = [f"250-{line}" for line in lines[:-1]] + [f"250 {lines[-1]}"]
        await super().push("\r\n".join(replies))

    def _extensions(self) -> list[str]:
        # Before the first connection to the next hop everything is offered: a refusal then is temporary.
        known = self._gateway.pool.extensions
        lines = ["PIPELINING", f"SIZE {self._limits.message_size}", "ENHANCEDSTATUSCODES", "8BITMIME"]
        lines += [keyword for keyword in ("SMTPUTF8", "DSN") if known is None or keyword.lower() in known]
        if self.tls_context is not None and self._tls_protocol is None:
            lines.append("STARTTLS")
        if self._offers_authentication and self._secure and self._user is None:
            lines.append("AUTH PLAIN LOGIN")
        return lines

    @property
    def _secure(self) -> bool:
        return self._implicit_tls or self._tls_protocol is not None

    async def smtp_STARTTLS(self, argument: str | None) -> None:  # noqa: N802 - aiosmtpd's naming
        """STARTTLS; everything the client said before is forgotten (RFC 3207 section 4.2)."""
        if self._secure:
            await self.push("503 5.5.1 TLS is already active")
            return
        await self._abandon()
        await super().smtp_STARTTLS(argument or "")

    # -------------------------------------------------------------------------------------------- authentication

    async def smtp_AUTH(self, argument: str | None) -> None:  # noqa: N802 - aiosmtpd's naming
        """AUTH; mechanism names are compared without regard to case (RFC 4954 section 4)."""
        if not self._offers_authentication:
            await self.push("502 5.5.1 authentication is not offered here")
        elif self._transaction is not None:
            await self.push("503 5.5.1 not within a mail transaction")
        else:
            mechanism, space, rest = (argument or "").partition(" ")
            await super().smtp_AUTH(mechanism.upper() + space + rest)

    async def auth_PLAIN(self, _: object, words: list[str]) -> AuthResult:  # noqa: N802 - aiosmtpd's naming
        """RFC 4616; the authorisation identity must be empty or the user's own."""
        response = await self._initial_or_asked(words, "")
        if response is None:
            return AuthResult(success=False, handled=True)
        parts = response.split(b"\0")
        if len(parts) != 3 or parts[0] not in (b"", parts[1]):
            return await self._refused_login()
        return await self._logged_in(parts[1], parts[2])

    async def auth_LOGIN(self, _: object, words: list[str]) -> AuthResult:  # noqa: N802 - aiosmtpd's naming
        """The old mechanism of Outlook and of many devices."""
        name = await self._initial_or_asked(words, "Username:")
        if name is None:
            return AuthResult(success=False, handled=True)
        password = await self.challenge_auth("Password:")
        if password is MISSING:
            return AuthResult(success=False, handled=True)
        assert isinstance(password, bytes)
        return await self._logged_in(name, password)

    async def _initial_or_asked(self, words: list[str], challenge: str) -> bytes | None:
        if len(words) == 1:
            response = await self.challenge_auth(challenge)
            return response if isinstance(response, bytes) else None
        try:
            # A single `=` is an empty initial response (RFC 4954 section 4).
            return b"" if words[1] == "=" else b64decode(words[1], validate=True)
        except ValueError:
            await self.push("501 5.5.2 not base64")
            return None

    async def _logged_in(self, name: bytes, password: bytes) -> AuthResult:
        user = name.decode("utf-8", "replace")
        if not await self._gateway.login(user, password):
            return await self._refused_login()
        self._user = user
        return AuthResult(success=True)

    async def _refused_login(self) -> AuthResult:
        self._failed_logins += 1
        self._gateway.log.warning("login.failed", client=self.client, attempts=self._failed_logins)
        if self._failed_logins >= self._limits.failed_logins:
            self._say_goodbye(Reply(code=421, enhanced="4.7.0", text="too many failed logins"))
            return AuthResult(success=False, handled=True)
        return AuthResult(success=False, handled=False)

    # ---------------------------------------------------------------------------------------- the transaction

    async def smtp_MAIL(self, argument: str | None) -> None:  # noqa: N802 - aiosmtpd's naming
        """MAIL: checked here, then said to the next hop, whose reply is the client's."""
        if await self.check_helo_needed("EHLO"):
            return
        if self._demands_authentication and self._user is None:
            await self.push("530 5.7.0 authentication required")
            return
        if self._draining:
            self._say_goodbye(_GOODBYE)
            return
        try:
            if self._transaction is not None:
                raise CommandRefused(Reply(code=503, enhanced="5.5.1", text="a transaction is already open"))  # noqa: TRY301
            command = MailCommand.parse(argument)
            self._check(command)
        except CommandRefused as refused:
            await self._answer(refused.reply)
            return
        self._transaction = Transaction(self._gateway.pool)
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
        reply = await self._next_hop(self._transaction.recipient(command))
        if reply.positive:
            self._recipients.append(command.recipient)
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
            reply = await self._received(incoming) or await self._processed(incoming.message())
        finally:
            self._gateway.memory.give_back(self._held)
            self._held = 0
        await self._answer(reply)
        await self._abandon()
        if self._draining:
            self._say_goodbye(_GOODBYE)

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

    async def _next_hop(self, exchange: Coroutine[Any, Any, Reply]) -> Reply:
        self._pause_timeout()
        try:
            return await exchange
        except NextHopUnavailable as error:
            self._gateway.log.warning("next_hop.unavailable", client=self.client, detail=error.detail)
            return error.reply
        finally:
            self._reset_timeout()

    async def _abandon(self) -> None:
        transaction, self._transaction = self._transaction, None
        self._mail = None
        self._recipients = []
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

    async def _processed(self, message: bytes) -> Reply:
        assert self.session is not None
        assert self._mail is not None
        assert self._transaction is not None
        arrival = Arrival(
            client=self.client,
            greeting=self.session.host_name or "",
            extended=self.session.extended_smtp,
            secure=self._secure,
            authenticated=self._user is not None,
            utf8=self._mail.utf8,
            recipients=tuple(self._recipients),
            identifier=new_identifier(),
        )
        submission = Submission(
            message=message,
            mail=self._mail,
            arrival=arrival,
            user=self._user,
            transaction=self._transaction,
            wanted=lambda: self.transport is not None and not self.transport.is_closing(),
        )
        # From here on the submission owns the transaction. Should the client go away, the delivery still ends in an
        # orderly way: cut off in the middle, nobody would know whether the next hop has the message.
        self._transaction = None
        self._pause_timeout()
        try:
            return await asyncio.shield(self._gateway.submit(submission))
        finally:
            self._reset_timeout()

    def _pause_timeout(self) -> None:
        """Our client waits for us, not we for it."""
        if self._timeout_handle is not None:
            self._timeout_handle.cancel()
