"""Servers on the loopback interface for tests of fetching: HTTP with a table of answers, and OpenSSL's responder."""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from ipaddress import ip_network
from pathlib import Path

from aiohttp import web
from cryptography.hazmat.primitives import serialization

from smime_engine.sources.network_guard import AddressGuard
from tests import pki, surroundings

LOOPBACK = AddressGuard(allowed=(ip_network("127.0.0.0/8"),))

Answer = bytes | Callable[[web.Request], Awaitable[web.StreamResponse]]


class WebServer:
    """`server.answers["/ca.crl"] = der`; `server.asked` counts requests by path, `server.url("/ca.crl")` is whole."""

    def __init__(self) -> None:
        self.answers: dict[str, Answer] = {}
        self.asked: Counter[str] = Counter()
        self.methods: Counter[str] = Counter()
        self.port = 0

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.port}{path}"

    async def handle(self, request: web.Request) -> web.StreamResponse:
        path = "/" + request.path.split("/")[1]
        self.asked[path] += 1
        self.methods[request.method] += 1
        answer = self.answers.get(path)
        if answer is None:
            return web.Response(status=404)
        return web.Response(body=answer) if isinstance(answer, bytes) else await answer(request)


@asynccontextmanager
async def web_server() -> AsyncIterator[WebServer]:
    """A running server; it ends with the block."""
    server = WebServer()
    application = web.Application(client_max_size=1 << 20)
    application.router.add_route("*", "/{path:.*}", server.handle)
    runner = web.AppRunner(application, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    server.port = runner.addresses[0][1]
    try:
        yield server
    finally:
        await runner.cleanup()


@asynccontextmanager
async def openssl_ocsp(
    folder: Path, authority: pki.Authority, entries: dict[pki.Credential, str], *, signer: pki.Credential | None = None
) -> AsyncIterator[int]:
    """`openssl ocsp` as a responder on a free port; `entries` maps credentials to V (valid) or R (revoked)."""
    lines = []
    for credential, status in entries.items():
        revoked = "260101000000Z,keyCompromise" if status == "R" else ""
        serial = f"{credential.certificate.serial_number:X}"
        serial = serial if len(serial) % 2 == 0 else "0" + serial
        lines.append(f"{status}\t480101000000Z\t{revoked}\t{serial}\tunknown\t/CN=x\n")
    (folder / "index.txt").write_text("".join(lines))
    signer = signer or authority
    pem = serialization.Encoding.PEM
    (folder / "ca.pem").write_bytes(authority.certificate.public_bytes(pem))
    (folder / "signer.pem").write_bytes(signer.certificate.public_bytes(pem))
    (folder / "signer.key").write_bytes(signer.key_pem())
    command = surroundings.command("openssl")
    assert command is not None
    process = await asyncio.create_subprocess_exec(
        command,
        "ocsp",
        *("-index", str(folder / "index.txt"), "-CA", str(folder / "ca.pem"), "-port", "0"),
        *("-rsigner", str(folder / "signer.pem"), "-rkey", str(folder / "signer.key"), "-ndays", "1"),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        assert process.stdout is not None
        line = (await asyncio.wait_for(process.stdout.readline(), 20)).decode()
        port = re.search(r":(\d+)(?:\s|$)", line)  # "ACCEPT 0.0.0.0:36177 PID=1" or "ACCEPT [::]:36177"
        assert port is not None, line
        yield int(port[1])
    finally:
        process.terminate()
        await process.wait()
