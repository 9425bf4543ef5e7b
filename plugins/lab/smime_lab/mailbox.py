"""The laboratory's next hop: an SMTP server that puts everything into a Maildir.

Does: take any message for anybody, write it to disk as it came (CRLF line ends and all), and say 250 only then.
Does not: authenticate, relay, or listen anywhere but where it is told.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

from aiosmtpd.smtp import SMTP

__all__ = ["MaildirServer"]


class MaildirServer:
    """Listens on a free port of 127.0.0.1; use with `async with`. `arrived` is called with each new file."""

    def __init__(self, folder: Path, arrived: Callable[[Path], None]) -> None:
        self.folder = folder
        self.port = 0
        self._arrived = arrived

    async def __aenter__(self) -> Self:
        for folder in (self.folder, *(self.folder / name for name in ("tmp", "new", "cur"))):
            folder.mkdir(parents=True, exist_ok=True)
            folder.chmod(0o700)
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: _Session(self), "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()

    async def handle_DATA(self, _server: Any, _session: Any, envelope: Any) -> str:  # noqa: N802 - aiosmtpd's naming
        """Called by aiosmtpd with a whole message."""
        path = await asyncio.to_thread(self._stored, envelope.content)
        self._arrived(path)
        return "250 2.0.0 stored"

    def _stored(self, content: bytes) -> Path:
        # The way of Maildir: complete and on disk under tmp, then visible at once under new.
        name = f"{time.time():.6f}.{secrets.token_hex(4)}.{socket.gethostname().replace('/', '_')}"
        temporary, final = self.folder / "tmp" / name, self.folder / "new" / name
        with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.rename(final)
        return final


class _Session(SMTP):
    # Mail that the relay passes on unsigned may have lines of any length.
    line_length_limit = 2**20

    def __init__(self, server: MaildirServer) -> None:
        super().__init__(
            server, enable_SMTPUTF8=True, data_size_limit=2**28, hostname="lab", loop=asyncio.get_running_loop()
        )
