"""The parts of an SMTP session around mail: greeting, TLS, authentication, time-outs, replies.

Does: EHLO with what is true (PIPELINING RFC 2920, SIZE RFC 1870, 8BITMIME RFC 6152, SMTPUTF8 RFC 6531, STARTTLS RFC
3207, AUTH PLAIN and LOGIN RFC 4954, DSN RFC 3461, ENHANCEDSTATUSCODES RFC 2034); bounds sessions and failed logins.
Does not: take mail (`session`).

aiosmtpd provides the command loop and STARTTLS. Its replies have no enhanced status codes, it logs commands and
content, shares one table of length limits between all sessions, and compares names of mechanisms literally; that is
replaced here.
"""

from __future__ import annotations

import asyncio
import ssl
from abc import abstractmethod
from base64 import b64decode
from collections import defaultdict
from ipaddress import ip_address
from typing import cast

from aiosmtpd.smtp import MISSING, SMTP, AuthResult

from smime_smtp_relay.config import Listener
from smime_smtp_relay.envelope import XFORWARD
from smime_smtp_relay.gateway import Gateway
from smime_smtp_relay.logs import described
from smime_smtp_relay.replies import Reply

__all__ = ["GOODBYE", "GreetedSession"]

_COMMAND_LENGTH = 2_048
"""RFC 5321 allows 512 octets, SIZE, BODY, SMTPUTF8 and DSN add more; AUTH may be longer (RFC 4954 section 4)."""

# Commands that do nothing may not be said for ever; mail commands may, on a kept connection.
_CALLS = {"*": 1_000_000_000, "NOOP": 200, "VRFY": 50, "EXPN": 50, "HELP": 50, "EHLO": 50, "HELO": 50, "AUTH": 20}

_PROXY_SECONDS = 5.0

GOODBYE = Reply(code=421, enhanced="4.3.2", text="the service is shutting down")
_LOCAL_ERROR = Reply(code=451, enhanced="4.3.0", text="local error")
_TIMEOUT = Reply(code=421, enhanced="4.4.2", text="timeout")
_TOO_MANY_SESSIONS = Reply(code=421, enhanced="4.7.0", text="too many connections")


class _Hooks:
    """What aiosmtpd asks its handler; everything else is in the session itself."""

    async def handle_PROXY(self, server: GreetedSession, *_: object) -> bool:  # noqa: N802 - aiosmtpd's naming
        """The load balancer has told who the client is."""
        return server.admit()


class GreetedSession(SMTP):
    """A session on one listener, as far as it is not about mail."""

    # The reader's limit: longest line that the command loop waits for; DATA is read without lines.
    line_length_limit = 16_384

    def __init__(self, gateway: Gateway, listener: Listener, tls: ssl.SSLContext | None) -> None:
        limits = gateway.configuration.limits
        self._gateway = gateway
        self._limits = limits
        self._speaks_lmtp = listener.protocol == "lmtp"
        self._implicit_tls = listener.tls == "implicit"
        self._offers_authentication = listener.authentication != "none"
        self._demands_authentication = listener.authentication == "required"
        self._xforward_networks = listener.xforward_networks
        self._proxied = listener.proxy_protocol
        self._admitted = False
        self._greeted = False
        self._draining = False
        self._failed_logins = 0
        self._user: str | None = None
        # aiosmtpd's own dictionary is shared by all sessions, and each new one empties it.
        self.command_size_limits = defaultdict(lambda: _COMMAND_LENGTH, AUTH=self.line_length_limit)
        self.command_size_limit = _COMMAND_LENGTH
        super().__init__(
            _Hooks(),
            data_size_limit=limits.message_size,
            enable_SMTPUTF8=True,
            hostname=gateway.configuration.hostname,
            ident="ESMTP",
            tls_context=None if self._implicit_tls else tls,
            require_starttls=listener.tls == "required",
            timeout=limits.command_timeout,
            auth_require_tls=not self._implicit_tls,
            command_call_limit=_CALLS,
            proxy_protocol_timeout=_PROXY_SECONDS if self._proxied else None,
            loop=asyncio.get_running_loop(),
        )
        self.command_size_limits["AUTH"] = self.line_length_limit

    # ------------------------------------------------------------------------------------------------ connection

    @property
    def client(self) -> str:
        """The client's IP address."""
        session = self.session
        if session is None:
            return "unknown"
        if session.proxy_data is not None and session.proxy_data.src_addr is not None:
            return str(session.proxy_data.src_addr)
        peer: object = session.peer
        return str(peer[0]) if isinstance(peer, tuple) else "unknown"

    @property
    def _may_forward(self) -> bool:
        """Whether this client may say where mail comes from."""
        if not self._xforward_networks:
            return False
        try:
            address = ip_address(self.client)
        except ValueError:
            return False
        return any(address in network for network in self._xforward_networks if network.version == address.version)

    def admit(self) -> bool:
        """Count the session, once its client is known; False where there are too many."""
        self._admitted = self._gateway.entered(self)
        if not self._admitted:
            self._say_goodbye(_TOO_MANY_SESSIONS)
        return self._admitted

    def drain(self) -> None:
        """Finish the running transaction, if there is one, and then say 421."""
        self._draining = True
        if not self._in_transaction and self._greeted:
            self._say_goodbye(GOODBYE)

    def cut(self) -> None:
        """End at once: the client keeps what it has no reply for."""
        self._say_goodbye(GOODBYE)

    def connection_lost(self, error: Exception | None) -> None:
        """Forget the session."""
        super().connection_lost(error)
        if self._admitted:
            self._admitted = False
            self._gateway.left(self)

    def _timeout_cb(self) -> None:
        self._say_goodbye(_TIMEOUT)

    def _say_goodbye(self, reply: Reply) -> None:
        # uvloop's transports have the methods of asyncio's and not their classes.
        transport = cast("asyncio.WriteTransport | None", self.transport)
        if transport is not None and not transport.is_closing():
            transport.write(reply.encode() + b"\r\n")
            transport.close()

    async def _handle_client(self) -> None:
        # Counted before the greeting, so that a flood of connections costs one line each. Behind a load balancer the
        # client is known only after its line (`_Hooks`).
        if self._proxied or self.admit():
            await super()._handle_client()

    async def handle_exception(self, error: Exception) -> str:
        """Answer a programming or system error without telling the client about it."""
        self._gateway.log.error("session.error", client=self.client, **described(error))
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

    @property
    @abstractmethod
    def _in_transaction(self) -> bool:
        """Whether MAIL was accepted and the transaction is not over."""

    @abstractmethod
    async def _abandon(self) -> None:
        """End the open transaction, if there is one, without delivering."""

    # -------------------------------------------------------------------------------------------------- greeting

    async def smtp_HELO(self, hostname: str | None) -> None:  # noqa: N802 - aiosmtpd's naming
        """HELO, without extensions."""
        await self._hello(hostname, extended=False, lmtp=False)

    async def smtp_EHLO(self, hostname: str | None) -> None:  # noqa: N802 - aiosmtpd's naming
        """EHLO."""
        await self._hello(hostname, extended=True, lmtp=False)

    async def smtp_LHLO(self, hostname: str | None) -> None:  # noqa: N802 - aiosmtpd's naming
        """LHLO, the greeting of LMTP (RFC 2033 section 4.1)."""
        await self._hello(hostname, extended=True, lmtp=True)

    async def _hello(self, hostname: str | None, *, extended: bool, lmtp: bool) -> None:
        if lmtp is not self._speaks_lmtp:
            await self.push(f"500 5.5.1 this is {'LMTP: say LHLO' if self._speaks_lmtp else 'SMTP: say EHLO'}")
            return
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
        if self._may_forward:
            lines.append("XFORWARD " + " ".join(XFORWARD))
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
        elif self._in_transaction:
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
        self._gateway.metrics.count("smime_relay_logins_failed_total")
        self._gateway.log.warning("login.failed", client=self.client, attempts=self._failed_logins)
        if self._failed_logins >= self._limits.failed_logins:
            self._say_goodbye(Reply(code=421, enhanced="4.7.0", text="too many failed logins"))
            return AuthResult(success=False, handled=True)
        return AuthResult(success=False, handled=False)
