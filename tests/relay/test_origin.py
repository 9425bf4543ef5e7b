"""Where mail comes from: XFORWARD of servers in front of us, the PROXY protocol of load balancers."""

from __future__ import annotations

import asyncio
import socket

import pytest

from smime_engine.errors import ConfigurationError
from smime_smtp_relay.envelope import CommandRefused, ForwardedClient
from smime_smtp_relay.server import Relay
from tests.relay.smtp_peers import EXTENSIONS, Client, NextHop, greeted

MESSAGE = b"From: alice@example.org\r\nSubject: x\r\n\r\nHello\r\n"
TRUSTING = 'xforward_from = ["127.0.0.0/8"]'


async def test_xforward_is_passed_on_and_forgotten_after_the_message(configured):
    offered = (*EXTENSIONS, "XFORWARD NAME ADDR HELO")
    async with NextHop(extensions=offered) as hop, Relay(configured(hop.port, listen=TRUSTING)) as relay:
        client = await Client.connect(relay.addresses[0])
        assert "XFORWARD NAME ADDR PORT PROTO HELO SOURCE IDENT" in await client.say("EHLO me")
        assert await client.say("XFORWARD NAME=spike.example ADDR=192.0.2.7") == "250 2.0.0 OK"
        assert await client.say("XFORWARD PROTO=ESMTP HELO=sp+2Bike") == "250 2.0.0 OK"
        assert (await client.send(MESSAGE)).startswith("250")
        assert "XFORWARD NAME=spike.example ADDR=192.0.2.7 HELO=sp+2Bike" in hop.lines
        assert (await client.send(MESSAGE)).startswith("250")
        assert hop.commands["XFORWARD"] == 1
        await client.close()


async def test_a_next_hop_that_does_not_believe_us_gets_the_mail_all_the_same(configured):
    hop = NextHop(extensions=(*EXTENSIONS, "XFORWARD ADDR"), answers={"XFORWARD": "550 5.7.1 no"})
    async with hop, Relay(configured(hop.port, listen=TRUSTING)) as relay:
        client = await greeted(relay.addresses[0])
        for _ in range(2):
            await client.say("XFORWARD ADDR=192.0.2.7")
            assert (await client.send(MESSAGE)).startswith("250")
        assert hop.commands["XFORWARD"] == 1
        await client.close()


async def test_strangers_may_not_say_where_mail_comes_from(configured):
    async with NextHop() as hop, Relay(configured(hop.port, listen='xforward_from = ["10.0.0.0/8"]')) as relay:
        client = await Client.connect(relay.addresses[0])
        assert "XFORWARD" not in await client.say("EHLO me")
        assert await client.say("XFORWARD ADDR=192.0.2.7") == "550 5.7.1 not from here"
        await client.close()


async def test_not_within_a_transaction(configured):
    async with NextHop() as hop, Relay(configured(hop.port, listen=TRUSTING)) as relay:
        client = await greeted(relay.addresses[0])
        await client.say("MAIL FROM:<alice@example.org>")
        assert (await client.say("XFORWARD ADDR=192.0.2.7")).startswith("503")
        await client.close()


@pytest.mark.parametrize("argument", [None, "", "ADDR", "FOO=bar", "ADDR=a=b", "NAME=" + "x" * 256, "HELO=a+zz"])
def test_wrong_attributes(argument):
    with pytest.raises(CommandRefused):
        ForwardedClient().including(argument)


def test_the_address():
    assert ForwardedClient().address is None
    assert ForwardedClient().including("ADDR=IPV6:2001:db8::1").address == "2001:db8::1"
    assert ForwardedClient().including("NAME=[UNAVAILABLE] ADDR=[UNAVAILABLE]").address is None


VERSION_2 = (
    b"\r\n\r\n\x00\r\nQUIT\n\x21\x11\x00\x0c" + socket.inet_aton("192.0.2.9") + socket.inet_aton("192.0.2.1")
    + (4711).to_bytes(2, "big") + (25).to_bytes(2, "big")
)  # fmt: skip


@pytest.mark.parametrize("line", [b"PROXY TCP4 192.0.2.9 192.0.2.1 4711 25\r\n", VERSION_2])
async def test_a_load_balancer_tells_who_the_client_is(configured, line):
    async with NextHop() as hop, Relay(configured(hop.port, listen="proxy_protocol = true")) as relay:
        reader, writer = await asyncio.open_connection(*relay.addresses[0])
        client = Client(reader, writer)
        await client.write(line)
        assert (await client.reply()).startswith("220")
        await client.say("EHLO me")
        assert (await client.send(MESSAGE)).startswith("250")
        assert b"Received: from me ([192.0.2.9])" in hop.messages[0].content
        assert [session.client for session in relay.gateway.sessions] == ["192.0.2.9"]
        await client.close()


async def test_nobody_gets_in_without_the_load_balancers_line(configured):
    async with NextHop() as hop, Relay(configured(hop.port, listen="proxy_protocol = true")) as relay:
        reader, writer = await asyncio.open_connection(*relay.addresses[0])
        client = Client(reader, writer)
        await client.write(b"EHLO me\r\n")
        assert await client.reply() == ""
        await client.close()
        await asyncio.sleep(0.05)
        assert not relay.gateway.sessions


async def test_sessions_are_counted_by_the_true_client(configured):
    more = "[limits]\nsessions_per_client = 1"
    async with NextHop() as hop, Relay(configured(hop.port, more, listen="proxy_protocol = true")) as relay:
        clients = []
        for address, code in (("192.0.2.1", "220"), ("192.0.2.2", "220"), ("192.0.2.1", "421")):
            client = Client(*await asyncio.open_connection(*relay.addresses[0]))
            await client.write(f"PROXY TCP4 {address} 192.0.2.100 4711 25\r\n".encode())
            assert (await client.reply())[:3] == code
            clients.append(client)
        for client in clients:
            await client.close()


@pytest.mark.parametrize(
    ("listen", "complaint"),
    [
        ('xforward_from = ["x"]', "listen[0].xforward_from"),
        ('proxy_protocol = true\ntls = "implicit"\ncertificate = "x"', "listen[0].proxy_protocol"),
    ],
)
def test_wrong_configurations(configured, listen, complaint):
    with pytest.raises(ConfigurationError) as error:
        configured(25, listen=listen)
    assert complaint in str(error.value)
