"""TLS on both sides, authentication, and what must never stand in a log."""

from __future__ import annotations

import asyncio
import io
import json
import ssl
from base64 import b64encode

import pytest
import structlog

from smime_smtp_relay.logs import configure_logs
from smime_smtp_relay.passwords import hash_password
from smime_smtp_relay.server import Relay
from tests.relay.conftest import TlsFiles
from tests.relay.smtp_peers import CLOSE, Client, NextHop, greeted

MESSAGE = b"From: alice@example.org\r\nTo: bob@example.net\r\nSubject: secret-subject\r\n\r\nsecret-body\r\n"
PASSWORD = "correct horse battery staple"
USERS = f"""
[users.alice]
password = "{hash_password(PASSWORD)}"
senders = ["alice@example.org", "@sales.example.org"]
"""


def plain(user: str, password: str, authorisation: str = "") -> str:
    return b64encode(f"{authorisation}\0{user}\0{password}".encode()).decode()


@pytest.mark.parametrize("mode", ["offered", "required", "implicit"])
async def test_tls_of_clients(configured, tls_files, mode):
    listen = f'tls = "{mode}"\n{tls_files.toml()}'
    async with NextHop() as hop, Relay(configured(hop.port, listen=listen)) as relay:
        address = relay.addresses[0]
        if mode == "implicit":
            client = await Client.connect(("localhost", address[1]), tls=tls_files.client)
        else:
            client = await Client.connect(("localhost", address[1]))
            assert "STARTTLS" in await client.say("EHLO me")
            if mode == "required":
                assert (await client.say("MAIL FROM:<alice@example.org>")).startswith("530 5.7.0")
            await client.say("MAIL FROM:<forgotten@example.org>")
            assert (await client.say("STARTTLS")).startswith("220 2.0.0")
            await client.writer.start_tls(tls_files.client, server_hostname="localhost")
        assert "STARTTLS" not in await client.say("EHLO me")
        assert (await client.say("STARTTLS")).startswith("503")
        assert (await client.send(MESSAGE)).startswith("250")
        assert b"with ESMTPS id" in hop.messages[0].content
        assert hop.messages[0].mail == "FROM:<alice@example.org>"
        await client.close()


async def test_commands_injected_before_starttls_are_forgotten(configured, tls_files):
    listen = f'tls = "offered"\n{tls_files.toml()}'
    async with NextHop() as hop, Relay(configured(hop.port, listen=listen)) as relay:
        client = await Client.connect(("localhost", relay.addresses[0][1]))
        await client.say("EHLO me")
        await client.write(b"STARTTLS\r\nMAIL FROM:<evil@example.org>\r\nRCPT TO:<bob@example.net>\r\n")
        assert (await client.reply()).startswith("220")
        await client.writer.start_tls(tls_files.client, server_hostname="localhost")
        assert (await client.say("NOOP")).startswith("250 2.0.0 OK")
        assert hop.connections == 0
        await client.close()


@pytest.mark.parametrize(
    ("settings", "implicit", "delivered"),
    [
        ('tls = "opportunistic"', False, True),
        ('tls = "encrypt"', False, True),
        ('tls = "verify"\nca_file = "{root}"', False, True),
        ('tls = "verify"', False, False),
        ('tls = "encrypt"\nfingerprints = ["{fingerprint}"]', False, True),
        ('tls = "encrypt"\nfingerprints = ["' + "00" * 32 + '"]', False, False),
        ('tls = "encrypt"\nimplicit_tls = true', True, True),
        ('tls = "verify"\nca_file = "{root}"\nimplicit_tls = true', True, True),
        ('tls = "verify"\nimplicit_tls = true', True, False),
    ],
)
async def test_tls_to_the_next_hop(configured, tls_files, settings, implicit, delivered):
    settings = settings.format(root=tls_files.root, fingerprint=tls_files.fingerprint)
    next_hop = NextHop(tls=tls_files.server, implicit=implicit)
    async with next_hop as hop, Relay(configured(hop.port, next_hop=settings)) as relay:
        client = await greeted(relay.addresses[0])
        reply = await client.send(MESSAGE)
        if delivered:
            assert reply.startswith("250")
            assert hop.messages[0].secure
        else:
            assert reply == "451 4.7.5 no secure connection to the next hop"
            assert hop.messages == []
        await client.close()


async def test_a_wrong_name_in_the_next_hops_certificate_is_noticed(configured, tmp_path):
    files = TlsFiles(tmp_path / "elsewhere", "elsewhere.example", names=("elsewhere.example",))
    settings = f'tls = "verify"\nca_file = "{files.root}"'
    async with NextHop(tls=files.server) as hop, Relay(configured(hop.port, next_hop=settings)) as relay:
        client = await greeted(relay.addresses[0])
        assert (await client.send(MESSAGE)) == "451 4.7.5 no secure connection to the next hop"
        assert hop.commands["MAIL"] == 0
        await client.close()


@pytest.mark.parametrize("settings", ['tls = "encrypt"', 'tls = "verify"'])
async def test_a_next_hop_without_starttls_gets_nothing_where_it_is_demanded(configured, settings):
    async with NextHop() as hop, Relay(configured(hop.port, next_hop=settings)) as relay:
        client = await greeted(relay.addresses[0])
        assert (await client.send(MESSAGE)) == "451 4.7.5 no secure connection to the next hop"
        assert hop.commands["MAIL"] == 0
        await client.close()


async def test_login_at_the_next_hop(configured, tls_files, tmp_path):
    (tmp_path / "password").write_text("hop password\n")
    settings = 'tls = "encrypt"\nuser = "gateway"\npassword_file = "password"'
    credentials = plain("gateway", "hop password")
    next_hop = NextHop(tls=tls_files.server, credentials=credentials)
    async with next_hop as hop, Relay(configured(hop.port, next_hop=settings)) as relay:
        client = await greeted(relay.addresses[0])
        assert (await client.send(MESSAGE)).startswith("250")
        hop.credentials = "other"
        await hop.drop_connections()
        assert (await client.send(MESSAGE)).startswith("451 4.4.1")
        await client.close()


@pytest.fixture
def authenticating(tls_files: TlsFiles) -> str:
    return f'tls = "implicit"\nauthentication = "required"\n{tls_files.toml()}'


async def _connected(relay: Relay, tls_files: TlsFiles) -> Client:
    client = await Client.connect(("localhost", relay.addresses[0][1]), tls=tls_files.client)
    assert "AUTH PLAIN LOGIN" in await client.say("EHLO me")
    return client


async def test_authentication_and_whom_a_user_may_send_as(configured, tls_files, authenticating):
    async with NextHop() as hop, Relay(configured(hop.port, USERS, listen=authenticating)) as relay:
        client = await _connected(relay, tls_files)
        assert (await client.say("MAIL FROM:<alice@example.org>")).startswith("530 5.7.0")
        assert (await client.say(f"AUTH PLAIN {plain('alice', 'wrong')}")).startswith("535 5.7.8")
        assert (await client.say(f"AUTH plain {plain('alice', PASSWORD)}")).startswith("235 2.7.0")
        assert (await client.say("AUTH PLAIN")).startswith("503")
        assert (await client.say("MAIL FROM:<eve@example.org>")) == "553 5.7.1 this is not an address of the user"
        for sender in ("ALICE@Example.Org", "anybody@sales.example.org", ""):
            assert (await client.send(MESSAGE, sender=sender)).startswith("250")
        assert b"with ESMTPSA id" in hop.messages[0].content
        await client.close()


async def test_auth_login_and_continuations(configured, tls_files, authenticating):
    async with NextHop() as hop, Relay(configured(hop.port, USERS, listen=authenticating)) as relay:
        client = await _connected(relay, tls_files)
        assert await client.say("AUTH PLAIN") == "334 "
        assert (await client.say("*")).startswith("501")
        assert await client.say("AUTH PLAIN") == "334 "
        assert (await client.say("!!!")).startswith("501")
        assert await client.say("AUTH LOGIN") == "334 " + b64encode(b"Username:").decode()
        assert await client.say(b64encode(b"alice").decode()) == "334 " + b64encode(b"Password:").decode()
        assert (await client.say(b64encode(PASSWORD.encode()).decode())).startswith("235")
        await client.close()


@pytest.mark.parametrize("name", ["alice", "nobody"])
async def test_failed_logins_end_the_session(configured, tls_files, authenticating, name):
    async with NextHop() as hop, Relay(configured(hop.port, USERS, listen=authenticating)) as relay:
        client = await _connected(relay, tls_files)
        for _ in range(2):
            assert (await client.say(f"AUTH PLAIN {plain(name, 'wrong')}")).startswith("535 5.7.8")
        assert (await client.say(f"AUTH PLAIN {plain(name, 'wrong')}")) == "421 4.7.0 too many failed logins"
        assert await client.reply() == ""
        await client.close()


async def test_another_authorisation_identity_is_refused(configured, tls_files, authenticating):
    async with NextHop() as hop, Relay(configured(hop.port, USERS, listen=authenticating)) as relay:
        client = await _connected(relay, tls_files)
        assert (await client.say(f"AUTH PLAIN {plain('alice', PASSWORD, 'boss')}")).startswith("535")
        assert (await client.say(f"AUTH PLAIN {plain('alice', PASSWORD, 'alice')}")).startswith("235")
        await client.close()


async def test_auth_is_not_offered_without_tls(configured, tls_files):
    listen = f'tls = "offered"\nauthentication = "offered"\n{tls_files.toml()}'
    async with NextHop() as hop, Relay(configured(hop.port, USERS, listen=listen)) as relay:
        client = await Client.connect(relay.addresses[0])
        assert "AUTH" not in await client.say("EHLO me")
        assert (await client.say(f"AUTH PLAIN {plain('alice', PASSWORD)}")).startswith("538 5.7.11")
        await client.close()


async def test_logs_hold_no_content_and_no_secrets(configured, tls_files, authenticating, capfd):
    stream = io.StringIO()
    configure_logs(level="debug", stream=stream)
    try:
        async with NextHop() as hop, Relay(configured(hop.port, USERS, listen=authenticating)) as relay:
            client = await _connected(relay, tls_files)
            secret_reply = plain("alice", "wrong-password")
            await client.say(f"AUTH PLAIN {secret_reply}")
            await client.say(secret_reply)
            await client.say(f"AUTH PLAIN {plain('alice', PASSWORD)}")
            assert (await client.send(MESSAGE)).startswith("250")
            hop.answers["CONTENT"] = "550 5.7.1 no"
            await client.send(MESSAGE)
            hop.answers["CONTENT"] = CLOSE
            await client.send(MESSAGE)
            relay.gateway._dispatchers = {}  # a programming error: its text must not leak either
            assert (await client.send(MESSAGE)).startswith("451 4.3.0")
            await client.close()
            await asyncio.sleep(0.05)
    finally:
        structlog.reset_defaults()
    output = stream.getvalue() + "".join(capfd.readouterr())
    assert [json.loads(line)["event"] for line in stream.getvalue().splitlines()].count("message.delivered") == 1
    for secret in ("secret-subject", "secret-body", PASSWORD, "wrong-password", secret_reply, "scrypt$"):
        assert secret not in output


async def test_old_tls_is_refused(configured, tls_files):
    listen = f'tls = "implicit"\n{tls_files.toml()}'
    old = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    old.check_hostname = False
    old.verify_mode = ssl.CERT_NONE
    async with NextHop() as hop, Relay(configured(hop.port, listen=listen)) as relay:
        with pytest.warns(DeprecationWarning, match="deprecated"):
            old.maximum_version = ssl.TLSVersion.TLSv1_1
        with pytest.raises((ssl.SSLError, ConnectionError)):
            await Client.connect(relay.addresses[0], tls=old)
