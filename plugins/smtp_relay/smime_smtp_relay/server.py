"""Listening sockets around a gateway, and an orderly end.

Does: open the listeners, one session per connection; stop listening, let running transactions end, say goodbye.
Does not: install signal handlers or read files other than the TLS certificates (`main` does the rest).
"""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime
from typing import Self

from smime_engine.errors import ConfigurationError
from smime_smtp_relay.config import Configuration, Listener
from smime_smtp_relay.gateway import Gateway
from smime_smtp_relay.session import RelaySession

__all__ = ["Relay", "listener_tls"]


class Relay:
    """The running gateway of one process: `async with Relay(configuration) as relay: …`."""

    def __init__(self, configuration: Configuration, *, clock: Callable[[], datetime] | None = None) -> None:
        # aiosmtpd logs commands at INFO and message content at DEBUG; neither belongs into any log.
        logging.getLogger("mail.log").disabled = True
        self.gateway = Gateway(configuration, clock=clock)
        self._listeners = tuple((listener, listener_tls(listener)) for listener in configuration.listen)
        self._servers: list[asyncio.Server] = []

    @property
    def addresses(self) -> tuple[tuple[str, int], ...]:
        """Address and port of every listening socket, in the order of the configuration."""
        return tuple(socket.getsockname()[:2] for server in self._servers for socket in server.sockets)

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def start(self) -> None:
        """Open all listeners; ConfigurationError names the one that cannot be opened."""
        await self.gateway.start()
        for listener, tls in self._listeners:
            try:
                server = await asyncio.get_running_loop().create_server(
                    _sessions(self.gateway, listener, tls),
                    listener.address,
                    listener.port,
                    ssl=tls if listener.tls == "implicit" else None,
                    backlog=1024,
                )
            except OSError as error:
                await self.stop()
                raise ConfigurationError(f"listen: {listener.address}:{listener.port}: {error.strerror}") from error
            self._servers.append(server)
        self.gateway.log.info("relay.started", addresses=[f"{host}:{port}" for host, port in self.addresses])

    async def stop(self) -> None:
        """Stop listening, wait for running transactions (at most `limits.drain` seconds), close everything."""
        for server in self._servers:
            server.close()
        for session in tuple(self.gateway.sessions):
            session.drain()
        with suppress(TimeoutError):
            async with asyncio.timeout(self.gateway.configuration.limits.drain):
                await self.gateway.quiet()
        cut = len(self.gateway.sessions)
        for session in tuple(self.gateway.sessions):
            session.cut()
        await self.gateway.close()
        self.gateway.log.info("relay.stopped", cut_sessions=cut)


def listener_tls(listener: Listener) -> ssl.SSLContext | None:
    """The TLS settings of a listener; ConfigurationError where certificate or key cannot be read."""
    if listener.certificate is None:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_cert_chain(listener.certificate, listener.key)
    except (OSError, ssl.SSLError) as error:
        raise ConfigurationError(f"listen: {listener.certificate}: {error.strerror or error}") from error
    return context


def _sessions(gateway: Gateway, listener: Listener, tls: ssl.SSLContext | None) -> Callable[[], RelaySession]:
    return lambda: RelaySession(gateway, listener, tls)
