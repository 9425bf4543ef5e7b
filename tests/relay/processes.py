"""The gateway as a process of its own, as an operator runs it."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
from asyncio.subprocess import Process
from contextlib import suppress
from pathlib import Path

from tests.surroundings import REPOSITORY

_RUN = "from smime_smtp_relay.main import command; command(prog_name='smime relay')"


class RelayProcess:
    """`smime relay --config FILE` with a configuration in `folder`, on a port that stays the same after restarts."""

    def __init__(self, folder: Path, next_hop: int, more: str = "", *, first: str = "") -> None:
        self.port = free_port()
        self.address = ("127.0.0.1", self.port)
        self.log = folder / "relay.log"
        self._config = folder / "relay.toml"
        self._config.write_text(
            f'{first}\n[[listen]]\nport = {self.port}\n[next_hop]\nhost = "127.0.0.1"\nport = {next_hop}\n{more}',
            encoding="utf-8",
        )
        self.process: Process | None = None

    async def start(self) -> None:
        """Start it and wait until it listens."""
        path = [REPOSITORY, REPOSITORY / "plugins/smtp_relay"]
        with self.log.open("ab") as log:
            self.process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-c",
                _RUN,
                "--config",
                str(self._config),
                env={**os.environ, "PYTHONPATH": os.pathsep.join(map(str, path))},
                stderr=log,
            )
        for _ in range(400):
            if self.process.returncode is not None:
                raise AssertionError(self.log.read_text(encoding="utf-8"))
            try:
                _, writer = await asyncio.open_connection(*self.address)
            except OSError:
                await asyncio.sleep(0.05)
            else:
                writer.close()
                return
        raise AssertionError("the gateway does not listen")

    async def kill(self) -> None:
        """SIGKILL: no goodbye, no cleaning up."""
        await self._end(signal.SIGKILL)

    def kill_workers(self) -> None:
        """SIGKILL for every worker; the process above starts new ones."""
        assert self.process is not None
        pid = self.process.pid
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii").split()
        for child in children:
            with suppress(ProcessLookupError):
                os.kill(int(child), signal.SIGKILL)

    async def stop(self) -> int:
        """SIGTERM; the exit status."""
        return await self._end(signal.SIGTERM)

    async def _end(self, number: int) -> int:
        assert self.process is not None
        if self.process.returncode is None:
            self.process.send_signal(number)
        return await self.process.wait()


def free_port() -> int:
    """A port of 127.0.0.1 that nobody uses at the moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
