"""Mail that arrives: verified, decrypted, stripped, quarantined, refused."""

from __future__ import annotations

import base64
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import pytest
from msgspec import structs

from smime_engine import (
    Certificate,
    DecryptionFailed,
    KeyRing,
    MessageEncryptor,
    MessageSigner,
    TrustCollection,
    Verdict,
    certificates_from,
    load_identity,
    open_message,
    recipient_for,
    seal_message,
)
from smime_engine.errors import ConfigurationError
from smime_engine.mime.parse import Entity, parse_entity
from smime_smtp_relay.config import Configuration, parse_configuration
from smime_smtp_relay.server import Relay
from tests import pki
from tests.relay.smtp_peers import Client, NextHop, greeted

ROOT = pki.authority("Inbound Test Root")
NOW = datetime.now(UTC)
TRUST = TrustCollection([Certificate.parse(ROOT.certificate_der)])
ALICE = load_identity(ROOT.issue("Alice", "alice@example.org").pem())
BOB, OLD_BOB = ROOT.issue("Bob", "bob@example.net", kind="rsa2048"), ROOT.issue("Old Bob", "bob@example.net")
HOUSE = ROOT.issue("House", "gateway@example.net")
SIGNER = MessageSigner(ALICE.key, ALICE.certificate)
PLAIN = (
    b"From: Alice <alice@example.org>\r\nTo: bob@example.net\r\nSubject: inbound\r\n"
    b"Authentication-Results: localhost; smime=pass (forged)\r\nX-SMIME-Signature: VALID\r\n\r\nthe text\r\n"
)
SIGNED = SIGNER.sign(PLAIN, now=NOW)


def sealed_for(*people: pki.Credential) -> bytes:
    encryptor = MessageEncryptor([recipient_for(Certificate.parse(person.certificate_der)) for person in people])
    return seal_message(PLAIN, steps=(SIGNER, encryptor), now=NOW)


@pytest.fixture
def inbound(configured, tmp_path: Path) -> Callable[..., Configuration]:
    """A gateway in front of example.net with bob's keys and the root that alice's certificate ends in."""
    (tmp_path / "bob.pem").write_bytes(BOB.pem() + OLD_BOB.pem())
    (tmp_path / "house.p12").write_bytes(HOUSE.pkcs12(b"x"))
    (tmp_path / "house.password").write_text("x\n")
    (tmp_path / "root.pem").write_bytes(ROOT.certificate_pem)
    files = """
[verification]
trust = "root.pem"
[[decryption]]
file = "bob.pem"
[[decryption]]
file = "house.p12"
password_file = "house.password"
domains = ["example.net"]
"""
    return lambda port, more="", extra="": configured(
        port, files.replace("[veri", f"{extra}\n[veri") + more, listen='direction = "inbound"'
    )


async def delivered(
    configuration: Configuration, hop: NextHop, message: bytes, recipients: tuple[str, ...] = ("bob@example.net",)
) -> Entity:
    async with Relay(configuration) as relay:
        client = await greeted(relay.addresses[0])
        reply = await client.send(message, recipients=recipients)
        await client.close()
    assert reply.startswith("250"), reply
    return parse_entity(hop.messages[-1].content)


async def refused(
    configuration: Configuration, hop: NextHop, message: bytes, recipients: tuple[str, ...] = ("bob@example.net",)
) -> str:
    async with Relay(configuration) as relay:
        client = await greeted(relay.addresses[0])
        reply = await client.send(message, recipients=recipients)
        await client.close()
    assert hop.messages == []
    return reply


def result(entity: Entity) -> str:
    (field,) = entity.named("Authentication-Results")
    return field.value.partition(";")[2].split()[0]


def value(entity: Entity, name: str) -> str:
    (field,) = entity.named(name)
    return field.value


async def test_signatures_are_judged_and_the_message_stays(inbound):
    async with NextHop() as hop:
        entity = await delivered(inbound(hop.port), hop, SIGNED)
    assert result(entity) == "smime=pass"
    assert value(entity, "X-SMIME-Signature") == "VALID"
    again = open_message(hop.messages[0].content, now=NOW, trust=TRUST)
    assert again.verdict is Verdict.VALID
    assert b"forged" not in hop.messages[0].content


async def test_unsigned_mail_loses_forged_results(inbound):
    async with NextHop() as hop:
        entity = await delivered(inbound(hop.port), hop, PLAIN)
    assert result(entity) == "smime=none"
    assert value(entity, "X-SMIME-Signature") == "none"


@pytest.mark.parametrize("person", [BOB, OLD_BOB, HOUSE])
async def test_every_key_of_the_history_decrypts(inbound, person):
    async with NextHop() as hop:
        more = '[inbound]\ntreatment = "decrypt"'
        entity = await delivered(inbound(hop.port, more), hop, sealed_for(person))
    assert entity.content_type.value == "multipart/signed"
    assert (result(entity), value(entity, "X-SMIME-Encryption")) == ("smime=pass", "aes256-cbc")
    assert open_message(hop.messages[0].content, now=NOW, trust=TRUST).verdict is Verdict.VALID


async def test_strip(inbound):
    async with NextHop() as hop:
        entity = await delivered(inbound(hop.port, '[inbound]\ntreatment = "strip"'), hop, sealed_for(BOB))
    assert entity.content_type.value == "text/plain"
    assert bytes(entity.decoded()) == b"the text\r\n"
    assert (result(entity), value(entity, "Subject")) == ("smime=pass", "inbound")


async def test_pass_changes_nothing_but_forged_fields(inbound):
    async with NextHop() as hop:
        await delivered(inbound(hop.port, '[inbound]\ntreatment = "pass"'), hop, sealed_for(BOB))
        lines = [line for line in sealed_for(BOB).split(b"\r\n") if b"forged" not in line][:4]
        assert hop.messages[0].body.startswith(b"\r\n".join(lines[:3]))
        assert b"X-SMIME-" not in hop.messages[0].content


async def test_each_recipient_has_only_its_own_keys(inbound):
    async with NextHop() as hop:
        more = '[inbound]\ntreatment = "decrypt"'
        configuration = inbound(hop.port, more)
        await delivered(configuration, hop, sealed_for(BOB), ("bob@example.net", "carol@example.net"))
    by_recipient = {message.recipients[0]: parse_entity(message.content) for message in hop.messages}
    assert by_recipient["TO:<bob@example.net>"].content_type.value == "multipart/signed"
    carols = by_recipient["TO:<carol@example.net>"]
    assert carols.content_type.value == "application/pkcs7-mime"
    assert (result(carols), value(carols, "X-SMIME-Encryption")) == ("smime=permerror", "failed")


async def test_what_no_key_fits_can_be_refused(inbound):
    sealed = sealed_for(ROOT.issue("Stranger", "x@example.com"))
    async with NextHop() as hop:
        more = '[inbound]\ntreatment = "decrypt"\nundecryptable = "reject"'
        assert await refused(inbound(hop.port, more), hop, sealed) == "550 5.7.5 this message cannot be decrypted here"


def _damaged(sealed: bytes, change: int) -> bytes:
    """The message with another last block, which has proper padding once in 256 times."""
    entity = parse_entity(sealed)
    octets = bytearray(entity.decoded())
    octets[-3] ^= change
    return sealed[: entity.body_start] + base64.encodebytes(octets).replace(b"\n", b"\r\n")


def _fails(message: bytes) -> bool:
    try:
        open_message(message, now=NOW, keys=KeyRing([load_identity(BOB.pem())]))
    except DecryptionFailed:
        return True
    return False


@pytest.mark.parametrize("jail", [None, "jail@example.net"])
async def test_what_a_key_fits_and_does_not_open_is_never_refused(inbound, jail):
    """Else the answers to changed copies of a message would decrypt it for whoever sends them."""
    damaged = next(filter(_fails, map(partial(_damaged, sealed_for(BOB)), range(256))))
    more = '[inbound]\ntreatment = "decrypt"\nundecryptable = "reject"\nmalformed = "reject"\ninvalid = "reject"\n'
    more += f'quarantine = "{jail}"' if jail else ""
    async with NextHop() as hop:
        entity = await delivered(inbound(hop.port, more), hop, damaged)
        assert hop.messages[0].recipients == [f"TO:<{jail or 'bob@example.net'}>"]
    assert (result(entity), value(entity, "X-SMIME-Encryption")) == ("smime=permerror", "failed")


@pytest.mark.parametrize(
    ("setting", "trusted", "outcome"),
    [
        ('invalid = "reject"', True, "550 5.7.7 the signature of this message is not valid"),
        ('unknown = "reject"', False, "550 5.7.7 the signature of this message cannot be judged"),
        ('invalid = "quarantine"\nquarantine = "jail@example.net"', True, "TO:<jail@example.net>"),
        ('invalid = "deliver"', True, "TO:<bob@example.net>"),
    ],
)
async def test_what_happens_to_bad_signatures(inbound, setting, trusted, outcome):
    message = SIGNED.replace(b"alice@example.org", b"eve@example.org", 1) if trusted else SIGNED
    async with NextHop() as hop:
        configuration = inbound(hop.port, f"[inbound]\n{setting}")
        if not trusted:
            configuration = parse_configuration(
                f'[next_hop]\nhost = "127.0.0.1"\nport = {hop.port}\ntls = "none"\n'
                f'[[listen]]\nport = 0\ndirection = "inbound"\n[inbound]\n{setting}'.encode(),
                folder=Path("/nowhere"),
            )
        if outcome.startswith("TO"):
            entity = await delivered(configuration, hop, message)
            assert hop.messages[0].recipients == [outcome]
            assert result(entity) == "smime=fail"
            assert value(entity, "X-SMIME-Problems") == "SENDER_MISMATCH"
        else:
            assert await refused(configuration, hop, message) == outcome


async def test_layers_tags_and_explanations(inbound):
    more = """
[inbound]
tags = { valid = "[signed]" }
[domains."example.net".inbound]
tags = { invalid = "[INVALID]" }
[people."bob@example.net".inbound]
explain = true
"""
    async with NextHop() as hop:
        configuration = inbound(hop.port, more)
        await delivered(configuration, hop, SIGNED, ("bob@example.net", "carol@example.net", "dave@example.com"))
    found = {message.recipients[0]: parse_entity(message.content) for message in hop.messages}
    assert {name: value(entity, "Subject") for name, entity in found.items()} == dict.fromkeys(
        found, "[signed] inbound"
    )
    assert found["TO:<bob@example.net>"].content_type.value == "multipart/mixed"
    assert found["TO:<carol@example.net>"].content_type.value == "multipart/signed"


async def test_harvested_certificates_are_used_for_encrypting(inbound, tmp_path, configured):
    extra = ""
    async with NextHop() as hop:
        configuration = inbound(hop.port, '[inbound]\ntreatment = "verify"', extra)
        text = '[verification]\ntrust = "root.pem"\nharvest = "harvest"\n'
        configuration = configured(hop.port, text, listen='direction = "inbound"')
        await delivered(configuration, hop, SIGNED)
        (file,) = (tmp_path / "harvest").iterdir()
        assert certificates_from(file.read_bytes()) == (ALICE.certificate,)
        (tmp_path / "bob.pem").write_bytes(BOB.pem())
        answer = b"From: bob@example.net\r\nTo: alice@example.org\r\n\r\nthe answer\r\n"
        outbound = configured(
            hop.port,
            text + '[outbound]\nencrypt = "required"\n[[identity]]\nfile = "bob.pem"\naddresses = ["bob@example.net"]',
        )
        async with Relay(outbound) as relay:
            client = await greeted(relay.addresses[0])
            assert (await client.send(answer, recipients=("alice@example.org",))).startswith("250")
            await client.close()
    assert b"enveloped-data" in hop.messages[-1].content


async def test_lmtp_refuses_one_recipient_alone(inbound):
    more = '[people."bob@example.net".inbound]\ninvalid = "reject"'
    async with NextHop() as hop:
        configuration = inbound(hop.port, more)
        listen = configuration.listen[0]
        lmtp = structs.replace(configuration, listen=(structs.replace(listen, protocol="lmtp"),))
        async with Relay(lmtp) as relay:
            client = await Client.connect(relay.addresses[0])
            for command in ("LHLO me", "MAIL FROM:<alice@example.org>"):
                await client.say(command)
            for command in ("RCPT TO:<bob@example.net>", "RCPT TO:<carol@example.net>", "DATA"):
                await client.say(command)
            await client.write(SIGNED.replace(b"alice@example.org", b"eve@example.org", 1) + b".\r\n")
            assert (await client.reply()).startswith("550 5.7.7")
            assert (await client.reply()).startswith("250")
            await client.close()
    assert [message.recipients for message in hop.messages] == [["TO:<carol@example.net>"]]


@pytest.mark.parametrize(
    ("more", "complaint"),
    [
        ('[inbound]\ntags = { strange = "x" }', "inbound: tags.strange: not one of"),
        ('[inbound]\ntags = { valid = "ü" }', "inbound: tags.valid: only printable ASCII"),
        ('[people."a@b.c".inbound]\nquarantine = "x"', "people.a@b.c.inbound: quarantine: x is no e-mail address"),
        ('[verification]\nrevocation = "hard-fail"', "verification.revocation: nothing can be checked"),
        ('[verification]\nfetch_from = ["x"]', "verification.fetch_from: "),
    ],
)
def test_wrong_configurations(configured, more, complaint):
    with pytest.raises(ConfigurationError) as error:
        configured(25, more)
    assert complaint in str(error.value)


async def test_revocation_lists_are_fetched(configured, tmp_path):
    """A list at a loopback address, which only `fetch_from` allows; the revoked signer is refused."""
    from aiohttp import web

    lists: dict[str, bytes] = {}

    async def answer(_: web.Request) -> web.Response:
        return web.Response(body=lists["crl"], content_type="application/pkix-crl")

    application = web.Application()
    application.router.add_get("/ca.crl", answer)
    runner = web.AppRunner(application)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    root = pki.authority("Revoking Root", crl_urls=(f"http://127.0.0.1:{port}/ca.crl",))
    mallory = root.issue("Mallory", "mallory@example.org")
    identity = load_identity(mallory.pem())
    message = MessageSigner(identity.key, identity.certificate).sign(PLAIN.replace(b"alice@", b"mallory@"), now=NOW)
    lists["crl"] = root.crl({mallory: None})
    (tmp_path / "revoking.pem").write_bytes(root.certificate_pem)
    text = """
[verification]
trust = "revoking.pem"
revocation = "hard-fail"
fetch = true
fetch_from = ["127.0.0.0/8"]
[inbound]
invalid = "reject"
unknown = "reject"
"""
    async with NextHop() as hop:
        configuration = configured(hop.port, text, listen='direction = "inbound"')
        assert (await refused(configuration, hop, message)).startswith("550 5.7.7 the signature of this message is not")
        unreachable = configured(
            hop.port, text.replace('fetch_from = ["127.0.0.0/8"]\n', ""), listen='direction = "inbound"'
        )
        assert (await refused(unreachable, hop, message)).startswith("451 4.4.3")
    await runner.cleanup()
