"""Every message that was acknowledged arrives exactly once, whatever fails on the way.

Clients send each message to two recipients who get different forms of it (encrypted and plain), and send it again for
as long as they hear 4yz. The next hop refuses and closes at random; all workers are killed every few seconds. A message
whose connection broke before the reply is not sent again: nobody could know what became of it. `SMIME_SOAK` is the
number of messages: 3,000 unless it says otherwise; docs/reliability.md has the table of a long run.
"""

from __future__ import annotations

import asyncio
import os
import random
import re
from collections import Counter
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

import pytest

from tests import pki
from tests.relay.processes import RelayProcess
from tests.relay.smtp_peers import CLOSE, Client, NextHop

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(7_200)]

MESSAGES = int(os.environ.get("SMIME_SOAK", "3000"))
CLIENTS = 8
SECONDS_BETWEEN_KILLS = 2.5
RECIPIENTS = ("bob@partner.example", "eve@example.net")
ROOT = pki.authority("Soak Root")
_ID = re.compile(rb"^X-Id: (\d+)\r\n", re.MULTILINE)
_CONFIGURATION = """
tls = "none"
[journal]
file = "journal.db"
[recipients]
certificates = "bob.crt"
[outbound]
encrypt = "when-possible"
[[identity]]
file = "alice.pem"
addresses = ["alice@example.org"]
"""


class Faults:
    """Answers of a next hop in trouble, the same ones in every run."""

    def __init__(self) -> None:
        self._random = random.Random(1)
        self.made: Counter[str] = Counter()

    def answer(self, verb: str, share: float) -> str:
        if self._random.random() > share:
            return ""
        fault = self._random.choice(["451 4.3.0 not now", CLOSE])
        self.made[f"{verb} {fault}"] += 1
        return fault

    def answers(self) -> dict[str, object]:
        shares = {"MAIL": 0.01, "RCPT": 0.02, "DATA": 0.01, "CONTENT": 0.02, "GREETING": 0.02}
        return {verb: lambda _, verb=verb, share=share: self.answer(verb, share) for verb, share in shares.items()}


@dataclass
class Ledger:
    """What the clients know."""

    numbers: count = field(default_factory=lambda: count(1))
    acknowledged: set[int] = field(default_factory=set)
    unknown: set[int] = field(default_factory=set)
    refused: Counter[str] = field(default_factory=Counter)

    @property
    def finished(self) -> bool:
        return len(self.acknowledged) >= MESSAGES


async def test_exactly_once(tmp_path: Path):
    (tmp_path / "alice.pem").write_bytes(ROOT.issue("Alice", "alice@example.org").pem())
    (tmp_path / "bob.crt").write_bytes(ROOT.issue("Bob", "bob@partner.example").certificate_pem)
    faults, ledger, kills = Faults(), Ledger(), 0
    async with NextHop(answers=faults.answers()) as hop:
        relay = RelayProcess(tmp_path, hop.port, _CONFIGURATION, first="workers = 2")
        await relay.start()
        clients = [asyncio.create_task(_client(relay.address, ledger)) for _ in range(CLIENTS)]
        try:
            while not ledger.finished:
                await asyncio.sleep(SECONDS_BETWEEN_KILLS)
                relay.kill_workers()
                kills += 1
                assert all(not client.done() or client.exception() is None for client in clients)
            await asyncio.gather(*clients)
        finally:
            for client in clients:
                client.cancel()
            await asyncio.gather(*clients, return_exceptions=True)
            await relay.stop()
    arrived = Counter(
        (int(found[1]), recipient.partition("<")[2].partition(">")[0])
        for message in hop.messages
        if (found := _ID.search(message.content)) and not message.mail.startswith("FROM:<>")
        for recipient in message.recipients
    )
    print(_table(ledger, faults, kills, len(hop.messages)))
    missing = [(number, who) for number in ledger.acknowledged for who in RECIPIENTS if not arrived[number, who]]
    doubled = [key for key, times in arrived.items() if times > 1 and key[0] in ledger.acknowledged]
    assert missing == []
    assert doubled == []
    assert kills > 0
    assert sum(faults.made.values()) > MESSAGES / 50


async def _client(address: tuple[str, int], ledger: Ledger) -> None:
    client: Client | None = None
    waiting: list[tuple[int, bytes]] = []
    while not ledger.finished or waiting:
        if waiting:
            number, message = waiting.pop()
        else:
            number = next(ledger.numbers)
            message = (
                b"From: alice@example.org\r\nTo: bob@partner.example\r\nX-Id: %d\r\n\r\n" % number + b"text\r\n" * 20
            )
        try:
            if client is None:
                client = await Client.connect(address)
                if not (await client.say("EHLO soak")).startswith("250"):
                    raise ConnectionError
            reply = await client.send(message, recipients=RECIPIENTS)
        except (OSError, TimeoutError, IndexError):
            # Cut off: before the dot nothing can have been delivered, but the client does not count so finely.
            ledger.unknown.add(number)
            client = await _gone(client)
            continue
        if reply.startswith("250"):
            ledger.acknowledged.add(number)
        elif reply.startswith("4"):
            ledger.refused[reply[:9]] += 1
            await client.say("RSET")
            waiting.append((number, message))
        else:
            ledger.unknown.add(number)
            client = await _gone(client)
    await _gone(client)


async def _gone(client: Client | None) -> None:
    if client is not None:
        await client.close()
    await asyncio.sleep(0.05)


def _table(ledger: Ledger, faults: Faults, kills: int, deliveries: int) -> str:
    rows = {
        "messages acknowledged": len(ledger.acknowledged),
        "of unknown fate (connection broke, not sent again)": len(ledger.unknown),
        "temporary replies to the clients": sum(ledger.refused.values()),
        "faults of the next hop": sum(faults.made.values()),
        "workers killed (SIGKILL)": kills,
        "deliveries at the next hop": deliveries,
    }
    return "\n".join(f"| {name} | {value:,} |" for name, value in rows.items())
