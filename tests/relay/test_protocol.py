"""SMTP as clients speak it and as attackers do: line ends, pipelining, sizes, time, sessions."""

from __future__ import annotations

import asyncio

import pytest

from smime_smtp_relay.server import Relay
from tests.relay.smtp_peers import Client, NextHop, greeted

MESSAGE = b"From: alice@example.org\r\nTo: bob@example.net\r\nSubject: test\r\n\r\nHello\r\n"
ENVELOPE = b"MAIL FROM:<alice@example.org>\r\nRCPT TO:<bob@example.net>\r\nDATA\r\n"
SMUGGLED = (
    b"MAIL FROM:<evil@example.org>\r\nRCPT TO:<bob@example.net>\r\nDATA\r\nFrom: boss@example.org\r\n\r\nPay!\r\n"
)


@pytest.mark.parametrize(
    ("false_end", "arrives_as"),
    [
        (b"\n.\r\n", b"\r\n.\r\n"),
        (b"\r\n.\n", b"\r\n\r\n"),  # here the dot starts a line, so it is stuffing
        (b"\n.\n", b"\r\n.\r\n"),
        (b"\r.\r", b"\r\n.\r\n"),
        (b"\r\n.\r", b"\r\n\r\n"),  # here too
        (b"\r.\r\n", b"\r\n.\r\n"),
        (b"\n.\r", b"\r\n.\r\n"),
        (b"\r\n\x00.\r\n", b"\r\n\x00.\r\n"),
        (b"\r\r\n.\r\r\n", b"\r\n\r\n\r\n\r\n"),
    ],
)
async def test_only_the_true_end_ends_a_message(configured, false_end, arrives_as):
    async with NextHop() as hop, Relay(configured(hop.port)) as relay:
        client = await greeted(relay.addresses[0])
        for line in ENVELOPE.splitlines():
            await client.say(line.decode())
        await client.write(MESSAGE + b"end" + false_end + SMUGGLED + b".\r\n")
        assert (await client.reply()).startswith("250")
        assert await client.say("NOOP") == "250 2.0.0 OK"
        (stored,) = hop.messages
        assert stored.body == MESSAGE + b"end" + arrives_as + SMUGGLED
        assert hop.commands["MAIL"] == 1
        # What the next hop was sent has no bare CR or LF, so that it cannot see another end either.
        assert stored.content.count(b"\n") == stored.content.count(b"\r") == stored.content.count(b"\r\n")
        await client.close()


@pytest.mark.parametrize("content", [b"a\nb\r\n", b"a\rb\r\n", b"a\r\r\nb\r\n", b"\n.\r\nb\r\n"])
async def test_bare_line_ends_can_be_refused(configured, content):
    async with NextHop() as hop, Relay(configured(hop.port, '[signing]\nline_ends = "reject"')) as relay:
        client = await greeted(relay.addresses[0])
        reply = await client.send(MESSAGE + content)
        assert reply == "550 5.5.2 bare CR or LF in the message (RFC 5321 section 2.3.8)"
        assert hop.messages == []
        assert (await client.send(MESSAGE)).startswith("250")
        await client.close()


async def test_everything_pipelined_in_one_write(configured):
    async with NextHop() as hop, Relay(configured(hop.port)) as relay:
        client = await greeted(relay.addresses[0])
        await client.write(ENVELOPE + MESSAGE + b".\r\n" + ENVELOPE + MESSAGE + b".\r\nQUIT\r\n")
        replies = [await client.reply() for _ in range(9)]
        assert [reply[:3] for reply in replies] == ["250", "250", "354", "250", "250", "250", "354", "250", "221"]
        assert [stored.body for stored in hop.messages] == [MESSAGE, MESSAGE]
        await client.close()


@pytest.mark.parametrize("size", [1, 2, 3, 5, 7])
async def test_any_fragmentation_gives_the_same(configured, size):
    content = b".dot\r\n..two\r\n\r\n.\t\r\nlast\r\n"
    async with NextHop() as hop, Relay(configured(hop.port)) as relay:
        client = await greeted(relay.addresses[0])
        for line in ENVELOPE.splitlines():
            await client.say(line.decode())
        wire = MESSAGE + content.replace(b"\r\n.", b"\r\n..").replace(b".dot", b"..dot", 1) + b".\r\nNOOP\r\n"
        for start in range(0, len(wire), size):
            await client.write(wire[start : start + size])
            await asyncio.sleep(0)
        assert (await client.reply()).startswith("250")
        assert await client.reply() == "250 2.0.0 OK"
        assert hop.messages[0].body == MESSAGE + content
        await client.close()


async def test_an_empty_message(configured):
    async with NextHop() as hop, Relay(configured(hop.port, '[signing]\nmalformed = "pass"')) as relay:
        client = await greeted(relay.addresses[0])
        assert (await client.send(b"")).startswith("250")
        assert hop.messages[0].body == b""
        await client.close()


async def test_size_is_refused_at_mail_and_after_data(configured):
    async with NextHop() as hop, Relay(configured(hop.port, "[limits]\nmessage_size = 1000")) as relay:
        client = await greeted(relay.addresses[0])
        too_large = "552 5.3.4 the message is larger than this gateway takes"
        assert await client.say("MAIL FROM:<alice@example.org> SIZE=1001") == too_large
        assert hop.connections == 0
        assert (await client.send(MESSAGE + b"x" * 2000 + b"\r\n")) == too_large
        assert (await client.send(MESSAGE + b"x" * (1000 - len(MESSAGE) - 2) + b"\r\n")).startswith("250")
        assert (await client.send(MESSAGE + b"x" * (1001 - len(MESSAGE) - 2) + b"\r\n")) == too_large
        assert relay.gateway.memory.used == 0
        await client.close()


async def test_a_client_that_never_ends_its_message_is_cut_off(configured):
    async with NextHop() as hop, Relay(configured(hop.port, "[limits]\nmessage_size = 1000")) as relay:
        client = await greeted(relay.addresses[0])
        for line in ENVELOPE.splitlines():
            await client.say(line.decode())
        with pytest.raises(ConnectionError):
            await _write_for_ever(client)
        await client.close()


async def _write_for_ever(client: Client) -> None:
    for _ in range(1_000):
        await client.write(b"x" * 65_536)


async def test_memory_is_bounded_over_all_sessions(configured):
    limits = "[limits]\nmessage_size = 100000\nmemory = 150000"
    async with NextHop() as hop, Relay(configured(hop.port, limits)) as relay:
        first, second = await greeted(relay.addresses[0]), await greeted(relay.addresses[0])
        for client in (first, second):
            for line in ENVELOPE.splitlines():
                await client.say(line.decode())
            await client.write(MESSAGE + b"x" * 80_000 + b"\r\n")
            await asyncio.sleep(0.05)
        await second.write(b".\r\n")
        assert await second.reply() == "452 4.3.1 too many messages at a time"
        await first.write(b".\r\n")
        assert (await first.reply()).startswith("250")
        assert (await second.send(MESSAGE)).startswith("250")
        assert relay.gateway.memory.used == 0
        await first.close()
        await second.close()


async def test_silent_clients_are_told_and_dropped(configured):
    async with NextHop() as hop, Relay(configured(hop.port, "[limits]\ncommand_timeout = 0.2")) as relay:
        client = await greeted(relay.addresses[0])
        assert await client.reply() == "421 4.4.2 timeout"
        assert await client.reply() == ""
        await client.close()


@pytest.mark.parametrize("limits", ["data_timeout = 0.2", "data_timeout = 0.2\ndata_rate = 1000000"])
async def test_slow_loris_within_data(configured, limits):
    async with NextHop() as hop, Relay(configured(hop.port, f"[limits]\n{limits}")) as relay:
        client = await greeted(relay.addresses[0])
        for line in ENVELOPE.splitlines():
            await client.say(line.decode())
        drip = asyncio.create_task(_drip(client, 0.3 if "rate" not in limits else 0.05))
        assert await client.reply() == "421 4.4.2 timeout"
        drip.cancel()
        await client.close()


async def _drip(client: Client, pause: float) -> None:
    while True:
        await client.write(b"x")
        await asyncio.sleep(pause)


async def test_sessions_are_limited(configured):
    async with NextHop() as hop, Relay(configured(hop.port, "[limits]\nsessions_per_client = 2")) as relay:
        first, second = await greeted(relay.addresses[0]), await greeted(relay.addresses[0])
        third = await Client.connect(relay.addresses[0])
        assert third.greeting == "421 4.7.0 too many connections"
        await first.close()
        await asyncio.sleep(0.05)
        fourth = await greeted(relay.addresses[0])
        assert (await fourth.send(MESSAGE)).startswith("250")
        for client in (second, third, fourth):
            await client.close()


async def test_recipients_are_limited(configured):
    async with NextHop() as hop, Relay(configured(hop.port, "[limits]\nrecipients = 2")) as relay:
        client = await greeted(relay.addresses[0])
        await client.say("MAIL FROM:<alice@example.org>")
        for _ in range(2):
            assert (await client.say("RCPT TO:<bob@example.net>")).startswith("250")
        assert await client.say("RCPT TO:<bob@example.net>") == "452 4.5.3 too many recipients"
        await client.close()


async def test_smtputf8_and_8bit_go_through_unchanged(configured):
    message = "From: álice@exämple.org\r\nSubject: Grüße\r\n\r\nнебо\r\n".encode()
    async with NextHop() as hop, Relay(configured(hop.port)) as relay:
        client = await greeted(relay.addresses[0])
        assert (
            await client.say("MAIL FROM:<álice@exämple.org>")
        ) == "553 5.6.7 an address outside ASCII needs SMTPUTF8"
        reply = await client.send(
            message, sender="álice@exämple.org", recipients=("bøb@exämple.net",), options=" BODY=8BITMIME SMTPUTF8"
        )
        assert reply.startswith("250")
        (stored,) = hop.messages
        assert stored.body == message
        assert stored.mail == "FROM:<álice@exämple.org> BODY=8BITMIME SMTPUTF8"
        assert stored.recipients == ["TO:<bøb@exämple.net>"]
        assert b"with UTF8SMTP id" in stored.content
        assert "for <bøb@exämple.net>".encode() in stored.content
        await client.close()


async def test_what_the_next_hop_cannot_take_is_refused(configured):
    async with NextHop(extensions=()) as hop, Relay(configured(hop.port)) as relay:
        client = await greeted(relay.addresses[0])
        reply = await client.send(MESSAGE, sender="álice@example.org", options=" SMTPUTF8")
        assert reply == "550 5.6.7 the next hop does not take addresses outside ASCII"
        assert (await client.send(MESSAGE, options=" BODY=8BITMIME SIZE=50")).startswith("250")
        assert hop.messages[0].mail == "FROM:<alice@example.org>"
        await client.close()


async def test_replies_are_ascii_unless_asked(configured):
    async with NextHop(answers={"RCPT": "550 5.1.1 kein Empfänger"}) as hop, Relay(configured(hop.port)) as relay:
        client = await greeted(relay.addresses[0])
        await client.say("MAIL FROM:<alice@example.org>")
        assert await client.say("RCPT TO:<bob@example.net>") == "550 5.1.1 kein Empf?nger"
        await client.say("RSET")
        await client.say("MAIL FROM:<alice@example.org> SMTPUTF8")
        assert await client.say("RCPT TO:<bob@example.net>") == "550 5.1.1 kein Empfänger"
        await client.close()


async def test_lines_without_end_and_long_lines_pass(configured):
    async with NextHop() as hop, Relay(configured(hop.port)) as relay:
        client = await greeted(relay.addresses[0])
        message = MESSAGE + b"y" * 200_000 + b"\r\n"
        assert (await client.send(message)).startswith("250")
        assert hop.messages[0].body == message
        await client.close()


@pytest.mark.parametrize("size", [300_000, 5_000_000])
async def test_large_messages(configured, size):
    message = MESSAGE + b".a line that starts with a dot and goes on\r\n" * (size // 44)
    async with NextHop() as hop, Relay(configured(hop.port)) as relay:
        client = await greeted(relay.addresses[0])
        assert (await client.send(message)).startswith("250")
        assert hop.messages[0].body == message
        await client.close()


@pytest.mark.parametrize(
    ("line", "code"),
    [
        ("", "500"),
        ("NONSENSE", "500"),
        ("MAIL", "501"),
        ("MAIL FROM:alice@example.org", "250"),
        ("MAIL FROM:<alice@example.org> FOO=BAR", "555"),
        ("MAIL FROM:<alice@example.org> SIZE=x", "501"),
        ("MAIL FROM:<alice@example.org> BODY=BINARYMIME", "501"),
        ("MAIL FROM:<alice@example.org", "501"),
        ("MAIL FROM:<alice@example.org>\x00", "501"),
        ("RCPT TO:<bob@example.net>", "503"),
        ("DATA", "503"),
        ("VRFY bob", "252"),
        ("EXPN list", "502"),
        ("HELP", "214"),
        ("RSET", "250"),
        ("NOOP", "250"),
        ("STARTTLS", "454"),
        ("AUTH PLAIN AGEAYg==", "502"),
        ("MAIL FROM:<" + "a" * 3000 + "@example.org>", "500"),
    ],
)
async def test_commands_and_their_enhanced_codes(configured, line, code):
    async with NextHop() as hop, Relay(configured(hop.port)) as relay:
        client = await greeted(relay.addresses[0])
        reply = await client.say(line)
        assert reply[:3] == code
        enhanced = reply.split()[1].split(".")
        assert len(enhanced) == 3
        assert enhanced[0] == code[0]
        await client.close()


async def test_mail_before_ehlo_and_nested_mail(configured):
    async with NextHop() as hop, Relay(configured(hop.port)) as relay:
        client = await Client.connect(relay.addresses[0])
        assert (await client.say("MAIL FROM:<alice@example.org>")).startswith("503 5.5.1")
        await client.say("EHLO me")
        await client.say("MAIL FROM:<alice@example.org>")
        assert (await client.say("MAIL FROM:<alice@example.org>")).startswith("503 5.5.1")
        await client.say("EHLO me")
        assert (await client.say("RCPT TO:<bob@example.net>")).startswith("503 5.5.1")
        await client.close()


async def test_drain_lets_transactions_end_and_sends_the_others_home(configured):
    async with NextHop() as hop:
        relay = Relay(configured(hop.port, "[limits]\ndrain = 5"))
        await relay.start()
        idle, busy = await greeted(relay.addresses[0]), await greeted(relay.addresses[0])
        address = relay.addresses[0]
        await busy.say("MAIL FROM:<alice@example.org>")
        stopping = asyncio.create_task(relay.stop())
        assert await idle.reply() == "421 4.3.2 the service is shutting down"
        with pytest.raises(OSError):
            await Client.connect(address)
        await busy.say("RCPT TO:<bob@example.net>")
        await busy.say("DATA")
        await busy.write(MESSAGE + b".\r\n")
        assert (await busy.reply()).startswith("250")
        assert await busy.reply() == "421 4.3.2 the service is shutting down"
        await stopping
        assert len(hop.messages) == 1
        await asyncio.sleep(0.05)
        assert hop.open == 0
        await idle.close()
        await busy.close()


async def test_drain_ends_in_time_whatever_a_client_does(configured):
    async with NextHop() as hop:
        relay = Relay(configured(hop.port, "[limits]\ndrain = 0.2"))
        await relay.start()
        client = await greeted(relay.addresses[0])
        await client.say("MAIL FROM:<alice@example.org>")
        await asyncio.wait_for(relay.stop(), 3)
        assert await client.reply() == "421 4.3.2 the service is shutting down"
        await client.close()
