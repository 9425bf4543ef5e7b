"""Nothing that got 250 is missing, whenever the gateway dies."""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from contextlib import suppress
from itertools import count

import pytest

from tests import surroundings
from tests.relay.processes import RelayProcess
from tests.relay.smtp_peers import Client, NextHop

pytestmark = [pytest.mark.chaos, pytest.mark.postfix]

_ID = re.compile(rb"^X-Id: (\d+)\r\n", re.MULTILINE)
CLIENTS = 8
KILLS = 6


class Load:
    """Clients that send numbered messages for as long as they are let, and remember which ones got 250."""

    def __init__(self, address: tuple[str, int]) -> None:
        self.address = address
        self.acknowledged: set[int] = set()
        self.broken = 0
        self._numbers = count(1)

    async def run(self) -> None:
        """Send until cancelled."""
        while True:
            with suppress(OSError, TimeoutError, AssertionError, IndexError):
                await self._session()
            self.broken += 1
            await asyncio.sleep(0.05)

    async def _session(self) -> None:
        client = await Client.connect(self.address)
        try:
            await client.say("EHLO load")
            while True:
                number = next(self._numbers)
                body = b"x" * 70 + b"\r\n"
                message = b"From: alice@example.org\r\nX-Id: %d\r\nSubject: load\r\n\r\n" % number + body * 40
                reply = await client.send(message)
                if reply.startswith("250"):
                    self.acknowledged.add(number)
                elif not reply:
                    return
        finally:
            await client.close()


async def test_sigkill_under_load_loses_nothing(tmp_path):
    async with NextHop() as hop:
        relay = RelayProcess(tmp_path, hop.port, 'tls = "none"\nconnections = 20\n')
        await relay.start()
        load = Load(relay.address)
        clients = [asyncio.create_task(load.run()) for _ in range(CLIENTS)]
        try:
            for _ in range(KILLS):
                await asyncio.sleep(0.7)
                more = await _smtp_source(relay.port)
                await asyncio.sleep(0.3)
                await relay.kill()
                await more.wait()
                await relay.start()
            await asyncio.sleep(0.5)
        finally:
            for client in clients:
                client.cancel()
            await asyncio.gather(*clients, return_exceptions=True)
            await relay.stop()
    arrived = Counter(int(found[1]) for message in hop.messages if (found := _ID.search(message.content)))
    assert len(load.acknowledged) > 200
    assert load.broken >= KILLS
    assert load.acknowledged <= arrived.keys()
    # Every number is sent once, so a second copy would be the gateway's doing.
    assert max(arrived.values()) == 1
    # What smtp-source sent is there too: more than our own clients' messages.
    assert len(hop.messages) > sum(arrived.values())


async def _smtp_source(port: int) -> asyncio.subprocess.Process:
    program = surroundings.command("smtp-source")
    assert program is not None
    arguments = ("-s", "4", "-l", "4096", "-m", "100000", "-f", "source@example.org", "-t", "sink@example.net")
    return await asyncio.create_subprocess_exec(
        program, *arguments, f"127.0.0.1:{port}", stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL
    )
