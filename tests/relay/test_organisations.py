"""Two organisations, each a real Postfix with our gateway: alice → sign and encrypt → decrypt and verify → bob.

Postfix hands every message to its gateway by LMTP and takes it back by SMTP, as the manual says.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import SMTP, SMTPUTF8
from pathlib import Path

import pytest
import pytest_asyncio
from cryptography import x509

from smime_engine import Certificate, TrustCollection, Verdict, open_message
from smime_engine.mime.parse import parse_entity
from smime_smtp_relay.config import parse_configuration
from smime_smtp_relay.server import Relay
from tests import pki
from tests.relay.postfix import Postfix
from tests.relay.processes import free_port
from tests.relay.smtp_peers import greeted

pytestmark = pytest.mark.postfix

ROOT = pki.authority("Organisations Root")
# RFC 9598: SmtpUTF8Mailbox, a UTF8String in an OtherName.
UMLAUT = "älice@sender.example".encode()
MAILBOX = x509.OtherName(x509.ObjectIdentifier("1.3.6.1.5.5.7.8.9"), bytes((0x0C, len(UMLAUT))) + UMLAUT)
ALICE = ROOT.issue("Alice", "alice@sender.example", names=[MAILBOX])
BOB = ROOT.issue("Bob", "bob@receiver.example", kind="rsa2048")
CAROL = ROOT.issue("Carol", "carol@receiver.example")
TRUST = TrustCollection([Certificate.parse(ROOT.certificate_der)])
NOBODY = 65_534

OUTBOUND = """
[[listen]]
port = {port}
protocol = "lmtp"
[next_hop]
host = "127.0.0.1"
port = {back}
tls = "none"
[limits]
message_size = 80000000
[recipients]
certificates = "partners"
[outbound]
encrypt = "when-possible"
[[identity]]
file = "alice.pem"
addresses = ["alice@sender.example", "älice@sender.example"]
"""
INBOUND = """
hostname = "gateway.receiver.example"
[[listen]]
port = {port}
protocol = "lmtp"
direction = "inbound"
[next_hop]
host = "127.0.0.1"
port = {back}
tls = "none"
[limits]
message_size = 80000000
[verification]
trust = "root.pem"
[[decryption]]
file = "bob.pem"
[[decryption]]
file = "carol.pem"
[inbound]
treatment = "decrypt"
tags = {{ valid = "[signed]" }}
"""
MASTER = """
127.0.0.1:{entry} inet n - n - - smtpd
  -o content_filter=smime:[127.0.0.1]:{gateway}
smime unix - - n - 4 lmtp
  -o disable_dns_lookups=yes
127.0.0.1:{back} inet n - n - 10 smtpd
  -o content_filter=
  -o receive_override_options=no_unknown_recipient_checks,no_header_body_checks,no_milters
"""


@dataclass
class World:
    """Both organisations."""

    entry: int
    """Where alice hands mail in."""
    sending: Postfix
    receiving: Postfix

    async def send(
        self, message: bytes, *recipients: str, sender: str = "alice@sender.example", options: str = ""
    ) -> None:
        client = await greeted(("127.0.0.1", self.entry))
        reply = await client.send(message, sender=sender, recipients=recipients, options=options)
        await client.close()
        assert reply.startswith("250"), reply

    def mailbox(self, name: str) -> list[bytes]:
        folder = self.receiving.folder / "mail" / name / "new"
        return [path.read_bytes() for path in sorted(folder.iterdir())] if folder.is_dir() else []

    async def arrived(self, name: str, count: int = 1) -> list[bytes]:
        for _ in range(1_200):
            if len(self.mailbox(name)) >= count:
                return self.mailbox(name)
            await asyncio.sleep(0.05)
        raise AssertionError(self.sending.log + self.receiving.log)


@pytest_asyncio.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    (tmp_path / "alice.pem").write_bytes(ALICE.pem())
    (tmp_path / "bob.pem").write_bytes(BOB.pem())
    (tmp_path / "carol.pem").write_bytes(CAROL.pem())
    (tmp_path / "root.pem").write_bytes(ROOT.certificate_pem)
    (tmp_path / "partners").mkdir()
    (tmp_path / "partners" / "all.pem").write_bytes(BOB.certificate_pem + CAROL.certificate_pem)
    entry, back_out, mx, back_in, gateway_out, gateway_in = (free_port() for _ in range(6))
    outbound = parse_configuration(OUTBOUND.format(port=gateway_out, back=back_out).encode(), folder=tmp_path)
    inbound = parse_configuration(INBOUND.format(port=gateway_in, back=back_in).encode(), folder=tmp_path)
    sending = Postfix(
        "mx.sender.example",
        f"default_transport = smtp:[127.0.0.1]:{mx}\nlmtp_destination_recipient_limit = 50",
        MASTER.format(entry=entry, gateway=gateway_out, back=back_out),
    )
    receiving = Postfix(
        "mx.receiver.example",
        "virtual_mailbox_domains = receiver.example\nvirtual_mailbox_base = {mail}\nvirtual_transport = virtual\n"
        "virtual_mailbox_maps = regexp:{etc}/mailboxes\nvirtual_minimum_uid = 1\n"
        f"virtual_uid_maps = static:{NOBODY}\nvirtual_gid_maps = static:{NOBODY}\n"
        f"default_transport = smtp:[127.0.0.1]:{entry}",
        MASTER.format(entry=mx, gateway=gateway_in, back=back_in),
        mailboxes="".join(f"/^{name}@receiver\\.example$/ {name}/\n" for name in ("bob", "carol", "dave")),
    )
    async with Relay(outbound), Relay(inbound), sending, receiving:
        yield World(entry, sending, receiving)


def composed(text: str, *, to: str, subject: str = "test", sender: str = "alice@sender.example") -> EmailMessage:
    message = EmailMessage(policy=SMTPUTF8)
    message["From"], message["To"], message["Subject"] = sender, to, subject
    message.set_content(text, cte="8bit")
    return message


def judged(content: bytes) -> bytes:
    """The text of a message that bob got: decrypted on its way, signature still in place."""
    entity = parse_entity(content)
    assert entity.named("Subject")[0].value.startswith("[signed]")
    (results,) = entity.named("Authentication-Results")
    assert results.value.startswith("gateway.receiver.example;")
    assert "smime=pass" in results.value
    assert entity.named("X-SMIME-Encryption")[0].value == "aes256-cbc"
    report = open_message(content, now=datetime.now(UTC), trust=TRUST)
    assert report.verdict is Verdict.VALID
    assert [layer.kind for layer in report.layers] == ["signed"]
    return bytes(report.payload.decoded()) if report.payload is not None else report.content


async def test_from_alice_to_bob(world):
    long_line = "x" * 900 + "\n"
    message = composed("Grüße, Bob\n.dot\n" + long_line, to="bob@receiver.example").as_bytes(
        policy=SMTP.clone(cte_type="8bit")
    )
    await world.send(message, "bob@receiver.example", options=" BODY=8BITMIME")
    (content,) = await world.arrived("bob")
    assert judged(content).replace(b"\r\n", b"\n") == f"Grüße, Bob\n.dot\n{long_line}".encode()
    assert b"pkcs7-mime" not in content


async def test_bcc_and_people_without_certificates(world):
    message = composed("for all\n", to="bob@receiver.example").as_bytes()
    everybody = ("bob@receiver.example", "carol@receiver.example", "dave@receiver.example")
    await world.send(message, *everybody)
    (bobs,), (carols,), (daves,) = [await world.arrived(name) for name in ("bob", "carol", "dave")]
    assert judged(bobs) == judged(carols)
    assert b"carol" not in bobs.replace(b"carol@receiver.example>;", b"")
    assert parse_entity(daves).named("X-SMIME-Encryption")[0].value == "none"
    assert open_message(daves, now=datetime.now(UTC), trust=TRUST).verdict is Verdict.VALID


async def test_internationalised_mail(world):
    message = composed("Grüße\n", to="bob@receiver.example", subject="Grüße", sender="älice@sender.example")
    await world.send(
        message.as_bytes(policy=SMTPUTF8), "bob@receiver.example", sender="älice@sender.example", options=" SMTPUTF8"
    )
    (content,) = await world.arrived("bob")
    assert "älice@sender.example".encode() in content
    assert judged(content).replace(b"\r\n", b"\n") == "Grüße\n".encode()


async def test_a_large_attachment(world):
    octets = bytes(range(256)) * 4 * 1024 * 22  # 22 MiB, 30 MB as base64
    message = composed("with a picture\n", to="bob@receiver.example")
    message.add_attachment(octets, maintype="image", subtype="raw", filename="picture.raw")
    await world.send(message.as_bytes(policy=SMTP), "bob@receiver.example")
    (content,) = await world.arrived("bob")
    signed = parse_entity(content).parts[0]
    assert bytes(signed.parts[1].decoded()) == octets


async def test_a_bounce_comes_back(world):
    message = composed("for nobody\n", to="nobody@elsewhere.example").as_bytes()
    await world.send(message, "bob@receiver.example", sender="bob@receiver.example")
    await world.arrived("bob")
    # From the null sender: passes both gateways unsigned.
    bounce = composed("undelivered\n", to="bob@receiver.example", sender="MAILER-DAEMON@sender.example").as_bytes()
    await world.send(bounce, "bob@receiver.example", sender="")
    _, content = await world.arrived("bob", 2)
    parsed = message_from_bytes(content)
    assert parsed["X-SMIME-Signature"] == "none"
