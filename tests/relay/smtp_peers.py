"""Peers of the gateway for tests, speaking SMTP over real sockets: a next hop that can misbehave, and a plain client.

`NextHop` is our own small SMTP server: it stores what it accepts, counts connections and commands, and answers each
verb as told (`answers`): a reply, CLOSE (drop the connection), HANG (never answer), or a function of the argument
that gives one of these. `CONTENT` stands for the reply to the final dot, `GREETING` for the banner.
`Client` writes bytes and reads replies, so that tests can say what no library would.
"""

from __future__ import annotations

import asyncio
import ssl
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Self

CLOSE = "close"
HANG = "hang"
Answer = str | Callable[[str], str]

EXTENSIONS = ("PIPELINING", "SIZE 100000000", "8BITMIME", "SMTPUTF8", "DSN", "ENHANCEDSTATUSCODES")


@dataclass
class Stored:
    """One message that the next hop accepted."""

    mail: str
    recipients: list[str]
    content: bytes
    secure: bool

    @property
    def body(self) -> bytes:
        """The content without the gateway's trace field."""
        lines = self.content.split(b"\r\n")
        assert lines[0].startswith(b"Received: ")
        first = next(i for i, line in enumerate(lines[1:], 1) if not line.startswith((b" ", b"\t")))
        return b"\r\n".join(lines[first:])


@dataclass
class NextHop:
    """A programmable SMTP server; use with `async with`."""

    extensions: tuple[str, ...] = EXTENSIONS
    answers: dict[str, Answer] = field(default_factory=dict)
    tls: ssl.SSLContext | None = None
    implicit: bool = False
    credentials: str | None = None
    """What AUTH PLAIN must carry, in base64."""
    delay: float = 0.0
    """Seconds between the final dot and its reply."""

    def __post_init__(self) -> None:
        self.messages: list[Stored] = []
        self.connections = 0
        self.open = 0
        self.commands: Counter[str] = Counter()
        self.lines: list[str] = []
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(
            self._serve, "127.0.0.1", 0, ssl=self.tls if self.implicit else None, limit=2**20
        )
        self.port: int = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def drop_connections(self) -> None:
        """Close every connection, as a restarted server does."""
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.sleep(0.05)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self.connections += 1
        self.open += 1
        try:
            await _Conversation(self, reader, writer).run()
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            self.open -= 1
            self._tasks.discard(task)
            writer.close()


class _Conversation:
    def __init__(self, hop: NextHop, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.hop, self.reader, self.writer = hop, reader, writer
        self.secure = hop.implicit
        self.mail = ""
        self.recipients: list[str] = []

    async def run(self) -> None:
        if not await self.say("GREETING", "", "220 next hop ESMTP"):
            return
        while True:
            line = (await self.reader.readuntil(b"\r\n")).decode("utf-8").removesuffix("\r\n")
            self.hop.lines.append(line)
            verb, _, argument = line.partition(" ")
            verb = verb.upper()
            self.hop.commands[verb] += 1
            if verb == "STARTTLS":
                await self.write("220 2.0.0 go ahead")
                await self.writer.start_tls(self.hop.tls)  # type: ignore[arg-type]
                self.secure = True
            elif not await self.command(verb, argument) or verb == "QUIT":
                return

    async def command(self, verb: str, argument: str) -> bool:
        default = {
            "EHLO": "\n".join(["250-next hop", *(f"250-{line}" for line in self.offered()), "250 HELP"]),
            "QUIT": "221 2.0.0 bye",
            "DATA": "354 go on",
            "AUTH": "235 2.7.0 ok" if argument == f"PLAIN {self.hop.credentials}" else "535 5.7.8 no",
        }.get(verb, "250 2.0.0 ok")
        said = await self.say(verb, argument, default)
        positive = bool(said) and said[0] in "23"
        if verb in ("MAIL", "RSET", "EHLO"):
            self.mail, self.recipients = argument, []
        elif verb == "RCPT" and positive:
            self.recipients.append(argument)
        elif verb == "DATA" and positive:
            return await self.content()
        return bool(said)

    def offered(self) -> list[str]:
        extra = ["STARTTLS"] if self.hop.tls and not self.secure else []
        return [*self.hop.extensions, *extra, *(["AUTH PLAIN"] if self.hop.credentials else [])]

    async def content(self) -> bool:
        lines = []
        while (line := await self.reader.readuntil(b"\r\n")) != b".\r\n":
            lines.append(line.removeprefix(b"."))
        self.hop.commands["CONTENT"] += 1
        if self.hop.delay:
            await asyncio.sleep(self.hop.delay)
        stored = Stored(self.mail, self.recipients, b"".join(lines), self.secure)
        answer = self.answer("CONTENT", "", "250 2.0.0 stored")
        if answer.startswith("2"):
            self.hop.messages.append(stored)
        return bool(await self.carry_out(answer))

    async def say(self, verb: str, argument: str, default: str) -> str:
        return await self.carry_out(self.answer(verb, argument, default))

    def answer(self, verb: str, argument: str, default: str) -> str:
        answer = self.hop.answers.get(verb, default)
        return answer if isinstance(answer, str) else answer(argument) or default

    async def carry_out(self, answer: str) -> str:
        if answer == HANG:
            await asyncio.sleep(3600)
        if answer == CLOSE:
            return ""
        await self.write(answer)
        return answer

    async def write(self, reply: str) -> None:
        self.writer.write(reply.replace("\n", "\r\n").encode() + b"\r\n")
        await self.writer.drain()


class Client:
    """A bare SMTP client."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    @classmethod
    async def connect(cls, address: tuple[str, int], *, tls: ssl.SSLContext | None = None) -> Client:
        """Connect and take the greeting."""
        client = cls(*await asyncio.open_connection(*address, ssl=tls, limit=2**20))
        client.greeting = await client.reply()
        return client

    greeting = ""

    async def reply(self) -> str:
        """The next reply, its lines separated by line feeds; empty when the connection was closed."""
        lines = []
        # Not wait_for: in Python 3.11 that can swallow a cancellation.
        async with asyncio.timeout(20):
            while line := (await self.reader.readline()).decode():
                lines.append(line.removesuffix("\r\n"))
                if line[3:4] != "-":
                    break
        return "\n".join(lines)

    async def write(self, data: bytes) -> None:
        """Write bytes as they are."""
        self.writer.write(data)
        await self.writer.drain()

    async def say(self, line: str) -> str:
        """Say a command and take the reply."""
        await self.write(line.encode() + b"\r\n")
        return await self.reply()

    async def start_tls(self, context: ssl.SSLContext) -> None:
        """STARTTLS."""
        assert (await self.say("STARTTLS")).startswith("220")
        await self.writer.start_tls(context)

    async def send(
        self,
        message: bytes,
        *,
        sender: str = "alice@example.org",
        recipients: tuple[str, ...] = ("bob@example.net",),
        options: str = "",
    ) -> str:
        """A whole transaction on a connection that has said EHLO; the first reply that is an error, or the last."""
        commands = [f"MAIL FROM:<{sender}>{options}", *(f"RCPT TO:<{recipient}>" for recipient in recipients), "DATA"]
        for command in commands:
            reply = await self.say(command)
            if reply[0] not in "23":
                return reply
        await self.write(stuffed(message) + b".\r\n")
        return await self.reply()

    async def close(self) -> None:
        """QUIT."""
        self.writer.close()


def stuffed(message: bytes) -> bytes:
    """Dot stuffing by the book."""
    return b"".join(b"." + line if line.startswith(b".") else line for line in message.splitlines(keepends=True))


async def greeted(address: tuple[str, int], *, tls: ssl.SSLContext | None = None) -> Client:
    """A client that has said EHLO."""
    client = await Client.connect(address, tls=tls)
    assert (await client.say("EHLO client.example")).startswith("250")
    return client
