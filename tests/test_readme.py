"""The README's example runs as it stands there, and its links lead somewhere."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests import pki
from tests.surroundings import REPOSITORY

README = (REPOSITORY / "README.md").read_text(encoding="utf-8")
EXAMPLE_LINES = 18


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The working directory that the README assumes: a key, a root, a message."""
    alice = pki.authority().subordinate("Test CA").issue("Alice", "alice@example.org", kind="rsa2048", usage="sign")
    (tmp_path / "alice.p12").write_bytes(alice.pkcs12(b"secret"))
    bob = pki.authority().issue("Bob", "bob@example.net", kind="rsa2048", usage="encrypt")
    (tmp_path / "bob.pem").write_bytes(bob.pem())
    (tmp_path / "root.pem").write_bytes(alice.root_pem)
    (tmp_path / "message.eml").write_bytes(
        b"From: alice@example.org\r\nTo: bob@example.net\r\nSubject: Hi\r\n\r\nHello!\r\n"
    )
    (tmp_path / "password.txt").write_bytes(b"secret\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_example_signs_and_opens(folder, capsys):
    blocks = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    assert blocks
    for block in blocks:
        exec(compile(block, "README.md", "exec"), {})
        assert block.count("\n") <= EXAMPLE_LINES
    assert "VALID ('alice@example.org',) []" in capsys.readouterr().out


def test_the_commands_sign_and_open(folder):
    smime = shutil.which("smime", path=Path(sys.executable).parent)
    assert smime is not None
    said = [
        subprocess.run([smime, *shlex.split(line)], check=True, capture_output=True).stdout
        for line in re.findall(r"^    smime (.*)$", README, re.MULTILINE)
    ]
    reports = [json.loads(output) for output in said if output.startswith(b"{")]
    assert [report["verdict"] for report in reports] == ["VALID", "VALID"]
    assert [layer["kind"] for layer in reports[-1]["layers"]] == ["encrypted", "signed"]


def test_links_lead_somewhere():
    for target in re.findall(r"\]\((?!https?:)([^)#]+)", README):
        assert (REPOSITORY / target).exists(), target
