"""One connection to the next hop.

Does: connect, STARTTLS or implicit TLS with the configured verification, pinned certificates, AUTH, single commands,
and the content of DATA written in pieces with flow control. Does not: keep connections (`delivery`) or decide what a
reply means. aiosmtplib speaks the protocol; only the content is written here, because its own writer makes several
copies of the message with regular expressions and hands the whole of it to the transport at once.
"""

from __future__ import annotations

import asyncio
import hashlib
import ssl
from contextlib import suppress
from time import monotonic
from typing import cast

import aiosmtplib
from aiosmtplib.response import SMTPResponse

from smime_smtp_relay.config import NextHop
from smime_smtp_relay.replies import Reply, passed_on

__all__ = ["Connection", "NextHopUnavailable", "stuffed_pieces", "tls_context"]

_PIECE = 256 * 1024
_SLOWEST = 10_000
"""Bytes per second that the next hop takes at least."""

_NONSENSE = Reply(code=451, enhanced="4.5.0", text="the next hop answered out of turn")


class NextHopUnavailable(Exception):
    """No usable connection: refused, lost, out of time, or not secure enough.

    `reply` is what our client is told, `detail` what the log says. `perhaps_delivered` is True where the content's
    end went out and no reply came back: the next hop may have the message or not (RFC 1047).
    """

    def __init__(self, reply: Reply, detail: str, *, perhaps_delivered: bool = False) -> None:
        self.reply = reply
        self.detail = detail
        self.perhaps_delivered = perhaps_delivered
        super().__init__(detail)


class Connection:
    """An established session with the next hop, ready for MAIL."""

    def __init__(self, client: aiosmtplib.SMTP, next_hop: NextHop) -> None:
        self._client = client
        self._next_hop = next_hop
        self.extensions = frozenset(client.esmtp_extensions)
        """EHLO keywords in lower case."""
        self.forwarding = frozenset(client.esmtp_extensions.get("xforward", "").upper().split())
        """XFORWARD attributes that the next hop takes from us."""
        self.messages = 0
        """Messages delivered over it."""
        self.used_at = monotonic()
        self._end_sent = False

    @classmethod
    async def open(
        cls, next_hop: NextHop, context: ssl.SSLContext | None, *, hostname: str, password: str | None
    ) -> Connection:
        """Connect, secure, greet and log in; NextHopUnavailable where any of it fails."""
        client = aiosmtplib.SMTP(
            hostname=next_hop.host,
            port=next_hop.port,
            local_hostname=next_hop.hostname or hostname,
            timeout=next_hop.connect_timeout,
            use_tls=next_hop.implicit_tls,
            start_tls=False,
            tls_context=context,
        )
        try:
            await client.connect()
            await _greet(client)
            await _secure(client, next_hop)
            if next_hop.user is not None:
                await client.login(next_hop.user, password or "")
        except BaseException as error:
            client.close()
            if isinstance(error, (aiosmtplib.SMTPException, OSError, ssl.SSLError, ValueError)):
                raise _unavailable(error) from error
            raise
        return cls(client, next_hop)

    @property
    def usable(self) -> bool:
        """Whether it is still connected as far as is known, and has not carried its share of messages."""
        return self._client.is_connected and self.messages < self._next_hop.messages_per_connection

    async def command(self, verb: bytes, argument: bytes = b"") -> Reply:
        """Send one command and take its reply; NextHopUnavailable when the connection is lost or silent.

        A caller that is cancelled in between closes the connection, for the reply would be taken for the next one's.
        """
        try:
            words = (verb, argument) if argument else (verb,)
            response = await self._client.execute_command(*words, timeout=self._next_hop.command_timeout)
        except BaseException as error:
            self.close()
            if isinstance(error, (aiosmtplib.SMTPException, OSError)):
                raise _unavailable(error) from error
            raise
        self.used_at = monotonic()
        if response.code == 421:
            self.close()
            raise NextHopUnavailable(passed_on(response.code, response.message), f"421 {response.message}")
        return passed_on(response.code, response.message)

    async def begin_data(self) -> Reply | None:
        """Send DATA; None when the next hop waits for the content, else its refusal."""
        protocol = self._client.protocol
        try:
            if protocol is None:
                raise aiosmtplib.SMTPServerDisconnected("not connected")  # noqa: TRY301 - as if the command found out
            protocol.write(b"DATA\r\n")
            response = await protocol.read_response(timeout=self._next_hop.command_timeout)
        except BaseException as error:
            self.close()
            if isinstance(error, (aiosmtplib.SMTPException, OSError)):
                raise _unavailable(error) from error
            raise
        if response.code == 354:
            return None
        if response.code == 421:
            self.close()
        return passed_on(response.code, response.message)

    async def content(self, message: bytes) -> Reply:
        """Send the content and its end, and take the reply. Every line of `message` ends in CRLF."""
        self._end_sent = False
        try:
            async with asyncio.timeout(self._next_hop.final_timeout + len(message) / _SLOWEST):
                response = await self._exchange(stuffed_pieces(message))
        except BaseException as error:
            self.close()
            if isinstance(error, (aiosmtplib.SMTPException, OSError)):
                raise _unavailable(error, perhaps_delivered=self._end_sent) from error
            raise
        self.used_at = monotonic()
        self.messages += 1
        if response.code == 421 or not self._end_sent:
            self.close()
        if not self._end_sent and response.code < 400:
            raise NextHopUnavailable(_NONSENSE, f"the next hop answered {response.code} before the end of the content")
        return passed_on(response.code, response.message)

    async def _exchange(self, pieces: list[bytes | memoryview]) -> SMTPResponse:
        protocol = self._client.protocol
        if protocol is None or protocol.transport is None:
            raise aiosmtplib.SMTPServerDisconnected("not connected")
        # uvloop's transports have the methods of asyncio's and not their classes.
        transport = cast("asyncio.WriteTransport", protocol.transport)
        *pieces, end = pieces
        if not pieces:
            self._end_sent = True
            transport.write(end)
            return await protocol.read_response()
        # A next hop that runs out of space says so at once and closes: its reply must be waited for while we write.
        answer = asyncio.ensure_future(protocol.read_response())
        try:
            for piece in pieces:
                transport.write(piece)
                # What StreamWriter.drain does; a StreamWriter itself would close the connection when it is collected.
                await protocol._drain_helper()  # noqa: SLF001
                if answer.done():
                    return answer.result()
            self._end_sent = True
            transport.write(end)
            return await answer
        except ConnectionError:
            # The reply that came before the connection broke, if there was one, says more.
            return await answer
        finally:
            answer.cancel()

    def close(self) -> None:
        """Cut the connection without a word."""
        self._client.close()

    async def quit(self) -> None:
        """Say goodbye and close; never fails."""
        with suppress(aiosmtplib.SMTPException, OSError, TimeoutError):
            await self._client.quit(timeout=5)
        self._client.close()


def stuffed_pieces(message: bytes) -> list[bytes | memoryview]:
    """The content of DATA for a message whose lines end in CRLF: dots stuffed, the end added, in pieces.

    Only for small messages all is one piece, so that it leaves in one system call.
    """
    stuffed = message.replace(b"\r\n.", b"\r\n..") if b"\r\n." in message else message
    start = b"." if message.startswith(b".") else b""
    if len(stuffed) <= _PIECE:
        return [start + stuffed + b".\r\n"]
    view = memoryview(stuffed)
    pieces: list[bytes | memoryview] = [start] if start else []
    pieces += [view[position : position + _PIECE] for position in range(0, len(view), _PIECE)]
    return [*pieces, b".\r\n"]


def tls_context(next_hop: NextHop) -> ssl.SSLContext | None:
    """The TLS settings for all connections; None where TLS is not used."""
    if next_hop.tls == "none":
        return None
    context = ssl.create_default_context(cafile=None if next_hop.ca_file is None else str(next_hop.ca_file))
    if next_hop.tls != "verify":
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


async def _greet(client: aiosmtplib.SMTP) -> None:
    try:
        await client.ehlo()
    except aiosmtplib.SMTPHeloError:
        await client.helo()


async def _secure(client: aiosmtplib.SMTP, next_hop: NextHop) -> None:
    if not next_hop.implicit_tls and next_hop.tls != "none":
        offered = client.supports_extension("starttls")
        if not offered and next_hop.tls != "opportunistic":
            raise aiosmtplib.SMTPNotSupported("STARTTLS is demanded, but the next hop does not offer it")
        if offered:
            await client.starttls()
            await _greet(client)
    if next_hop.fingerprints:
        tls = client.get_transport_info("ssl_object")
        certificate = tls.getpeercert(binary_form=True) or b""
        accepted = {text.replace(":", "").lower() for text in next_hop.fingerprints}
        if hashlib.sha256(certificate).hexdigest() not in accepted:
            raise aiosmtplib.SMTPNotSupported("the next hop's certificate is not one of the pinned ones")


def _unavailable(error: BaseException, *, perhaps_delivered: bool = False) -> NextHopUnavailable:
    if isinstance(error, aiosmtplib.SMTPResponseException) and error.code >= 400:
        # Refused at the greeting, EHLO or AUTH: that concerns us, not the client's message, so it may come again.
        reply = Reply(code=451, enhanced="4.4.1", text=f"the next hop does not take mail now: {error.code}")
    elif isinstance(error, (aiosmtplib.SMTPTimeoutError, TimeoutError)):
        reply = Reply(code=451, enhanced="4.4.2", text="the next hop does not answer")
    elif isinstance(error, (ssl.SSLError, aiosmtplib.SMTPNotSupported)) or isinstance(error.__cause__, ssl.SSLError):
        reply = Reply(code=451, enhanced="4.7.5", text="no secure connection to the next hop")
    elif isinstance(error, aiosmtplib.SMTPServerDisconnected):
        reply = Reply(code=451, enhanced="4.4.2", text="the next hop closed the connection")
    else:
        reply = Reply(code=451, enhanced="4.4.1", text="the next hop cannot be reached")
    return NextHopUnavailable(reply, f"{type(error).__name__}: {error}", perhaps_delivered=perhaps_delivered)
