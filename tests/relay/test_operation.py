"""Running the gateway: workers, reload, socket activation, health, metrics."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
from pathlib import Path

import aiohttp
import pytest
from prometheus_client.parser import text_string_to_metric_families

from smime_engine.errors import ConfigurationError
from smime_smtp_relay.metrics import Metrics
from smime_smtp_relay.server import Relay
from smime_smtp_relay.sockets import handed_over, notify, open_sockets
from tests import pki
from tests.relay.processes import RelayProcess, free_port
from tests.relay.smtp_peers import NextHop, greeted

ROOT = pki.authority("Operation Root")
MESSAGE = b"From: alice@example.org\r\nSubject: x\r\n\r\nHello\r\n"


def events(relay: RelayProcess, name: str) -> list[dict]:
    whole = [line for line in relay.log.read_text().splitlines(keepends=True) if line.endswith("\n")]
    return [entry for line in whole if (entry := json.loads(line))["event"] == name]


async def until(condition) -> None:
    for _ in range(400):
        if condition():
            return
        await asyncio.sleep(0.05)
    raise AssertionError("it does not come true")


# ------------------------------------------------------------------------------------------------------- workers


async def test_workers_share_a_port_and_are_replaced(tmp_path):
    async with NextHop() as hop:
        relay = RelayProcess(tmp_path, hop.port, 'tls = "none"', first="workers = 3")
        await relay.start()
        await until(lambda: len(events(relay, "relay.started")) == 3)
        for _ in range(30):
            client = await greeted(relay.address)
            assert (await client.send(MESSAGE)).startswith("250")
            await client.close()
        assert len(hop.messages) == 30
        assert hop.connections > 1
        assert relay.process is not None
        children = _children(relay.process.pid)
        assert len(children) == 3
        os.kill(children[0], signal.SIGKILL)
        await until(lambda: len(events(relay, "relay.started")) == 4)
        (died,) = events(relay, "worker.died")
        assert died["status"] == -9
        assert await relay.stop() == 0
        await until(lambda: len(events(relay, "relay.stopped")) == 3)


async def test_workers_that_cannot_start_end_the_service(tmp_path):
    relay = RelayProcess(tmp_path, 1, 'tls = "none"', first="workers = 2")
    text = (tmp_path / "relay.toml").read_text()
    (tmp_path / "relay.toml").write_text(text + '\n[[identity]]\nfile = "missing.pem"\naddresses = ["a@b.c"]\n')
    with pytest.raises(AssertionError, match=r"missing\.pem: No such file"):
        await relay.start()
    assert relay.process is not None
    assert relay.process.returncode == 1


def _children(pid: int) -> list[int]:
    return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii").split()]


# -------------------------------------------------------------------------------------------------------- reload


async def test_reload_keeps_sessions_and_changes_the_next_ones(configured, tmp_path, tls_files):
    (tmp_path / "alice.pem").write_bytes(ROOT.issue("Alice", "alice@example.org").pem())
    identity = '[[identity]]\nfile = "alice.pem"\naddresses = ["alice@example.org"]'
    async with NextHop() as hop, Relay(configured(hop.port)) as relay:
        old = await greeted(relay.addresses[0])
        await old.say("MAIL FROM:<alice@example.org>")
        await relay.reload(configured(hop.port, identity))
        new = await greeted(relay.addresses[0])
        assert (await new.send(MESSAGE)).startswith("250")
        assert b"multipart/signed" in hop.messages[0].content
        # The session from before goes on with what it had.
        await old.say("RCPT TO:<bob@example.net>")
        await old.say("DATA")
        await old.write(MESSAGE + b".\r\n")
        assert (await old.reply()).startswith("250")
        assert b"multipart/signed" not in hop.messages[1].content
        await old.close()
        await new.close()


async def test_reload_of_other_listeners_is_refused(configured):
    async with NextHop() as hop, Relay(configured(hop.port)) as relay:
        with pytest.raises(ConfigurationError, match="other listeners need a restart"):
            await relay.reload(configured(hop.port, "[[listen]]\nport = 0"))
        client = await greeted(relay.addresses[0])
        assert (await client.send(MESSAGE)).startswith("250")
        await client.close()


async def test_reload_by_sighup(tmp_path):
    (tmp_path / "alice.pem").write_bytes(ROOT.issue("Alice", "alice@example.org").pem())
    async with NextHop() as hop:
        relay = RelayProcess(tmp_path, hop.port, 'tls = "none"')
        await relay.start()
        config = tmp_path / "relay.toml"
        good = config.read_text()
        assert relay.process is not None
        config.write_text(good + "\nnonsense")
        relay.process.send_signal(signal.SIGHUP)
        await until(lambda: events(relay, "relay.not_reloaded"))
        config.write_text(good + '\n[[identity]]\nfile = "alice.pem"\naddresses = ["alice@example.org"]')
        relay.process.send_signal(signal.SIGHUP)
        await until(lambda: events(relay, "relay.reloaded"))
        client = await greeted(relay.address)
        assert (await client.send(MESSAGE)).startswith("250")
        assert b"multipart/signed" in hop.messages[0].content
        await client.close()
        assert await relay.stop() == 0


# ------------------------------------------------------------------------------------------------------- systemd


async def test_sockets_of_the_service_manager(configured):
    listening = socket.create_server(("127.0.0.1", 0))
    listening.setblocking(False)
    async with NextHop() as hop, Relay(configured(hop.port), sockets=[listening]) as relay:
        assert relay.addresses == (listening.getsockname(),)
        client = await greeted(listening.getsockname())
        assert (await client.send(MESSAGE)).startswith("250")
        await client.close()


def test_the_protocol_of_socket_activation(monkeypatch, configured):
    monkeypatch.setenv("LISTEN_FDS", "0")
    assert handed_over() == []
    monkeypatch.setenv("LISTEN_PID", str(os.getpid()))
    assert handed_over() == []
    listeners = configured(25).listen
    with socket.create_server(("127.0.0.1", 0)) as one, socket.create_server(("127.0.0.1", 0)) as two:
        assert open_sockets(listeners, [one], shared=False) == [one]
        with pytest.raises(ConfigurationError, match="systemd gave 2 sockets for 1 listeners"):
            open_sockets(listeners, [one, two], shared=False)


def test_the_service_manager_is_told(monkeypatch, tmp_path):
    notify("READY=1")
    path = str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
        channel.bind(path)
        monkeypatch.setenv("NOTIFY_SOCKET", path)
        notify("READY=1")
        assert channel.recv(100) == b"READY=1"


# --------------------------------------------------------------------------------------------- health and metrics


async def test_health_and_readiness(configured):
    async with NextHop() as hop, Relay(configured(hop.port, "[status]\nport = 0")) as relay:
        assert await _got(relay, "/healthz") == (200, "ok\n")
        assert await _got(relay, "/readyz") == (200, "ready\n")
        await hop.drop_connections()
        hop._server.close()
        client = await greeted(relay.addresses[0])
        assert (await client.send(MESSAGE)).startswith("451")
        status, text = await _got(relay, "/readyz")
        assert (status, text) == (503, "next hop: 451 4.4.1 the next hop cannot be reached\n")
        assert (await _got(relay, "/healthz"))[0] == 200
        await client.close()


async def test_metrics(configured, tmp_path):
    (tmp_path / "alice.pem").write_bytes(ROOT.issue("Alice", "alice@example.org").pem())
    more = '[status]\nport = 0\n[[identity]]\nfile = "alice.pem"\naddresses = ["alice@example.org"]'
    async with NextHop() as hop, Relay(configured(hop.port, more)) as relay:
        client = await greeted(relay.addresses[0])
        assert (await client.send(MESSAGE)).startswith("250")
        hop.answers["CONTENT"] = "554 no"
        await client.send(MESSAGE)
        _, text = await _got(relay, "/metrics")
        await client.close()
    samples = {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }
    out = ("direction", "outbound")
    assert samples["smime_relay_messages_total", (out, ("outcome", "delivered"))] == 1
    assert samples["smime_relay_messages_total", (out, ("outcome", "refused"))] == 1
    assert samples["smime_relay_message_seconds_count", (out,)] == 2
    assert samples["smime_relay_message_seconds_bucket", (out, ("le", "+Inf"))] == 2
    assert samples["smime_relay_bytes_total", (out,)] == 2 * len(MESSAGE)
    assert samples["smime_relay_sessions", ()] == 1
    expiry = ("smime_relay_certificate_expiry_seconds", (("file", "alice.pem"), ("subject", "CN=Alice")))
    assert samples[expiry] == pki.NOT_AFTER.timestamp()


async def test_a_taken_port_of_the_status_server(configured):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ConfigurationError, match=f"status: 127.0.0.1:{port}"):
            await Relay(configured(free_port(), f"[status]\nport = {port}")).start()


async def _got(relay: Relay, path: str) -> tuple[int, str]:
    url = f"http://127.0.0.1:{relay.status_port}{path}"
    async with aiohttp.ClientSession() as session, session.get(url) as response:
        return response.status, await response.text()


def test_labels_are_escaped():
    metrics = Metrics()
    metrics.count("smime_relay_messages_total", outcome='a"b\\c\nd')
    metrics.observe("smime_relay_message_seconds", 100.0)
    families = {family.name: family for family in text_string_to_metric_families(metrics.text())}
    assert families["smime_relay_messages"].samples[0].labels == {"outcome": 'a"b\\c\nd'}
