"""The laboratory as a developer starts it: a process, real sockets, the printed commands."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from smime_engine import Verdict, certificates_from
from smime_engine.crypto.issuing import issue, load_issued, new_root
from smime_engine.errors import InvalidKey, UnsupportedAlgorithm
from tests import pki, surroundings
from tests.relay.processes import free_port
from tests.surroundings import REPOSITORY

COMMAND = [sys.executable, "-m", "smime_lab"]
PATHS = [REPOSITORY, REPOSITORY / "plugins/smtp_relay", REPOSITORY / "plugins/lab"]
ENVIRONMENT = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, PATHS)), "PYTHONUNBUFFERED": "1"}


def once(folder: Path, port: int) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, "--once", "--port", str(port), "--var", folder],
        env=ENVIRONMENT, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip


def test_once_proves_that_a_real_message_is_signed(tmp_path):
    done = once(tmp_path, free_port())
    assert done.returncode == 0, done.stderr
    assert f"smime_engine: {Verdict.VALID.name}" in done.stdout
    if surroundings.command("openssl"):
        assert f"openssl cms -verify: {Verdict.VALID.name}" in done.stdout
    (message,) = (tmp_path / "lab/mail/new").iterdir()
    content = message.read_bytes()
    assert b"multipart/signed" in content
    assert content.count(b"\n") == content.count(b"\r\n")


def test_nobody_else_can_read_the_keys_and_they_are_used_again(tmp_path):
    port = free_port()
    assert once(tmp_path, port).returncode == 0
    files = [path for path in (tmp_path / "lab").iterdir() if path.is_file()]
    assert {path.name for path in files} >= {"ca.pem", "alice.p12", "alice.password", "relay.toml", "relay.log"}
    for path in (tmp_path / "lab").rglob("*"):
        assert path.stat().st_mode & 0o077 == 0, path
    before = {path.name: path.read_bytes() for path in files if path.suffix in (".pem", ".p12", ".password", ".crt")}
    (tmp_path / "lab/bob.p12").write_bytes(b"damaged")
    assert once(tmp_path, port).returncode == 0
    after = {name: (tmp_path / "lab" / name).read_bytes() for name in before}
    changed = {name for name in before if before[name] != after[name]}
    assert changed == {"bob.p12", "bob.password"}


def test_a_busy_port_is_told_with_the_option_that_helps(tmp_path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        done = once(tmp_path, port)
    assert done.returncode == 2
    assert done.stderr == f"smime lab: port {port} is in use; choose another one with --port\n"


@pytest.mark.postfix
@pytest.mark.openssl
def test_it_goes_on_until_ctrl_c_and_its_instructions_work(tmp_path):
    port = free_port()
    process = subprocess.Popen(
        [*COMMAND, "--port", str(port), "--var", tmp_path],
        env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout is not None
    try:
        text = _until(process, "Ctrl-C stops everything.")
        commands = _commands(text)
        assert [command.split()[0] for command in commands] == ["swaks", "printf", "python3", "smime", "openssl"]
        for command in commands[:3]:
            if command.startswith("printf") and surroundings.command("curl") is None:
                continue
            _shell(command)
            arrived = _until(process, "openssl cms -verify: VALID")
            assert "smime_engine: VALID  (signed by alice@example.com)" in arrived
        for command in commands[3:]:
            _shell(command)
    finally:
        process.send_signal(signal.SIGINT)
        rest, errors = process.communicate(timeout=30)
    assert process.returncode == 0
    assert rest.endswith("stopped\n")
    assert errors == ""


def _until(process: subprocess.Popen[str], end: str) -> str:
    assert process.stdout is not None
    lines, deadline = [], time.monotonic() + 60
    while time.monotonic() < deadline and (line := process.stdout.readline()):
        lines.append(line)
        if end in line:
            break
    text = "".join(lines)
    assert end in text, text
    return text


def _commands(text: str) -> list[str]:
    """The indented commands of the instructions, continued lines joined."""
    return re.findall(r"^  (\S(?:.*?)(?:\n    .*)*)$", text.partition("Send your own")[2], re.MULTILINE)


def _shell(command: str) -> None:
    search = os.pathsep.join([str(Path(sys.executable).parent), ENVIRONMENT["PATH"]])
    done = subprocess.run(
        ["/bin/sh", "-c", command], env={**ENVIRONMENT, "PATH": search}, cwd=REPOSITORY,
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, (command, done.stdout, done.stderr)


@pytest.mark.parametrize("kind", ["p256", "p384", "rsa2048"])
def test_issued_certificates_are_what_mail_needs(kind):
    root = new_root("Root", not_before=pki.NOT_BEFORE, not_after=pki.NOT_AFTER)
    issued = issue(root, "Alice", ["alice@example.com"], not_before=pki.NOT_BEFORE, not_after=pki.NOT_AFTER, kind=kind)
    (certificate,) = certificates_from(issued.certificate_pem())
    (authority,) = certificates_from(root.certificate_pem())
    assert certificate.addresses == ("alice@example.com",)
    assert certificate.authority_key_identifier is not None
    assert certificate.subject_key_identifier is not None
    assert {"digitalSignature"} <= (certificate.key_usage or frozenset())
    assert authority.is_self_issued
    assert load_issued(issued.pem()).certificate == issued.certificate
    with pytest.raises(InvalidKey):
        load_issued(issued.certificate_pem())
    with pytest.raises(UnsupportedAlgorithm):
        new_root("Root", not_before=pki.NOT_BEFORE, not_after=pki.NOT_AFTER, kind="rsa512")
