"""`smime relay`: running, checking, hashing."""

from __future__ import annotations

import asyncio
import json
import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner

from smime_engine.errors import ConfigurationError
from smime_smtp_relay.checks import check_configuration
from smime_smtp_relay.main import command
from smime_smtp_relay.passwords import PasswordCheck
from tests import pki
from tests.relay.processes import RelayProcess, free_port
from tests.relay.smtp_peers import NextHop, greeted

ROOT = pki.authority("Relay Check Root")
MESSAGE = b"From: alice@example.org\r\nSubject: x\r\n\r\nHello\r\n"


async def test_it_runs_until_sigterm_and_logs_json(tmp_path):
    alice = ROOT.issue("Alice", "alice@example.org")
    (tmp_path / "alice.pem").write_bytes(alice.pem())
    identity = '[[identity]]\nfile = "alice.pem"\naddresses = ["alice@example.org"]'
    async with NextHop() as hop:
        relay = RelayProcess(tmp_path, hop.port, f'tls = "none"\n{identity}')
        await relay.start()
        client = await greeted(relay.address)
        assert (await client.send(MESSAGE)).startswith("250")
        assert b"multipart/signed" in hop.messages[0].content
        assert await relay.stop() == 0
        assert await client.reply() == "421 4.3.2 the service is shutting down"
        await client.close()
    events = [json.loads(line) for line in relay.log.read_text().splitlines()]
    assert [event["event"] for event in events] == ["relay.started", "message.delivered", "relay.stopped"]
    assert events[1]["reason"] == "signed as the author"
    assert datetime.fromisoformat(events[1]["timestamp"]) > datetime.now(UTC) - timedelta(minutes=5)


def test_password():
    done = CliRunner().invoke(command, ["password", "--password", "sesame"])
    assert done.exit_code == 0
    assert PasswordCheck().check(b"sesame", done.output.strip())


@pytest.mark.parametrize("arguments", [[], ["check"]])
def test_the_configuration_must_be_named(arguments):
    done = CliRunner().invoke(command, arguments)
    assert done.exit_code == 2
    assert "--config FILE is needed" in done.output


def test_a_wrong_configuration_is_told_in_one_line(tmp_path):
    config = tmp_path / "relay.toml"
    config.write_text("[next_hop]\nhost = 5\n")
    done = CliRunner().invoke(command, ["--config", str(config)])
    assert isinstance(done.exception, ConfigurationError)
    assert str(done.exception) == f"{config}: next_hop.host: Expected `str`, got `int`"


@pytest.fixture
def good(tmp_path: Path) -> Path:
    """A configuration in which nothing is wrong but the next hop."""
    _private(tmp_path / "alice.pem", ROOT.issue("Alice", "alice@example.org").pem())
    config = tmp_path / "relay.toml"
    config.write_text(
        f'[next_hop]\nhost = "127.0.0.1"\nport = {free_port()}\n[[listen]]\nport = 0\n'
        '[[identity]]\nfile = "alice.pem"\naddresses = ["alice@example.org"]\ndomains = ["example.org"]\n'
    )
    return config


def _private(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    path.chmod(0o600)


def test_check_finds_nothing_wrong(good):
    done = CliRunner().invoke(command, ["check", "--offline", "--config", str(good)])
    assert done.exit_code == 0, done.output
    assert "CN=Alice" in done.output
    assert "WRONG" not in done.output
    assert CliRunner().invoke(command, ["--config", str(good), "check", "--offline"]).exit_code == 0


def test_check_talks_to_the_next_hop(good):
    done = CliRunner().invoke(command, ["check", "--config", str(good)])
    assert done.exit_code == 1
    assert "WRONG next hop 127.0.0.1" in done.output


async def test_check_tells_what_the_next_hop_can(good):
    async with NextHop() as hop:
        text = good.read_text().replace('host = "127.0.0.1"', f'host = "127.0.0.1"\nport = {hop.port}', 1)
        good.write_text("\n".join(line for n, line in enumerate(text.splitlines()) if n != 3))
        findings = await asyncio.to_thread(lambda: list(check_configuration(good)))
    assert not any(finding.wrong for finding in findings)
    assert "takes mail; extensions: 8bitmime, dsn" in findings[-1].text


@pytest.mark.parametrize(
    ("certificate", "complaint"),
    [
        ({"not_after": datetime.now(UTC) + timedelta(days=10)}, "expires in 9 days"),
        ({"not_after": datetime.now(UTC) - timedelta(days=10)}, "not valid now"),
        ({"usage": "encrypt"}, "key usage does not allow signing"),
        ({"addresses": ["bob@example.org"]}, "does not name alice@example.org"),
        ({"addresses": ["alice@example.com"]}, "names no address of example.org"),
    ],
)
def test_check_names_what_readers_will_complain_about(good, certificate, complaint):
    addresses = certificate.pop("addresses", ["alice@example.org"])
    _private(good.parent / "alice.pem", ROOT.issue("Alice", *addresses, **certificate).pem())
    wrong = [finding.text for finding in check_configuration(good, offline=True) if finding.wrong]
    assert any(complaint in text for text in wrong), wrong


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        ("alice.pem", "missing.pem", "No such file"),
        ('"alice@example.org"', '"no address"', "no address is no e-mail address"),
        ('"example.org"', '"a@b"', "a@b is no domain"),
        ("port = 0", 'port = 0\ntls = "offered"\ncertificate = "missing.pem"', "No such file"),
        ("[[identity]]", "[[identities]]", "unknown field `identities`"),
        ("[[identity]]", '[recipients]\ncertificates = "no"\n[[identity]]', "No such file"),
        ("[[identity]]", '[[decryption]]\nfile = "relay.toml"\n[[identity]]', "relay.toml"),
        ("[[identity]]", '[verification]\ntrust = "no"\n[[identity]]', "No such file"),
        ("[[identity]]", '[journal]\nfile = "no/journal"\n[[identity]]', "delivery journal"),
        ("port = 0", 'port = 0\ndirection = "inbound"', "every signature will be UNKNOWN"),
    ],
)
def test_check_names_what_cannot_be_read(good, old, new, complaint):
    good.write_text(good.read_text().replace(old, new))
    wrong = [finding.text for finding in check_configuration(good, offline=True) if finding.wrong]
    assert any(complaint in text for text in wrong), wrong


def test_check_looks_at_file_modes(good):
    (good.parent / "alice.pem").chmod(0o644)
    wrong = [finding.text for finding in check_configuration(good, offline=True) if finding.wrong]
    assert wrong == ["others may read it: chmod 600"]
    assert stat.S_IMODE(good.stat().st_mode)


def test_explain_says_what_would_happen(good, tmp_path):
    bob = ROOT.issue("Bob", "bob@partner.example")
    (tmp_path / "bob.crt").write_bytes(bob.certificate_pem)
    good.write_text(
        good.read_text() + '\n[recipients]\ncertificates = "bob.crt"\n[outbound]\nencrypt = "when-possible"\n'
        '[[outbound.recipients]]\nmatch = ["@strict.example"]\nencrypt = "required"\n'
    )
    (tmp_path / "message.eml").write_bytes(MESSAGE)
    arguments = ["explain", str(tmp_path / "message.eml"), "--config", str(good), "--from", "alice@example.org"]
    done = CliRunner().invoke(
        command,
        [*arguments, "--to", "bob@partner.example", "--to", "eve@example.net", "-o", str(tmp_path / "out")],
    )
    assert done.exit_code == 0, done.output
    assert "signing: signed as the author (alice@example.org)" in done.output
    assert "<bob@partner.example>: encrypted (rule: when-possible)" in done.output
    assert "<eve@example.net>: not encrypted (rule: when-possible)" in done.output
    assert b"enveloped-data" in (tmp_path / "out/parcel-1.eml").read_bytes()
    assert b"multipart/signed" in (tmp_path / "out/parcel-2.eml").read_bytes()
    done = CliRunner().invoke(command, [*arguments, "--to", "x@strict.example"])
    assert "<x@strict.example>: refused at RCPT: 550 5.7.5" in done.output
    assert "<x@strict.example>: refused (rule: required)" in done.output
    done = CliRunner().invoke(command, [*arguments, "--to", "bob@partner.example", "--inbound"])
    assert "<bob@partner.example>: neither signed nor encrypted; deliver original (treatment: verify)" in done.output


def test_explain_without_a_plan(good, tmp_path):
    (tmp_path / "message.eml").write_bytes(b"From: a@b.c\r\nFrom: d@e.f\r\n\r\n")
    arguments = ["explain", str(tmp_path / "message.eml"), "--config", str(good)]
    done = CliRunner().invoke(command, [*arguments, "--from", "a@b.c", "--to", "x@y.z"])
    assert "the whole message: 550 5.6.0" in done.output
    done = CliRunner().invoke(command, [*arguments, "--from", "no address", "--to", "x@y.z"])
    assert isinstance(done.exception, ConfigurationError)
