"""Mail that is encrypted on its way out, and recipients who get different forms of a message."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from datetime import UTC, datetime
from email import message_from_bytes
from pathlib import Path

import pytest

from smime_engine import (
    Certificate,
    KeyRing,
    NoMatchingKey,
    OpenedMessage,
    TrustCollection,
    Verdict,
    load_identity,
    open_message,
)
from smime_engine.errors import SourceUnavailable
from smime_engine.policy.smime_config import SmimeConfig
from smime_engine.sources.store import Tenant, open_store
from smime_engine.sources.tenant_folder import TenantFolder
from smime_smtp_relay.config import Configuration
from smime_smtp_relay.journal import Journal, digest_of, fingerprint
from smime_smtp_relay.server import Relay
from tests import pki
from tests.relay.smtp_peers import Client, NextHop, Stored, greeted
from tests.sources.conftest import create

ROOT = pki.authority("Relay Test Root")
CA = ROOT.subordinate("Relay Test CA")
TRUST = TrustCollection([Certificate.parse(ROOT.certificate_der)])
NOW = datetime.now(UTC)
PEOPLE = {
    "alice@example.org": CA.issue("Alice", "alice@example.org", kind="rsa2048"),
    "bob@partner.example": CA.issue("Bob", "bob@partner.example", kind="rsa2048"),
    "carol@partner.example": CA.issue("Carol", "carol@partner.example", kind="p256"),
    "dave@example.net": CA.issue("Dave", "dave@example.net", kind="rsa2048"),
}
RINGS = {name: KeyRing([load_identity(person.pem())]) for name, person in PEOPLE.items()}
MESSAGE = (
    b"From: Alice <alice@example.org>\r\nTo: bob@partner.example, carol@partner.example, eve@example.net\r\n"
    b"Subject: secret\r\n\r\nthe secret text\r\n"
)
BOB, CAROL, DAVE, EVE = "bob@partner.example", "carol@partner.example", "dave@example.net", "eve@example.net"
PARTNERS = """
[outbound]
encrypt = "never"
[[outbound.recipients]]
match = ["@partner.example"]
encrypt = "required"
"""
POSSIBLE = '[outbound]\nencrypt = "when-possible"\n'
REQUEST = """
[outbound]
encrypt = "on-request"
[outbound.encrypt_on]
subject = ["[encrypt]"]
fields = ["X-Encrypt: yes"]
"""


@pytest.fixture
def outbound(configured, tmp_path: Path) -> Callable[..., Configuration]:
    """A gateway with alice's key, and certificates of bob, carol and dave."""
    (tmp_path / "alice.pem").write_bytes(PEOPLE["alice@example.org"].pem())
    folder = tmp_path / "partners"
    folder.mkdir()
    for number, name in enumerate((BOB, CAROL, DAVE)):
        (folder / f"{number}.crt").write_bytes(PEOPLE[name].certificate_pem + PEOPLE[name].chain_pem)
    (folder / ".hidden").write_text("not read")
    (tmp_path / "root.pem").write_bytes(ROOT.certificate_pem)
    files = """
[recipients]
certificates = "partners"
trust = "root.pem"
[[identity]]
file = "alice.pem"
addresses = ["alice@example.org"]
"""
    return lambda port, more="", **options: configured(port, files + more, **options)


def opened_by(name: str, content: bytes) -> OpenedMessage:
    return open_message(content, now=NOW, keys=RINGS[name], trust=TRUST)


def stored_for(hop: NextHop, name: str) -> Stored:
    (found,) = [message for message in hop.messages if any(name in recipient for recipient in message.recipients)]
    return found


def names(stored: Stored) -> list[str]:
    return [recipient.partition("<")[2].partition(">")[0] for recipient in stored.recipients]


@pytest.mark.parametrize("place", ["folder", "store"])
async def test_the_tenants_exchange_settings_are_a_layer_of_rules(outbound, tmp_path: Path, place):
    """Set-SmimeConfig lies below the tenant's own table and above the general one."""
    config = SmimeConfig(
        owa_always_encrypt=True,
        owa_encryption_algorithms="660E",
        owa_signing_algorithms="800E",
        owa_triple_wrap_signed_encrypted_mail=True,
        owa_clear_sign=False,
    )
    url = f"sqlite:///{tmp_path / 'store.db'}"
    if place == "folder":
        TenantFolder(tmp_path / "acme").save_smime_config(config)
    else:
        with open_store(create(url)) as store:
            store.add_tenant(Tenant(name="acme")).settings.save_smime_config(config)
    named = 'settings = "acme"' if place == "folder" else 'stored_as = "acme"'
    more = f"""
[store]
url = "{url}"
[outbound]
sign = "never"
[tenants.acme]
domains = ["example.org"]
{named}
[tenants.acme.outbound]
sign = "always"
form = "clear"
"""
    async with NextHop() as hop, Relay(outbound(hop.port, more)) as relay:
        client = await greeted(relay.addresses[0])
        assert (await client.send(MESSAGE, recipients=(BOB,))).startswith("250")
        assert (await client.send(MESSAGE, recipients=(EVE,))).startswith("550")
        await client.close()
    outer, encrypted, inner = opened_by(BOB, stored_for(hop, BOB).content).layers
    assert (outer.clear, encrypted.cipher) == (True, "aes128-cbc")
    assert {signature.digest for layer in (outer, inner) for signature in layer.signatures} == {"sha512"}


@pytest.mark.parametrize("wrap", [False, True])
async def test_partners_get_it_encrypted_and_the_others_signed(outbound, wrap):
    more = PARTNERS.replace("[outbound]\n", f"[outbound]\ntriple_wrap = {str(wrap).lower()}\n", 1)
    async with NextHop() as hop, Relay(outbound(hop.port, more)) as relay:
        client = await greeted(relay.addresses[0])
        assert (await client.send(MESSAGE, recipients=(BOB, EVE, CAROL))).startswith("250")
        await client.close()
    assert [names(message) for message in hop.messages] == [[BOB, CAROL], [EVE]]
    for name in (BOB, CAROL, "alice@example.org"):
        report = opened_by(name, hop.messages[0].content)
        kinds = ["signed", "encrypted", "signed"] if wrap else ["encrypted", "signed"]
        assert [layer.kind for layer in report.layers] == kinds
        assert report.verdict is Verdict.VALID
        assert b"the secret text" in report.content
    assert b"the secret text" not in hop.messages[0].content
    plain = opened_by(BOB, hop.messages[1].content)
    assert [layer.kind for layer in plain.layers] == ["signed"]
    with pytest.raises(NoMatchingKey):
        opened_by(DAVE, hop.messages[0].content)


@pytest.mark.openssl
@pytest.mark.parametrize("person", [BOB, CAROL])
async def test_openssl_decrypts_it(outbound, openssl, tmp_path, person):
    async with NextHop() as hop, Relay(outbound(hop.port, PARTNERS)) as relay:
        client = await greeted(relay.addresses[0])
        assert (await client.send(MESSAGE, recipients=(BOB, CAROL))).startswith("250")
        await client.close()
    (tmp_path / "sealed.eml").write_bytes(hop.messages[0].content)
    (tmp_path / "person.pem").write_bytes(PEOPLE[person].pem())
    inner, content = tmp_path / "inner.eml", tmp_path / "content"
    openssl("cms", "-decrypt", "-in", tmp_path / "sealed.eml", "-inkey", tmp_path / "person.pem",
            "-recip", tmp_path / "person.pem", "-out", inner)  # fmt: skip
    openssl("cms", "-verify", "-in", inner, "-CAfile", tmp_path / "root.pem", "-out", content)
    assert b"the secret text" in content.read_bytes()


async def test_required_without_certificate_is_refused_at_rcpt(outbound):
    async with NextHop() as hop, Relay(outbound(hop.port, PARTNERS)) as relay:
        client = await greeted(relay.addresses[0])
        await client.say("MAIL FROM:<alice@example.org>")
        assert await client.say("RCPT TO:<nobody@partner.example>") == (
            "550 5.7.5 <nobody@partner.example>: mail to this recipient must be encrypted, "
            "and there is no usable certificate for it"
        )
        assert hop.commands["RCPT"] == 0
        assert (await client.say(f"RCPT TO:<{BOB}>")).startswith("250")
        await client.close()


async def test_a_directory_that_is_down_defers(outbound):
    async with NextHop() as hop, Relay(outbound(hop.port, PARTNERS)) as relay:
        relay.gateway.planners["outbound"]._correspondents = _Down()
        client = await greeted(relay.addresses[0])
        await client.say("MAIL FROM:<alice@example.org>")
        assert (await client.say(f"RCPT TO:<{BOB}>")).startswith(f"451 4.4.3 <{BOB}>: the directory")
        assert (await client.say(f"RCPT TO:<{EVE}>")).startswith("250")
        await client.close()


class _Down:
    async def look_up(self, address: str, *, now: datetime):
        from smime_engine.policy.delivery_plan import Knowledge

        return Knowledge.UNKNOWN, None


async def test_when_possible(outbound):
    async with NextHop() as hop, Relay(outbound(hop.port, POSSIBLE)) as relay:
        client = await greeted(relay.addresses[0])
        assert (await client.send(MESSAGE, recipients=(BOB, EVE))).startswith("250")
        await client.close()
    assert opened_by(BOB, stored_for(hop, BOB).content).layers[0].kind == "encrypted"
    assert opened_by(BOB, stored_for(hop, EVE).content).layers[0].kind == "signed"


@pytest.mark.parametrize(
    "asking",
    [MESSAGE.replace(b"Subject: secret", b"Subject: [Encrypt] secret"), b"X-ENCRYPT: Yes\r\n" + MESSAGE],
)
async def test_on_request(outbound, asking):
    async with NextHop() as hop, Relay(outbound(hop.port, REQUEST)) as relay:
        client = await greeted(relay.addresses[0])
        assert (await client.send(MESSAGE, recipients=(BOB,))).startswith("250")
        assert opened_by(BOB, hop.messages[0].content).layers[0].kind == "signed"
        assert (await client.send(asking, recipients=(BOB,))).startswith("250")
        assert opened_by(BOB, hop.messages[1].content).layers[0].kind == "encrypted"
        assert b"ncrypt]" not in hop.messages[1].content
        assert b"X-ENCRYPT" not in hop.messages[1].content
        assert b"\r\nSubject: secret\r\n" in hop.messages[1].content
        # Asked for, and impossible for one of them: nobody gets it, and the sender learns who stands in the way.
        reply = await client.send(asking, recipients=(BOB, EVE))
        assert reply.startswith(f"550 5.7.5 <{EVE}>: mail to this recipient must be encrypted")
        assert len(hop.messages) == 2
        await client.close()


async def test_bcc_recipients_stay_out_of_sight(outbound):
    more = '[outbound]\nencrypt = "required"'
    async with NextHop() as hop, Relay(outbound(hop.port, more)) as relay:
        client = await greeted(relay.addresses[0])
        assert (await client.send(MESSAGE, recipients=(BOB, CAROL, DAVE))).startswith("250")
        await client.close()
    assert [names(message) for message in hop.messages] == [[BOB, CAROL], [DAVE]]
    with pytest.raises(NoMatchingKey):
        opened_by(DAVE, hop.messages[0].content)
    assert opened_by(DAVE, hop.messages[1].content).verdict is Verdict.VALID


async def test_layers_of_rules(outbound):
    more = """
[outbound]
encrypt = "never"
[tenants.example]
domains = ["example.org"]
outbound = { encrypt = "required" }
[people."carol@example.org"]
outbound = { encrypt = "never", sign = "never" }
"""
    async with NextHop() as hop, Relay(outbound(hop.port, more)) as relay:
        client = await greeted(relay.addresses[0])
        assert (await client.send(MESSAGE, recipients=(BOB,))).startswith("250")
        assert opened_by(BOB, hop.messages[0].content).layers[0].kind == "encrypted"
        from_carol = MESSAGE.replace(b"alice@", b"carol@")
        assert (await client.send(from_carol, sender="carol@example.org", recipients=(BOB,))).startswith("250")
        assert hop.messages[1].body == from_carol
        other = MESSAGE.replace(b"alice@example.org", b"x@example.com")
        assert (await client.send(other, sender="x@example.com", recipients=(BOB,))).startswith("250")
        assert hop.messages[2].body == other
        await client.close()


async def test_what_cannot_be_read_is_not_sent_in_clear(outbound):
    nested = b"".join(b"Content-Type: multipart/mixed; boundary=b%d\r\n\r\n--b%d\r\n" % (n, n) for n in range(200))
    more = f'{PARTNERS}\n[signing]\nmalformed = "pass"'
    async with NextHop() as hop, Relay(outbound(hop.port, more)) as relay:
        client = await greeted(relay.addresses[0])
        assert await client.send(nested, recipients=(BOB,)) == "554 5.6.0 the message is malformed"
        assert hop.messages == []
        await client.close()


# ------------------------------------------------------------------------------------------------ mixed outcomes


def refusing(who: str, reply: str) -> Callable[[str], str]:
    """An answer to RCPT: this recipient is refused when it comes a second time (the first time is the client's)."""
    seen: list[str] = []

    def answer(argument: str) -> str:
        if who in argument:
            seen.append(argument)
            return reply if len(seen) % 2 == 0 else ""
        return ""

    return answer


async def test_some_have_it_and_the_retry_reaches_only_the_others(outbound, tmp_path):
    more = f'{PARTNERS}\n[journal]\nfile = "journal.db"'
    async with NextHop(answers={"RCPT": refusing(EVE, "451 4.2.1 busy")}) as hop:
        async with Relay(outbound(hop.port, more)) as relay:
            client = await greeted(relay.addresses[0])
            reply = await client.send(MESSAGE, recipients=(BOB, EVE))
            assert reply == "451 4.2.1 delivered to 1, not yet to the others: busy"
            await client.close()
        assert [names(message) for message in hop.messages] == [[BOB]]
        # Another process, as after a restart: the journal knows who has it.
        hop.answers.clear()
        async with Relay(outbound(hop.port, more)) as restarted:
            client = await greeted(restarted.addresses[0])
            assert (await client.send(MESSAGE, recipients=(BOB, EVE))).startswith("250")
            assert [names(message) for message in hop.messages] == [[BOB], [EVE]]
            # It is through: the same again is a new message.
            assert (await client.send(MESSAGE, recipients=(BOB, EVE))).startswith("250")
            assert len(hop.messages) == 4
            await client.close()
    database = sqlite3.connect(tmp_path / "journal.db")
    assert database.execute("SELECT count(*) FROM delivered").fetchone() == (0,)
    database.close()
    assert (tmp_path / "journal.db").stat().st_mode & 0o077 == 0


async def test_some_have_it_and_the_others_never_will(outbound):
    async with (
        NextHop(answers={"RCPT": refusing(EVE, "550 5.1.1 gone away")}) as hop,
        Relay(outbound(hop.port, PARTNERS)) as relay,
    ):
        client = await greeted(relay.addresses[0])
        for command in (
            "MAIL FROM:<alice@example.org> ENVID=QQ314",
            f"RCPT TO:<{BOB}>",
            f"RCPT TO:<{EVE}> ORCPT=rfc822;Eve@example.net",
            "DATA",
        ):
            assert (await client.say(command))[0] in "23"
        await client.write(MESSAGE + b".\r\n")
        assert await client.reply() == "250 2.0.0 delivered; the sender is told about those who refused"
        await client.close()
    assert names(hop.messages[0]) == [BOB]
    notice = hop.messages[1]
    assert (notice.mail, names(notice)) == ("FROM:<>", ["alice@example.org"])
    assert b"the secret text" not in notice.content
    parsed = message_from_bytes(notice.content)
    assert parsed.get_content_type() == "multipart/report"
    text, status, header = parsed.get_payload()
    assert f"<{EVE}>: 5.1.1 gone away" in text.get_payload()
    general, about_eve = status.get_payload()
    assert general["Original-Envelope-Id"] == "QQ314"
    assert about_eve["Final-Recipient"] == f"rfc822; {EVE}"
    assert about_eve["Original-Recipient"] == "rfc822; Eve@example.net"
    assert (about_eve["Action"], about_eve["Status"]) == ("failed", "5.1.1")
    assert "Subject: secret" in header.get_payload()


@pytest.mark.parametrize(("sender", "notify"), [("", ""), ("alice@example.org", " NOTIFY=NEVER")])
async def test_nobody_is_told_who_must_not_be(outbound, sender, notify):
    async with (
        NextHop(answers={"RCPT": refusing(EVE, "550 5.1.1 gone away")}) as hop,
        Relay(outbound(hop.port, PARTNERS)) as relay,
    ):
        client = await greeted(relay.addresses[0])
        for command in (f"MAIL FROM:<{sender}>", f"RCPT TO:<{BOB}>", f"RCPT TO:<{EVE}>{notify}", "DATA"):
            assert (await client.say(command))[0] in "23"
        await client.write(MESSAGE + b".\r\n")
        assert (await client.reply()).startswith("250")
        await client.close()
    assert [names(message) for message in hop.messages] == [[BOB]]


async def test_a_notice_that_cannot_be_sent_keeps_the_message_at_the_client(outbound):
    answers = {"RCPT": refusing(EVE, "550 5.1.1 gone away"), "MAIL": lambda text: "451 no" if "<>" in text else ""}
    async with NextHop(answers=answers) as hop, Relay(outbound(hop.port, PARTNERS)) as relay:
        client = await greeted(relay.addresses[0])
        reply = await client.send(MESSAGE, recipients=(BOB, EVE))
        assert reply == "451 4.3.0 delivered to 1, not yet to the others: no"
        del hop.answers["MAIL"]
        assert (await client.send(MESSAGE, recipients=(BOB, EVE))).startswith("250")
        assert [names(message) for message in hop.messages] == [[BOB], ["alice@example.org"]]
        await client.close()


async def test_all_failures_alike_are_one_plain_refusal(outbound):
    answers = {"CONTENT": "554 5.7.1 spam"}
    async with NextHop(answers=answers) as hop, Relay(outbound(hop.port, PARTNERS)) as relay:
        client = await greeted(relay.addresses[0])
        assert await client.send(MESSAGE, recipients=(BOB, EVE)) == "554 5.7.1 spam"
        answers["CONTENT"] = "451 4.3.0 later"
        assert await client.send(MESSAGE, recipients=(BOB, EVE)) == "451 4.3.0 later"
        assert hop.messages == []
        await client.close()


# ---------------------------------------------------------------------------------------------------------- LMTP


async def lmtp(relay: Relay) -> Client:
    client = await Client.connect(relay.addresses[0])
    assert (await client.say("EHLO me")).startswith("500 5.5.1")
    assert (await client.say("LHLO me")).startswith("250-localhost")
    return client


async def test_lmtp_has_a_reply_for_each_recipient(outbound):
    answers = {"RCPT": refusing(EVE, "550 5.1.1 gone away")}
    async with (
        NextHop(answers=answers) as hop,
        Relay(outbound(hop.port, PARTNERS, listen='protocol = "lmtp"')) as relay,
    ):
        client = await lmtp(relay)
        for command in (
            "MAIL FROM:<alice@example.org>",
            f"RCPT TO:<{BOB}>",
            "RCPT TO:<nobody@partner.example>",
            f"RCPT TO:<{EVE}>",
            f"RCPT TO:<{CAROL}>",
            "DATA",
        ):
            await client.say(command)
        await client.write(MESSAGE + b".\r\n")
        replies = [await client.reply() for _ in range(3)]
        assert replies == ["250 2.0.0 stored", "550 5.1.1 gone away", "250 2.0.0 stored"]
        assert await client.say("NOOP") == "250 2.0.0 OK"
        await client.close()
    assert [names(message) for message in hop.messages] == [[BOB, CAROL]]
    assert b"with LMTP id" in hop.messages[0].content


async def test_lmtp_repeats_a_reply_that_is_about_all(outbound):
    async with NextHop() as hop, Relay(outbound(hop.port, PARTNERS, listen='protocol = "lmtp"')) as relay:
        client = await lmtp(relay)
        for command in ("MAIL FROM:<alice@example.org>", f"RCPT TO:<{BOB}>", f"RCPT TO:<{EVE}>", "DATA"):
            await client.say(command)
        await client.write(b"From: a@b.c\r\nFrom: d@e.f\r\n" + MESSAGE + b".\r\n")
        for _ in range(2):
            assert (await client.reply()).startswith("550 5.6.0")
        await client.close()


async def test_lmtp_on_request_refuses_only_those_without_certificate(outbound):
    async with NextHop() as hop, Relay(outbound(hop.port, REQUEST, listen='protocol = "lmtp"')) as relay:
        client = await lmtp(relay)
        for command in ("MAIL FROM:<alice@example.org>", f"RCPT TO:<{EVE}>", f"RCPT TO:<{BOB}>", "DATA"):
            await client.say(command)
        await client.write(b"X-Encrypt: yes\r\n" + MESSAGE + b".\r\n")
        assert (await client.reply()).startswith(f"550 5.7.5 <{EVE}>")
        assert (await client.reply()).startswith("250")
        await client.close()
    assert [names(message) for message in hop.messages] == [[BOB]]


# ------------------------------------------------------------------------------------------------------- journal


def test_journal(tmp_path):
    path = tmp_path / "journal.db"
    first, second = Journal(path), Journal(path)
    message = fingerprint("alice@example.org", MESSAGE)
    assert first.delivered(message) == frozenset()
    first.add(message, [BOB])
    second.add(message, [BOB.upper(), EVE])
    assert first.delivered(message) == {digest_of(BOB), digest_of(EVE)}
    assert first.delivered(fingerprint("", MESSAGE)) == frozenset()
    second.forget(message)
    assert first.delivered(message) == frozenset()
    first.close()
    second.close()
    assert b"partner.example" not in path.read_bytes()


def test_journal_that_cannot_be_opened(tmp_path):
    with pytest.raises(SourceUnavailable):
        Journal(tmp_path / "missing" / "journal.db")
    (tmp_path / "text").write_text("this is no database, and far too long to be taken for an empty one" * 100)
    with pytest.raises(SourceUnavailable):
        Journal(tmp_path / "text")


async def test_a_journal_that_fails_delays_but_loses_nothing(outbound):
    async with NextHop() as hop, Relay(outbound(hop.port, PARTNERS)) as relay:
        relay.gateway._journal._database.execute("DROP TABLE delivered")
        client = await greeted(relay.addresses[0])
        reply = await client.send(MESSAGE, recipients=(BOB, EVE))
        assert reply == "451 4.3.0 the delivery journal does not answer"
        assert hop.messages == []
        await client.close()


class _ReadOnlyJournal(Journal):
    """A journal on a full disk."""

    def add(self, message, recipients):
        raise SourceUnavailable("delivery journal: database or disk is full")


async def test_what_cannot_be_remembered_is_not_delivered_twice(outbound):
    async with (
        NextHop(answers={"RCPT": refusing(EVE, "451 4.2.1 busy")}) as hop,
        Relay(outbound(hop.port, PARTNERS)) as relay,
    ):
        relay.gateway._dispatchers["outbound"]._journal = _ReadOnlyJournal(None)
        client = await greeted(relay.addresses[0])
        assert (await client.send(MESSAGE, recipients=(BOB, EVE))).startswith("250")
        await client.close()
    assert [names(message) for message in hop.messages] == [[BOB], ["alice@example.org"]]
    assert b"Status: 4.2.1" in hop.messages[1].content
