"""Real peers: Postfix as client and next hop of the gateway, its test programs, and swaks."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import smtplib
import tempfile
from pathlib import Path
from typing import Self

import pytest

from smime_smtp_relay.passwords import hash_password
from smime_smtp_relay.server import Relay
from tests import surroundings
from tests.relay.postfix import Postfix
from tests.relay.processes import free_port
from tests.relay.smtp_peers import NextHop, greeted
from tests.surroundings import REPOSITORY

pytestmark = pytest.mark.postfix

MESSAGE = b"From: alice@example.org\r\nTo: bob@example.net\r\nSubject: test\r\n\r\nHello\r\n"


async def run(name: str, *arguments: str) -> tuple[int, str]:
    """Run a peer's program to its end."""
    program = surroundings.command(name)
    assert program is not None
    process = await asyncio.create_subprocess_exec(
        program, *arguments, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    output, _ = await asyncio.wait_for(process.communicate(), 60)
    assert process.returncode is not None
    return process.returncode, output.decode()


class SmtpSink:
    """Postfix's smtp-sink; it writes every message into a file of its own."""

    def __init__(self, *options: str) -> None:
        self.options, self.port = options, free_port()

    async def __aenter__(self) -> Self:
        program = surroundings.command("smtp-sink")
        assert program is not None
        # smtp-sink will not run as root, and its user cannot get through pytest's folders.
        self.folder = Path(tempfile.mkdtemp(prefix="smtp-sink-"))
        self.folder.chmod(0o777)
        user = ("-u", "nobody") if os.geteuid() == 0 else ()
        self.process = await asyncio.create_subprocess_exec(
            program, *user, *self.options, "-d", f"{self.folder}/m.", f"127.0.0.1:{self.port}", "100"
        )
        for _ in range(100):
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", self.port)
            except OSError:
                await asyncio.sleep(0.05)
            else:
                writer.close()
                return self
        raise AssertionError("smtp-sink does not listen")

    async def __aexit__(self, *_: object) -> None:
        self.process.kill()
        await self.process.wait()
        shutil.rmtree(self.folder)

    def messages(self) -> list[str]:
        """What was delivered."""
        return [path.read_text(encoding="utf-8", errors="replace") for path in self.folder.iterdir()]


@pytest.mark.parametrize("options", [(), ("-p",), ("-8",), ("-e",)])
async def test_smtp_source_to_smtp_sink(configured, options):
    async with SmtpSink(*options) as sink, Relay(configured(sink.port)) as relay:
        load = ("-s", "5", "-m", "200", "-l", "5000", "-f", "a@example.org", "-t", "b@example.net")
        status, output = await run("smtp-source", *load, f"127.0.0.1:{relay.addresses[0][1]}")
        assert (status, output) == (0, "")
        assert relay.gateway.pool.opened <= 5
        assert len(sink.messages()) == 200


@pytest.mark.parametrize(
    ("options", "code"),
    [
        (("-f", "MAIL"), "500"),
        (("-f", "RCPT"), "500"),
        (("-f", "DATA"), "500"),
        (("-f", "."), "500"),
        (("-r", "MAIL"), "450"),
        (("-r", "RCPT"), "450"),
        (("-r", "."), "450"),
        (("-q", "MAIL"), "451"),
        (("-q", "RCPT"), "451"),
        (("-q", "DATA"), "451"),
        (("-q", "."), "451"),
    ],
)
async def test_every_way_in_which_smtp_sink_fails(configured, options, code):
    async with SmtpSink(*options) as sink, Relay(configured(sink.port)) as relay:
        client = await greeted(relay.addresses[0])
        assert (await client.send(MESSAGE))[:3] == code
        await client.close()


async def test_swaks_pipelines_an_attachment(configured, tmp_path):
    (tmp_path / "picture.bin").write_bytes(bytes(range(256)) * 40)
    async with NextHop() as hop, Relay(configured(hop.port)) as relay:
        status, output = await run(
            "swaks", "--server", f"127.0.0.1:{relay.addresses[0][1]}", "--pipeline", "--from", "alice@example.org",
            "--to", "bob@example.net,carol@example.net", "--attach", f"@{tmp_path}/picture.bin",
        )  # fmt: skip
        assert status == 0, output
        (stored,) = hop.messages
        assert stored.recipients == ["TO:<bob@example.net>", "TO:<carol@example.net>"]
        assert b"picture.bin" in stored.content


async def test_smtplib_with_tls_and_login(configured, tls_files):
    users = f'[users."alice@example.org"]\npassword = "{hash_password("sesame")}"'
    listen = f'tls = "required"\nauthentication = "required"\n{tls_files.toml()}'

    def client(port: int) -> None:
        with smtplib.SMTP("localhost", port) as session:
            session.starttls(context=tls_files.client)
            session.login("alice@example.org", "sesame")
            session.sendmail("alice@example.org", ["bob@example.net"], MESSAGE, mail_options=["BODY=8BITMIME"])

    async with NextHop() as hop, Relay(configured(hop.port, users, listen=listen)) as relay:
        await asyncio.to_thread(client, relay.addresses[0][1])
        assert b"with ESMTPSA id" in hop.messages[0].content


def documented_master(ports: dict[int, int]) -> str:
    """The lines for master.cf from the manual, with free ports instead of its fixed ones."""
    text = (REPOSITORY / "docs/how-to/gateway.md").read_text(encoding="utf-8")
    block = text.partition("```ini\n")[2].partition("```")[0]
    for documented, free in ports.items():
        assert f":{documented}" in block
        block = block.replace(f":{documented}", f":{free}")
    return block


async def test_postfix_hands_everything_to_the_gateway_and_takes_it_back(configured):
    """The after-queue content filter, as the manual has it."""
    entry, back = free_port(), free_port()
    async with NextHop() as world, Relay(configured(back)) as relay:
        master = documented_master({587: entry, 10025: relay.addresses[0][1], 10026: back})
        main = f"default_transport = smtp:[127.0.0.1]:{world.port}"
        async with Postfix("mx.example.org", main, master) as postfix:
            client = await greeted(("127.0.0.1", entry))
            body = "Grüße\r\n".encode() + b".dot\r\n" + b"x" * 900 + b"\r\n"
            recipients = ("bob@example.net", "carol@example.com")
            reply = await client.send(MESSAGE + body, recipients=recipients, options=" BODY=8BITMIME")
            assert reply.startswith("250 2.0.0 Ok: queued as")
            reply = await client.send(MESSAGE, sender="", recipients=("böb@exämple.net",), options=" SMTPUTF8")
            assert reply.startswith("250")
            await client.close()
            await _until(lambda: sum(len(message.recipients) for message in world.messages) == 3)
            log = postfix.log
        assert sorted(text.split()[0] for message in world.messages for text in message.recipients) == [
            "TO:<bob@example.net>",
            "TO:<böb@exämple.net>",
            "TO:<carol@example.com>",
        ], log
        for message in world.messages:
            assert re.search(rb"by localhost with (UTF8SMTP|ESMTP) id [A-Z2-7]{16}[;\r]", message.content)
        assert any(body in message.content for message in world.messages)


async def test_postfix_keeps_what_the_gateway_cannot_deliver_now(configured):
    entry = free_port()
    main = "default_transport = smtp:[127.0.0.1]:{gateway}"
    answers = {"CONTENT": "451 4.3.0 not now"}
    async with NextHop(answers=answers) as world, Relay(configured(world.port)) as relay:
        main = main.format(gateway=relay.addresses[0][1])
        master = f"127.0.0.1:{entry} inet n - n - - smtpd"
        async with Postfix("mx.example.org", main, master) as postfix:
            client = await greeted(("127.0.0.1", entry))
            assert (await client.send(MESSAGE)).startswith("250")
            await client.close()
            await _until(lambda: "451 4.3.0 not now" in postfix.log)
            assert world.messages == []
            world.answers.clear()
            await _until(lambda: len(world.messages) == 1)
        assert len(world.messages) == 1


async def _until(condition) -> None:
    for _ in range(400):
        if condition():
            return
        await asyncio.sleep(0.05)
