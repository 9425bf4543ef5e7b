"""What the gateway signs, and what it leaves alone."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.message import EmailMessage
from pathlib import Path

import pytest

from smime_engine import Certificate, MessageSigner, TrustCollection, Verdict, load_identity, open_message
from smime_engine.report import OpenedMessage, SignedLayer
from smime_smtp_relay.config import Configuration
from smime_smtp_relay.server import Relay
from tests import pki
from tests.relay.smtp_peers import NextHop, greeted

ROOT = pki.authority("Relay Test Root")
CA = ROOT.subordinate("Relay Test CA")
TRUST = TrustCollection([Certificate.parse(ROOT.certificate_der)])
NOW = datetime.now(UTC)
ALICE = b"From: Alice <alice@example.org>\r\nTo: bob@example.net\r\nSubject: signed\r\n"
TEXT = b"MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n\r\nHello\r\n"


@pytest.fixture
def signing(configured, tmp_path: Path) -> Callable[..., Configuration]:
    """A gateway with keys for alice (PKCS#12) and for the domain example.com (PEM)."""
    alice = CA.issue("Alice", "alice@example.org", kind="rsa2048")
    (tmp_path / "alice.p12").write_bytes(alice.pkcs12(b"secret"))
    (tmp_path / "alice.password").write_text("secret\n")
    domain = CA.issue("Gateway", "gateway@example.com", kind="p256")
    (tmp_path / "domain.pem").write_bytes(domain.pem())
    identities = """
[[identity]]
file = "alice.p12"
password_file = "alice.password"
addresses = ["alice@example.org"]
[[identity]]
file = "domain.pem"
domains = ["example.com"]
"""
    return lambda port, more="", **options: configured(port, identities + more, **options)


def opened(content: bytes) -> OpenedMessage:
    return open_message(content, now=NOW, trust=TRUST)


async def delivered(configuration: Configuration, hop: NextHop, message: bytes, **options) -> bytes:
    async with Relay(configuration) as relay:
        client = await greeted(relay.addresses[0])
        reply = await client.send(message, **options)
        await client.close()
        assert reply.startswith("250"), reply
    return hop.messages[-1].content


@pytest.mark.parametrize("form", ["clear", "opaque"])
async def test_a_message_is_signed_as_its_author(signing, form):
    async with NextHop() as hop:
        content = await delivered(signing(hop.port, f'[signing]\nform = "{form}"'), hop, ALICE + TEXT)
    report = opened(content)
    (layer,) = report.layers
    assert isinstance(layer, SignedLayer)
    assert layer.clear is (form == "clear")
    assert report.verdict is Verdict.VALID
    assert report.signatures[0].sender_bound
    assert b"Subject: signed\r\n" in content
    assert report.content.endswith(b"Hello\r\n")


@pytest.mark.openssl
@pytest.mark.parametrize("form", ["clear", "opaque"])
async def test_openssl_accepts_it(signing, openssl, tmp_path, form):
    message = EmailMessage()
    message["From"], message["To"], message["Subject"] = "alice@example.org", "bob@example.net", "Grüße"
    message.set_content("Grüße, mit Umlauten und langen Zeilen " * 20, cte="8bit")
    message.add_attachment(bytes(range(256)) * 100, maintype="application", subtype="octet-stream", filename="a.bin")
    raw = message.as_bytes().replace(b"\n", b"\r\n")
    (tmp_path / "root.pem").write_bytes(ROOT.certificate_pem)
    async with NextHop() as hop:
        configuration = signing(hop.port, f'[signing]\nform = "{form}"')
        content = await delivered(configuration, hop, raw, options=" BODY=8BITMIME")
    (tmp_path / "message.eml").write_bytes(content)
    openssl("cms", "-verify", "-in", tmp_path / "message.eml", "-CAfile", tmp_path / "root.pem", "-out", tmp_path / "o")
    assert opened(content).verdict is Verdict.VALID


async def test_a_domain_has_a_key(signing):
    message = ALICE.replace(b"alice@example.org", b"anybody@EXAMPLE.com") + TEXT
    async with NextHop() as hop:
        content = await delivered(signing(hop.port), hop, message)
    report = opened(content)
    assert report.signatures[0].certificate is not None
    assert report.signatures[0].certificate.addresses == ("gateway@example.com",)


async def test_without_a_key_the_message_passes_as_it_is(signing):
    message = ALICE.replace(b"alice@", b"eve@") + TEXT
    async with NextHop() as hop:
        await delivered(signing(hop.port), hop, message)
        assert hop.messages[0].body == message


@pytest.mark.parametrize(
    ("policy", "message", "reply"),
    [
        (
            'no_key = "reject"',
            ALICE.replace(b"alice@", b"eve@"),
            "550 5.7.5 eve@example.org has no signing key at this gateway",
        ),
        (
            'no_key = "reject"\nno_key_status = "5.7.509"',
            ALICE.replace(b"alice@", b"eve@"),
            "550 5.7.509 eve@example.org has no signing key at this gateway",
        ),
        ('no_key = "reject"', b"Subject: nobody\r\n", "550 5.6.0 the message has no From field with an address"),
        ("", ALICE + b"From: boss@example.org\r\n", "550 5.6.0 From or Sender is malformed or given twice (RFC 5322)"),
        (
            "",
            b"From: alice@example.org, bob@example.org\r\n",
            "550 5.6.0 several authors in From, and no Sender field says who sends (RFC 5322)",
        ),
        ('sender_must_match = "envelope"', ALICE, "550 5.7.1 alice@example.org is not an address of the sender"),
    ],
)
async def test_refusals(signing, policy, message, reply):
    async with NextHop() as hop, Relay(signing(hop.port, f"[signing]\n{policy}")) as relay:
        client = await greeted(relay.addresses[0])
        assert await client.send(message + TEXT, sender="somebody@example.org") == reply
        assert hop.messages == []
        assert hop.commands["DATA"] == 0
        # The transaction at the next hop is gone, and its connection is used again.
        sender = "alice@example.org"
        assert (await client.send(ALICE + TEXT, sender=sender)).startswith("250")
        assert hop.connections == 1
        await client.close()


@pytest.mark.parametrize("kind", ["signed", "opaque", "openpgp", "bounce", "resent"])
async def test_what_is_left_untouched(signing, kind):
    alice = load_identity(CA.issue("Alice", "alice@example.org").pem())
    message, sender = ALICE + TEXT, "alice@example.org"
    if kind in ("signed", "opaque"):
        message = MessageSigner(alice.key, alice.certificate, clear=kind == "signed").sign(message, now=NOW)
    elif kind == "openpgp":
        message = ALICE + b"Content-Type: multipart/encrypted; protocol=application/pgp-encrypted; boundary=b\r\n\r\n"
        message += b"--b\r\nContent-Type: application/pgp-encrypted\r\n\r\nVersion: 1\r\n--b\r\n\r\nX\r\n--b--\r\n"
    elif kind == "bounce":
        sender = ""
    else:
        message = b"Resent-From: carol@example.org\r\n" + message
    async with NextHop() as hop:
        await delivered(signing(hop.port), hop, message, sender=sender)
        assert hop.messages[0].body == message


async def test_a_large_message_is_signed_in_a_thread(signing):
    message = ALICE + TEXT + b"0123456789abcdef\r\n" * 50_000
    async with NextHop() as hop:
        content = await delivered(signing(hop.port, "[signing]\nthread_above = 1000"), hop, message)
    assert opened(content).verdict is Verdict.VALID


async def test_bare_line_ends_are_normal_before_signing(signing):
    async with NextHop() as hop:
        content = await delivered(signing(hop.port), hop, ALICE + TEXT + b"bare\nLF and\rCR\r\n")
    assert opened(content).verdict is Verdict.VALID
    assert b"bare\r\nLF and\r\nCR\r\n" in content


async def test_an_expired_certificate_is_no_key(signing):
    later = pki.NOT_AFTER + timedelta(days=1)
    async with NextHop() as hop, Relay(signing(hop.port), clock=lambda: later) as relay:
        client = await greeted(relay.addresses[0])
        assert (await client.send(ALICE + TEXT)).startswith("250")
        assert b"multipart/signed" not in hop.messages[0].content
        await client.close()


async def test_a_message_that_cannot_be_read(signing):
    nested = b"".join(b"Content-Type: multipart/mixed; boundary=b%d\r\n\r\n--b%d\r\n" % (n, n) for n in range(200))
    async with NextHop() as hop:
        async with Relay(signing(hop.port)) as relay:
            client = await greeted(relay.addresses[0])
            assert await client.send(ALICE + nested) == "554 5.6.0 the message is malformed"
            await client.close()
        await delivered(signing(hop.port, '[signing]\nmalformed = "pass"'), hop, ALICE + nested)
        assert hop.messages[0].body == ALICE + nested
