"""Health, readiness and metrics over HTTP, for load balancers and Prometheus.

Does: answer `/healthz` (the process runs), `/readyz` (it takes mail now, and the next hop answered when last asked) and
`/metrics`. Does not: authenticate: listen on an address that only those may reach who should.
"""

from __future__ import annotations

from collections.abc import Callable

from aiohttp import web

from smime_engine.errors import ConfigurationError

__all__ = ["StatusServer"]


class StatusServer:
    """One HTTP listener."""

    def __init__(self, address: str, port: int, *, ready: Callable[[], str], metrics: Callable[[], str]) -> None:
        """`ready` gives a reason why mail is not taken now, or an empty text; `metrics` their text."""
        self._address = address
        self._port = port
        self._ready = ready
        self._metrics = metrics
        application = web.Application()
        application.router.add_get("/healthz", self._health)
        application.router.add_get("/readyz", self._readiness)
        application.router.add_get("/metrics", self._numbers)
        self._runner = web.AppRunner(application, access_log=None, handle_signals=False)

    @property
    def port(self) -> int:
        """The port that is listened on."""
        addresses = self._runner.addresses
        return int(addresses[0][1]) if addresses else self._port

    async def start(self) -> None:
        """Listen; ConfigurationError where that is not possible."""
        await self._runner.setup()
        try:
            await web.TCPSite(self._runner, self._address, self._port).start()
        except OSError as error:
            await self._runner.cleanup()
            raise ConfigurationError(f"status: {self._address}:{self._port}: {error.strerror}") from error

    async def stop(self) -> None:
        """Stop listening."""
        await self._runner.cleanup()

    async def _health(self, _: web.Request) -> web.Response:
        return web.Response(text="ok\n")

    async def _readiness(self, _: web.Request) -> web.Response:
        reason = self._ready()
        return web.Response(text=f"{reason or 'ready'}\n", status=503 if reason else 200)

    async def _numbers(self, _: web.Request) -> web.Response:
        return web.Response(text=self._metrics(), headers={"Content-Type": "text/plain; version=0.0.4; charset=utf-8"})
