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
