"""The mail transaction through the gateway: every reply of the next hop reaches the client, and nothing else does."""

from __future__ import annotations

import asyncio

import pytest

from smime_smtp_relay.server import Relay
from tests.relay.smtp_peers import CLOSE, HANG, Client, NextHop, greeted

MESSAGE = b"From: alice@example.org\r\nTo: bob@example.net\r\nSubject: test\r\n\r\nHello\r\n"


async def test_a_message_passes_and_the_reply_is_the_next_hops(configured):
    async with NextHop(answers={"CONTENT": "250 2.6.0 queued as 4711"}) as hop, Relay(configured(hop.port)) as relay:
        client = await greeted(relay.addresses[0])
        assert await client.send(MESSAGE) == "250 2.6.0 queued as 4711"
        (stored,) = hop.messages
        assert stored.mail == "FROM:<alice@example.org>"
        assert stored.recipients == ["TO:<bob@example.net>"]
        assert stored.body == MESSAGE
        await client.close()


async def test_ehlo_tells_the_truth(configured, tls_files):
    async with NextHop() as hop, Relay(configured(hop.port, "[limits]\nmessage_size = 12345")) as relay:
        client = await Client.connect(relay.addresses[0])
        assert client.greeting == "220 localhost ESMTP"
        reply = await client.say("EHLO me")
        assert reply.split("\n") == [
            "250-localhost",
            "250-PIPELINING",
            "250-SIZE 12345",
            "250-ENHANCEDSTATUSCODES",
            "250-8BITMIME",
            "250-SMTPUTF8",
            "250 DSN",
        ]
        assert await client.say("HELO me") == "250 localhost"
        await client.close()


async def test_ehlo_offers_only_what_the_next_hop_has_once_that_is_known(configured):
    async with NextHop(extensions=("8BITMIME",)) as hop, Relay(configured(hop.port)) as relay:
        client = await greeted(relay.addresses[0])
        assert (await client.send(MESSAGE)).startswith("250")
        reply = await client.say("EHLO me")
        assert "SMTPUTF8" not in reply
        assert "DSN" not in reply
        await client.close()


@pytest.mark.parametrize(
    ("verb", "answer", "expected"),
    [
        ("MAIL", "550 5.7.1 we do not like alice", "550 5.7.1 we do not like alice"),
        ("MAIL", "451 4.3.0 later", "451 4.3.0 later"),
        ("MAIL", "552 5.3.4 too big for us", "552 5.3.4 too big for us"),
        ("RCPT", "550 no such user", "550 5.0.0 no such user"),
        ("RCPT", "450-4.2.1 first line\n450 4.2.1 second", "450-4.2.1 first line\n450 4.2.1 second"),
        ("DATA", "554 5.5.1 no", "554 5.5.1 no"),
        ("DATA", "451 4.3.0 not now", "451 4.3.0 not now"),
        ("CONTENT", "554 5.7.1 spam", "554 5.7.1 spam"),
        ("CONTENT", "452 4.3.1 disk full", "452 4.3.1 disk full"),
        ("CONTENT", "421 4.3.2 going down", "451 4.3.2 going down"),
        ("CONTENT", "999 nonsense", "451 4.3.0 the next hop answered 999 nonsense"),
        ("CONTENT", CLOSE, "451 4.4.2 the next hop closed the connection"),
        ("DATA", CLOSE, "451 4.4.2 the next hop closed the connection"),
        ("RCPT", CLOSE, "451 4.4.2 the next hop closed the connection"),
        ("GREETING", "554 5.7.1 go away", "451 4.4.1 the next hop does not take mail now: 554"),
        ("GREETING", CLOSE, "451 4.4.1 the next hop cannot be reached"),
    ],
)
async def test_every_refusal_is_passed_on(configured, verb, answer, expected):
    async with NextHop(answers={verb: answer}) as hop, Relay(configured(hop.port)) as relay:
        client = await greeted(relay.addresses[0])
        assert await client.send(MESSAGE) == expected
        assert hop.messages == []
        # The session goes on, and once the next hop is well again, so does the mail.
        hop.answers.clear()
        await client.say("RSET")
        assert (await client.send(MESSAGE)).startswith("250")
        assert len(hop.messages) == 1
        await client.close()


@pytest.mark.parametrize("verb", ["MAIL", "RCPT", "DATA", "CONTENT"])
async def test_a_next_hop_that_hangs_costs_a_temporary_error(configured, verb):
    settings = 'tls = "none"\ncommand_timeout = 0.3\nfinal_timeout = 0.3'
    async with NextHop(answers={verb: HANG}) as hop, Relay(configured(hop.port, next_hop=settings)) as relay:
        client = await greeted(relay.addresses[0])
        assert await client.send(MESSAGE) == "451 4.4.2 the next hop does not answer"
        await client.close()


async def test_no_next_hop_at_all(configured, unused_tcp_port_of_nobody):
    async with Relay(configured(unused_tcp_port_of_nobody)) as relay:
        client = await greeted(relay.addresses[0])
        assert await client.send(MESSAGE) == "451 4.4.1 the next hop cannot be reached"
        assert await client.say("NOOP") == "250 2.0.0 OK"
        await client.close()


@pytest.fixture
def unused_tcp_port_of_nobody(unused_tcp_port):
    return unused_tcp_port


async def test_refused_recipients_are_told_at_once_and_the_others_get_the_message(configured):
    def answer(argument: str) -> str:
        return "550 5.1.1 unknown" if "nobody" in argument else ""

    async with NextHop(answers={"RCPT": answer}) as hop, Relay(configured(hop.port)) as relay:
        client = await greeted(relay.addresses[0])
        await client.say("MAIL FROM:<alice@example.org>")
        assert await client.say("RCPT TO:<bob@example.net>") == "250 2.0.0 ok"
        assert await client.say("RCPT TO:<nobody@example.net>") == "550 5.1.1 unknown"
        assert await client.say("RCPT TO:<carol@example.net>") == "250 2.0.0 ok"
        assert (await client.say("DATA")).startswith("354")
        await client.write(MESSAGE + b".\r\n")
        assert (await client.reply()).startswith("250")
        assert hop.messages[0].recipients == ["TO:<bob@example.net>", "TO:<carol@example.net>"]
        await client.close()


async def test_data_without_valid_recipients_is_refused(configured):
    async with NextHop(answers={"RCPT": "550 5.1.1 unknown"}) as hop, Relay(configured(hop.port)) as relay:
        client = await greeted(relay.addresses[0])
        assert await client.say("DATA") == "503 5.5.1 MAIL comes first"
        await client.say("MAIL FROM:<alice@example.org>")
        await client.say("RCPT TO:<bob@example.net>")
        assert await client.say("DATA") == "554 5.5.1 no valid recipients"
        await client.close()


async def test_connections_to_the_next_hop_are_kept(configured):
    async with NextHop() as hop, Relay(configured(hop.port)) as relay:
        for _ in range(3):
            client = await greeted(relay.addresses[0])
            for _ in range(3):
                assert (await client.send(MESSAGE)).startswith("250")
            await client.close()
        assert len(hop.messages) == 9
        assert hop.connections == 1


async def test_a_kept_connection_that_died_is_replaced_without_the_client_noticing(configured):
    async with NextHop() as hop, Relay(configured(hop.port)) as relay:
        client = await greeted(relay.addresses[0])
        assert (await client.send(MESSAGE)).startswith("250")
        await hop.drop_connections()
        assert (await client.send(MESSAGE)).startswith("250")
        assert hop.connections == 2
        await client.close()


async def test_a_connection_that_dies_while_the_client_writes_is_replaced(configured):
    async with NextHop() as hop, Relay(configured(hop.port)) as relay:
        client = await greeted(relay.addresses[0])
        await client.say("MAIL FROM:<alice@example.org>")
        await client.say("RCPT TO:<bob@example.net>")
        await client.say("RCPT TO:<carol@example.net>")
        await client.say("DATA")
        await hop.drop_connections()
        await client.write(MESSAGE + b".\r\n")
        assert (await client.reply()).startswith("250")
        assert hop.messages[0].recipients == ["TO:<bob@example.net>", "TO:<carol@example.net>"]
        await client.close()


async def test_a_next_hop_that_changes_its_mind_after_a_lost_connection_gets_nothing(configured):
    async with NextHop() as hop, Relay(configured(hop.port)) as relay:
        client = await greeted(relay.addresses[0])
        await client.say("MAIL FROM:<alice@example.org>")
        await client.say("RCPT TO:<bob@example.net>")
        await hop.drop_connections()
        hop.answers["RCPT"] = lambda argument: "550 5.1.1 unknown" if "bob" in argument else ""
        assert (await client.say("RCPT TO:<carol@example.net>")).startswith("451 4.4.2")
        assert (await client.say("RCPT TO:<dave@example.net>")).startswith("451 4.4.2")
        await client.say("DATA")
        await client.write(MESSAGE + b".\r\n")
        assert (await client.reply()).startswith("451 4.4.2")
        assert hop.messages == []
        await client.close()


async def test_messages_per_connection(configured):
    settings = 'tls = "none"\nmessages_per_connection = 2'
    async with NextHop() as hop, Relay(configured(hop.port, next_hop=settings)) as relay:
        client = await greeted(relay.addresses[0])
        for _ in range(5):
            assert (await client.send(MESSAGE)).startswith("250")
        assert hop.connections == 3
        await client.close()


async def test_idle_connections_are_closed(configured):
    settings = 'tls = "none"\nidle = 0.2'
    async with NextHop() as hop, Relay(configured(hop.port, next_hop=settings)) as relay:
        client = await greeted(relay.addresses[0])
        assert (await client.send(MESSAGE)).startswith("250")
        assert hop.open == 1
        for _ in range(100):
            if hop.open == 0:
                break
            await asyncio.sleep(0.05)
        assert hop.open == 0
        assert hop.commands["QUIT"] == 1
        await client.close()


async def test_clients_wait_for_a_free_connection_and_are_told_when_there_is_none(configured):
    settings = 'tls = "none"\nconnections = 1\nwait = 0.3'
    async with NextHop() as hop, Relay(configured(hop.port, next_hop=settings)) as relay:
        first, second = await greeted(relay.addresses[0]), await greeted(relay.addresses[0])
        assert (await first.say("MAIL FROM:<alice@example.org>")).startswith("250")
        reply = await second.say("MAIL FROM:<bob@example.org>")
        assert reply == "451 4.3.2 all connections to the next hop are busy"
        waiting = asyncio.create_task(second.send(MESSAGE))
        await asyncio.sleep(0.05)
        await first.say("RSET")
        assert (await waiting).startswith("250")
        await first.close()
        await second.close()


@pytest.mark.parametrize("after", ["MAIL", "RCPT", "DATA", "content"])
async def test_a_client_that_vanishes_leaves_nothing_behind(configured, after):
    settings = 'tls = "none"\nconnections = 1'
    async with NextHop() as hop, Relay(configured(hop.port, next_hop=settings)) as relay:
        client = await greeted(relay.addresses[0])
        await client.say("MAIL FROM:<alice@example.org>")
        if after != "MAIL":
            await client.say("RCPT TO:<bob@example.net>")
        if after in ("DATA", "content"):
            await client.say("DATA")
        if after == "content":
            await client.write(MESSAGE)
        await client.close()
        other = await greeted(relay.addresses[0])
        assert (await other.send(MESSAGE)).startswith("250")
        assert len(hop.messages) == 1
        assert relay.gateway.memory.used == 0
        await other.close()


async def test_a_client_that_vanishes_after_the_dot_does_not_break_the_delivery_off(configured):
    async with NextHop(delay=0.3) as hop, Relay(configured(hop.port)) as relay:
        client = await greeted(relay.addresses[0])
        await client.say("MAIL FROM:<alice@example.org>")
        await client.say("RCPT TO:<bob@example.net>")
        await client.say("DATA")
        await client.write(MESSAGE + b".\r\n")
        await asyncio.sleep(0.1)
        await client.close()
        await asyncio.sleep(0.5)
        # The next hop said 250: the connection is in order and is used again.
        other = await greeted(relay.addresses[0])
        assert (await other.send(MESSAGE)).startswith("250")
        assert len(hop.messages) == 2
        assert hop.connections == 1
        await other.close()


async def test_a_slow_next_hop_does_not_run_into_the_clients_timeout(configured):
    async with NextHop(delay=0.6) as hop, Relay(configured(hop.port, "[limits]\ncommand_timeout = 0.3")) as relay:
        client = await greeted(relay.addresses[0])
        assert (await client.send(MESSAGE)).startswith("250")
        await client.close()


async def test_bounces_and_source_routes(configured):
    async with NextHop() as hop, Relay(configured(hop.port)) as relay:
        client = await greeted(relay.addresses[0])
        assert (await client.say("MAIL FROM:<>")).startswith("250")
        assert (await client.say("RCPT TO:<@relay.example,@other.example:bob@example.net>")).startswith("250")
        await client.say("DATA")
        await client.write(MESSAGE + b".\r\n")
        assert (await client.reply()).startswith("250")
        assert hop.messages[0].mail == "FROM:<>"
        assert hop.messages[0].recipients == ["TO:<bob@example.net>"]
        await client.close()


async def test_delivery_status_parameters_are_passed_on(configured):
    async with NextHop() as hop, Relay(configured(hop.port)) as relay:
        client = await greeted(relay.addresses[0])
        assert (await client.say("MAIL FROM:<alice@example.org> RET=HDRS ENVID=QQ+2B314 SIZE=99")).startswith("250")
        assert (await client.say("RCPT TO:<bob@example.net> NOTIFY=SUCCESS,DELAY ORCPT=rfc822;Bob+40x")).startswith(
            "250"
        )
        assert "MAIL FROM:<alice@example.org> SIZE=99 RET=HDRS ENVID=QQ+2B314" in hop.lines
        assert "RCPT TO:<bob@example.net> NOTIFY=SUCCESS,DELAY ORCPT=rfc822;Bob+40x" in hop.lines
        await client.close()


async def test_the_trace_field(configured):
    more = 'hostname = "gateway.example"'
    async with NextHop() as hop, Relay(configured(hop.port, first=more)) as relay:
        client = await Client.connect(relay.addresses[0])
        await client.say("EHLO odd\tname")
        await client.say("EHLO odd<name>")
        assert (await client.send(MESSAGE)).startswith("250")
        lines = hop.messages[0].content.split(b"\r\n")
        assert lines[0] == b"Received: from odd?name? ([127.0.0.1])"
        assert lines[1].startswith(b"\tby gateway.example with ESMTP id ")
        assert lines[2] == b"\tfor <bob@example.net>;"
        assert (await client.send(MESSAGE, recipients=("bob@example.net", "hidden@example.net"))).startswith("250")
        assert b"hidden" not in hop.messages[1].content
        await client.close()


async def test_a_mail_loop_is_cut(configured):
    async with NextHop() as hop, Relay(configured(hop.port)) as relay:
        client = await greeted(relay.addresses[0])
        reply = await client.send(b"Received: from a by b; date\r\n" * 60 + MESSAGE)
        assert reply == "554 5.4.6 too many hops: a mail loop"
        assert hop.messages == []
        await client.close()
