"""Listening sockets around a gateway, and an orderly end.

Does: open the listeners, one session per connection; change the configuration while sessions run; stop listening, let
running transactions end, say goodbye.
Does not: install signal handlers or read files other than the TLS certificates (`main` does the rest).
"""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import datetime
from functools import partial
from typing import Self

from smime_engine.errors import ConfigurationError
from smime_smtp_relay.config import Configuration, Listener
from smime_smtp_relay.gateway import Gateway
from smime_smtp_relay.session import RelaySession
from smime_smtp_relay.sockets import open_sockets
from smime_smtp_relay.status import StatusServer

__all__ = ["Relay", "listener_tls"]


class Relay:
    """The running gateway of one process: `async with Relay(configuration) as relay: …`."""

    def __init__(
        self,
        configuration: Configuration,
        *,
        sockets: Sequence[socket.socket] = (),
        worker: int | None = None,
        clock: Callable[[], datetime] | None = None,
    ) -> None:
        """`sockets` are listening ones for all listeners; `worker` is our number among several processes."""
        # aiosmtpd logs commands at INFO and message content at DEBUG; neither belongs into any log.
        logging.getLogger("mail.log").disabled = True
        self.gateway = Gateway(configuration, clock=clock)
        self._clock = clock
        self._sockets = sockets
        self._worker = worker
        self._tls = [listener_tls(listener) for listener in configuration.listen]
        self._servers: list[asyncio.Server] = []
        self._retiring: set[asyncio.Task[None]] = set()
        self._draining = False
        self._status: StatusServer | None = None

    @property
    def addresses(self) -> tuple[tuple[str, int], ...]:
        """Address and port of every listening socket, in the order of the configuration."""
        return tuple(each.getsockname()[:2] for server in self._servers for each in server.sockets)

    @property
    def status_port(self) -> int | None:
        """The port of the status server."""
        return None if self._status is None else self._status.port

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def start(self) -> None:
        """Open all listeners; ConfigurationError names the one that cannot be opened."""
        listeners = self.gateway.configuration.listen
        try:
            await self.gateway.start()
            opened = open_sockets(listeners, self._sockets, shared=self._worker is not None)
            loop = asyncio.get_running_loop()
            for place, (listener, listening) in enumerate(zip(listeners, opened, strict=True)):
                tls = self._tls[place] if listener.tls == "implicit" else None
                server = await loop.create_server(partial(self._session, place), sock=listening, ssl=tls)
                self._servers.append(server)
            await self._start_status()
        except ConfigurationError:
            await self.stop()
            raise
        addresses = [f"{host}:{port}" for host, port in self.addresses]
        self.gateway.log.info("relay.started", addresses=addresses, worker=self._worker)

    async def reload(self, configuration: Configuration) -> None:
        """Work with another configuration from the next session on; running sessions keep theirs.

        ConfigurationError, and nothing changed, where it is not usable or its listeners are others than before: these
        need a restart.
        """
        old = self.gateway
        if _places(configuration) != _places(old.configuration):
            raise ConfigurationError("listen: other listeners need a restart")
        new = Gateway(configuration, clock=self._clock, journal=old.shared_journal)
        for listener, tls in zip(configuration.listen, self._tls, strict=True):
            if tls is not None and listener.certificate is not None:
                listener_tls(listener)  # so that a bad file changes nothing
                tls.load_cert_chain(listener.certificate, listener.key)
        await new.start()
        self.gateway = new
        task = asyncio.create_task(self._retire(old))
        self._retiring.add(task)
        task.add_done_callback(self._retiring.discard)
        new.log.info("relay.reloaded", worker=self._worker)

    async def stop(self) -> None:
        """Stop listening, wait for running transactions (at most `limits.drain` seconds), close everything."""
        self._draining = True
        for server in self._servers:
            server.close()
        cut = await self._drained(self.gateway)
        await asyncio.gather(*self._retiring, return_exceptions=True)
        if self._status is not None:
            await self._status.stop()
        self.gateway.log.info("relay.stopped", cut_sessions=cut, worker=self._worker)

    async def _drained(self, gateway: Gateway) -> int:
        """Let sessions end after their transaction; the number of those that had to be cut."""
        for session in tuple(gateway.sessions):
            session.drain()
        with suppress(TimeoutError):
            async with asyncio.timeout(gateway.configuration.limits.drain):
                await gateway.quiet()
        sessions = tuple(gateway.sessions)
        for session in sessions:
            session.cut()
        await gateway.close()
        return len(sessions)

    async def _retire(self, gateway: Gateway) -> None:
        """Wait until the last session of an old configuration has ended by itself, or all end."""
        quiet = asyncio.create_task(gateway.quiet())
        while not quiet.done() and not self._draining:
            await asyncio.wait({quiet}, timeout=0.2)
        quiet.cancel()
        await self._drained(gateway)

    def _session(self, place: int) -> RelaySession:
        return RelaySession(self.gateway, self.gateway.configuration.listen[place], self._tls[place])

    async def _start_status(self) -> None:
        status = self.gateway.configuration.status
        if status.port is None:
            return
        port = status.port + (self._worker or 0) if status.port else 0
        self._status = StatusServer(status.address, port, ready=self._reason, metrics=self._numbers)
        await self._status.start()

    def _numbers(self) -> str:
        return self.gateway.metrics_text()

    def _reason(self) -> str:
        """Why no mail is taken now."""
        return "shutting down" if self._draining else self.gateway.trouble


def _places(configuration: Configuration) -> list[tuple[str, int, str]]:
    return [(listener.address, listener.port, listener.tls) for listener in configuration.listen]


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
